#include "collector/aws/uv_program_runner.h"

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

#include <sys/wait.h>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kErrorTextMax = 512;

}  // namespace

// Ends when the program has and both its pipes are at their end. A grandchild that holds a pipe
// open is waited for no longer than the program's time.
class UvProgramRunner::Running {
  public:
    Running(UvProgramRunner& owner, ProgramRequest request, ProgramDone done)
        : owner_(owner),
          request_(std::move(request)),
          done_(std::move(done)),
          timer_(owner.loop_, [this] {
              end_with(Error{Errc::unavailable, 0,
                             request_.arguments.front() + " did not end within its time"});
          }) {}
    ~Running() {
        kill_group();
        // Its handle goes, and with it libuv's look-out for the end of the process.
        if (started_ && !exited_) ::waitpid(process_->pid, nullptr, 0);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    Result<void> start() {
        for (Pipe* pipe : {&out_, &err_}) {
            pipe->handle.reset(new uv_pipe_t{});
            uv_pipe_init(owner_.loop_.raw(), pipe->handle.get(), 0);
            pipe->handle->data = this;
        }
        std::vector<char*> arguments;
        for (std::string& argument : request_.arguments)
            arguments.push_back(argument.data());
        arguments.push_back(nullptr);
        std::array<uv_stdio_container_t, 3> stdio{};
        stdio[0].flags = UV_IGNORE;
        const std::array<Pipe*, 2> pipes = {&out_, &err_};
        for (std::size_t i = 0; i < pipes.size(); ++i) {
            stdio[i + 1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
            stdio[i + 1].data.stream = reinterpret_cast<uv_stream_t*>(pipes[i]->handle.get());
        }
        uv_process_options_t options{};
        options.file = arguments.front();
        options.args = arguments.data();
        options.flags = UV_PROCESS_DETACHED;  // setsid: a group of its own
        options.stdio_count = static_cast<int>(stdio.size());
        options.stdio = stdio.data();
        options.exit_cb = [](uv_process_t* process, int64_t status, int signal) {
            if (auto* self = static_cast<Running*>(process->data)) self->exited(status, signal);
        };
        process_.reset(new uv_process_t{});
        process_->data = this;
        if (const int status = uv_spawn(owner_.loop_.raw(), process_.get(), &options);
            status != 0) {
            return fail(errno_error(request_.arguments.front(), -status));
        }
        started_ = true;
        for (Pipe* pipe : pipes) {
            uv_read_start(reinterpret_cast<uv_stream_t*>(pipe->handle.get()), &Running::on_room,
                          &Running::on_bytes);
        }
        timer_.start(request_.timeout);
        return {};
    }

  private:
    struct Pipe {
        net::HandlePtr<uv_pipe_t> handle;
        std::array<char, 4096> room{};
        bool open = true;
    };

    Pipe& pipe_of(const void* handle) {
        return handle == static_cast<void*>(out_.handle.get()) ? out_ : err_;
    }

    static void on_room(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        auto* self = static_cast<Running*>(handle->data);
        if (self == nullptr) {
            *buffer = uv_buf_init(nullptr, 0);
            return;
        }
        Pipe& pipe = self->pipe_of(handle);
        *buffer = uv_buf_init(pipe.room.data(), static_cast<unsigned>(pipe.room.size()));
    }

    static void on_bytes(uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
        if (auto* self = static_cast<Running*>(stream->data))
            self->read(self->pipe_of(stream), count);
    }

    void read(Pipe& pipe, ssize_t count) {
        if (count < 0) {
            pipe.open = false;
            uv_read_stop(reinterpret_cast<uv_stream_t*>(pipe.handle.get()));
            finish_when_over();
            return;
        }
        const std::string_view bytes(pipe.room.data(), static_cast<std::size_t>(count));
        if (&pipe == &err_) {
            if (err_text_.size() < kErrorTextMax)
                err_text_.append(bytes.substr(0, kErrorTextMax - err_text_.size()));
            return;
        }
        if (out_text_.size() + bytes.size() > request_.output_bytes_max) {
            end_with(Error{Errc::limit, 0, request_.arguments.front() + " wrote too much"});
            return;
        }
        // In one piece from the start, so that no part of it is left behind in memory.
        out_text_.reserve(request_.output_bytes_max);
        out_text_.append(bytes);
        explicit_bzero(pipe.room.data(), bytes.size());
    }

    void exited(std::int64_t status, int signal) {
        exited_ = true;
        status_ = static_cast<int>(status);
        signal_ = signal;
        finish_when_over();
        if (ended_) owner_.forget(this);
    }

    void finish_when_over() {
        if (!exited_ || out_.open || err_.open || ended_) return;
        if (signal_ != 0) {
            end_with(Error{
                Errc::unavailable, 0,
                request_.arguments.front() + " was ended by signal " + std::to_string(signal_)});
            return;
        }
        settle(ProgramOutput{std::move(out_text_), printable(trim(err_text_), kErrorTextMax),
                             status_});
    }

    void end_with(const Error& error) { settle(fail(error)); }

    // The answer is given outside of libuv's callbacks; this object stays until the process is
    // gone.
    void settle(Result<ProgramOutput> result) {
        if (std::exchange(ended_, true)) return;
        timer_.stop();
        kill_group();
        owner_.loop_.defer([alive = std::weak_ptr<char>(owner_.alive_), done = std::move(done_),
                            result = std::move(result)] {
            if (!alive.expired()) done(result);
        });
        if (!started_ || exited_) owner_.forget(this);
    }

    // Once it has exited and nothing holds its pipes, its number may be another's.
    void kill_group() {
        if (!started_ || (exited_ && !out_.open && !err_.open)) return;
        ::kill(-process_->pid, SIGKILL);
    }

    friend class UvProgramRunner;

    UvProgramRunner& owner_;
    ProgramRequest request_;
    ProgramDone done_;
    net::Timer timer_;
    Pipe out_;
    Pipe err_;
    net::HandlePtr<uv_process_t> process_;
    std::string out_text_;
    std::string err_text_;
    bool started_ = false;
    bool exited_ = false;
    bool ended_ = false;
    int status_ = 0;
    int signal_ = 0;
};

UvProgramRunner::UvProgramRunner(net::Loop& loop) : loop_(loop) {}

UvProgramRunner::~UvProgramRunner() = default;

void UvProgramRunner::run(ProgramRequest request, ProgramDone done) {
    auto running = std::make_unique<Running>(*this, std::move(request), std::move(done));
    Running* const raw = running.get();
    running_.push_back(std::move(running));
    if (auto started = raw->start(); !started) raw->end_with(started.error());
}

void UvProgramRunner::forget(Running* running) {
    loop_.defer([this, alive = std::weak_ptr<char>(alive_), running] {
        if (alive.expired()) return;
        running_.remove_if([&](const auto& known) { return known.get() == running; });
    });
}

}  // namespace ridgeline::collector
