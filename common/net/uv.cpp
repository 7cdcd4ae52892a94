#include "common/net/uv.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace ridgeline::net {

namespace {

// A libuv call that fails here means a broken invariant (a bad argument, no memory): nothing
// sensible is left to do.
void must(int status, const char* what) {
    if (status == 0) return;
    std::fprintf(stderr, "<2>%s: %s\n", what, uv_strerror(status));
    std::abort();
}

}  // namespace

struct Loop::Deferred {
    std::vector<std::function<void()>> work;
    HandlePtr<uv_idle_t> idle;  // active while there is work, so that the loop does not wait
};

Loop::Loop() : deferred_(std::make_shared<Deferred>()) {
    must(uv_loop_init(&loop_), "uv_loop_init");
    deferred_->idle.reset(new uv_idle_t{});
    must(uv_idle_init(&loop_, deferred_->idle.get()), "uv_idle_init");
    deferred_->idle->data = deferred_.get();
}

Loop::~Loop() {
    deferred_.reset();
    // Workers' `done` and close callbacks still have to run; active handles would keep a default
    // run from ending.
    uv_run(&loop_, UV_RUN_DEFAULT);
    must(uv_loop_close(&loop_), "uv_loop_close: a handle outlived its loop");
}

void Loop::run() {
    uv_run(&loop_, UV_RUN_DEFAULT);
}

void Loop::stop() {
    uv_stop(&loop_);
}

void Loop::defer(std::function<void()> work) {
    deferred_->work.push_back(std::move(work));
    uv_idle_start(deferred_->idle.get(), [](uv_idle_t* idle) {
        auto* deferred = static_cast<Deferred*>(idle->data);
        if (deferred == nullptr) return;
        uv_idle_stop(idle);
        for (auto& task : std::exchange(deferred->work, {}))
            task();
    });
}

Timer::Timer(Loop& loop, std::function<void()> on_expiry)
    : on_expiry_(std::move(on_expiry)), handle_(new uv_timer_t{}) {
    must(uv_timer_init(loop.raw(), handle_.get()), "uv_timer_init");
    handle_->data = this;
}

void Timer::start(std::chrono::milliseconds first, std::chrono::milliseconds repeat) {
    const auto to_ms = [](std::chrono::milliseconds d) {
        return static_cast<std::uint64_t>(d.count() < 0 ? 0 : d.count());
    };
    uv_update_time(handle_->loop);  // the loop's idea of now is as old as this callback
    uv_timer_start(
        handle_.get(),
        [](uv_timer_t* handle) {
            if (auto* timer = static_cast<Timer*>(handle->data)) timer->on_expiry_();
        },
        to_ms(first), to_ms(repeat));
}

void Timer::stop() {
    uv_timer_stop(handle_.get());
}

Poll::Poll(Loop& loop, int fd, std::function<void(int, int)> on_ready)
    : on_ready_(std::move(on_ready)), handle_(new uv_poll_t{}) {
    must(uv_poll_init(loop.raw(), handle_.get(), fd), "uv_poll_init");
    handle_->data = this;
}

void Poll::start(int events) {
    uv_poll_start(handle_.get(), events, [](uv_poll_t* handle, int status, int ready) {
        if (auto* poll = static_cast<Poll*>(handle->data)) poll->on_ready_(status, ready);
    });
}

void Poll::stop() {
    uv_poll_stop(handle_.get());
}

LoopMeter::LoopMeter(Loop& loop) : handle_(new uv_prepare_t{}) {
    must(uv_loop_configure(loop.raw(), UV_METRICS_IDLE_TIME), "uv_loop_configure");
    must(uv_prepare_init(loop.raw(), handle_.get()), "uv_prepare_init");
    handle_->data = this;
    uv_unref(reinterpret_cast<uv_handle_t*>(handle_.get()));
    uv_prepare_start(handle_.get(), [](uv_prepare_t* handle) {
        if (auto* meter = static_cast<LoopMeter*>(handle->data)) meter->on_turn();
    });
}

// A turn is the time between two moments before the loop waits, without the time it did wait.
void LoopMeter::on_turn() {
    const std::uint64_t now = uv_hrtime();
    const std::uint64_t idle = uv_metrics_idle_time(handle_->loop);
    if (turn_at_ns_ != 0 && now - turn_at_ns_ > idle - idle_ns_)
        longest_ns_ = std::max(longest_ns_, now - turn_at_ns_ - (idle - idle_ns_));
    turn_at_ns_ = now;
    idle_ns_ = idle;
}

std::chrono::nanoseconds LoopMeter::take_longest() {
    return std::chrono::nanoseconds{std::exchange(longest_ns_, 0)};
}

Signal::Signal(Loop& loop, int signal_number, std::function<void()> on_signal)
    : on_signal_(std::move(on_signal)), handle_(new uv_signal_t{}) {
    must(uv_signal_init(loop.raw(), handle_.get()), "uv_signal_init");
    handle_->data = this;
    must(uv_signal_start(
             handle_.get(),
             [](uv_signal_t* handle, int) {
                 if (auto* signal = static_cast<Signal*>(handle->data)) signal->on_signal_();
             },
             signal_number),
         "uv_signal_start");
}

void run_in_worker(Loop& loop, std::function<void()> work, std::function<void()> done) {
    struct Request {
        uv_work_t raw{};
        std::function<void()> work;
        std::function<void()> done;
    };
    auto* request = new Request{{}, std::move(work), std::move(done)};
    request->raw.data = request;
    must(uv_queue_work(
             loop.raw(), &request->raw,
             [](uv_work_t* raw) { static_cast<Request*>(raw->data)->work(); },
             [](uv_work_t* raw, int) {
                 const std::unique_ptr<Request> owned(static_cast<Request*>(raw->data));
                 owned->done();
             }),
         "uv_queue_work");
}

}  // namespace ridgeline::net
