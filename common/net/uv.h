// Owners for libuv's handles. The only place that includes <uv.h>, with the sources beside it.
//
// A handle's memory must outlive its close callback, so each owner keeps the handle on the heap and
// its destructor only begins the close. Callbacks never run after the owner's destructor. An object
// must not destroy the owner of the callback it is in: post the work with Loop::defer instead. Loop
// thread only, except where stated.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <uv.h>

namespace ridgeline::net {

class Loop {
  public:
    Loop();
    // Every other owner on this loop must be gone: runs the loop until their closes are through and
    // aborts if a handle is left, so that a leak fails the test it is in.
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void run();   // until stop() or nothing is left to wait for
    void stop();  // from a callback
    // Runs `work` on this loop soon, outside the present callback.
    void defer(std::function<void()> work);
    uv_loop_t* raw() { return &loop_; }

  private:
    struct Deferred;
    uv_loop_t loop_{};
    std::shared_ptr<Deferred> deferred_;
};

// A libuv handle on the heap, closed and freed by libuv's own order.
template <class H>
struct HandleCloser {
    void operator()(H* handle) const {
        handle->data = nullptr;  // a trampoline that still fires sees that its owner is gone
        uv_close(reinterpret_cast<uv_handle_t*>(handle),
                 [](uv_handle_t* h) { delete reinterpret_cast<H*>(h); });
    }
};
template <class H>
using HandlePtr = std::unique_ptr<H, HandleCloser<H>>;

class Timer {
  public:
    Timer(Loop& loop, std::function<void()> on_expiry);
    // Fires once after `first`, then every `repeat` when that is not zero. Restarts a running
    // timer.
    void start(std::chrono::milliseconds first, std::chrono::milliseconds repeat = {});
    void stop();

  private:
    std::function<void()> on_expiry_;
    HandlePtr<uv_timer_t> handle_;
};

// Readiness of a descriptor that somebody else owns and keeps open for longer than this object.
class Poll {
  public:
    Poll(Loop& loop, int fd, std::function<void(int status, int events)> on_ready);
    void start(int events);  // UV_READABLE | UV_WRITABLE
    void stop();

  private:
    std::function<void(int, int)> on_ready_;
    HandlePtr<uv_poll_t> handle_;
};

// Measures how long the loop is away from waiting: what everything else on it has to wait for.
class LoopMeter {
  public:
    explicit LoopMeter(Loop& loop);
    // The longest turn since the last call of this.
    std::chrono::nanoseconds take_longest();

  private:
    void on_turn();

    std::uint64_t turn_at_ns_ = 0;
    std::uint64_t idle_ns_ = 0;
    std::uint64_t longest_ns_ = 0;
    HandlePtr<uv_prepare_t> handle_;
};

class Signal {
  public:
    Signal(Loop& loop, int signal_number, std::function<void()> on_signal);

  private:
    std::function<void()> on_signal_;
    HandlePtr<uv_signal_t> handle_;
};

// Runs `work` on libuv's thread pool and then `done` on the loop thread. `done` always runs, so it
// must not refer to anything that can be gone by then.
void run_in_worker(Loop& loop, std::function<void()> work, std::function<void()> done);

}  // namespace ridgeline::net
