#include "agent/source/probe_runner.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <list>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;
using Deadline = std::chrono::steady_clock::time_point;

constexpr std::size_t kHelpersMax = 4;  // 4 times 11 MB for the length of a handshake
// On top of the endpoint's own time-out: to start, look the name up and verify. Files have this
// alone.
constexpr milliseconds kHelperGrace{10'000};

// A helper that was started, until its answer is complete.
class Helper {
  public:
    static Result<Helper> start(const std::filesystem::path& program, const ProbeRequest& request) {
        std::array<int, 2> in{}, out{};
        if (::pipe2(in.data(), O_CLOEXEC) != 0) return fail(errno_error("pipe"));
        const UniqueFd in_read{in[0]};
        UniqueFd in_write{in[1]};
        if (::pipe2(out.data(), O_CLOEXEC) != 0) return fail(errno_error("pipe"));
        UniqueFd out_read{out[0]};
        const UniqueFd out_write{out[1]};

        Helper helper;
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, in_read.get(), STDIN_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
        ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        const std::string path = program.string();
        std::array<char*, 2> arguments{const_cast<char*>(path.c_str()), nullptr};
        // Nothing of the agent's environment but where trusted certificates are, should an
        // administrator have moved them.
        std::vector<std::string> kept;
        for (const char* name : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) {
            if (const char* value = std::getenv(name))
                kept.push_back(std::string(name) + "=" + value);
        }
        std::vector<char*> environment;
        for (std::string& variable : kept)
            environment.push_back(variable.data());
        environment.push_back(nullptr);
        const int status = ::posix_spawn(&helper.pid_, path.c_str(), &actions, nullptr,
                                         arguments.data(), environment.data());
        ::posix_spawn_file_actions_destroy(&actions);
        if (status != 0) return fail(errno_error(path, status));

        milliseconds patience = kHelperGrace;
        if (const auto* endpoint = std::get_if<EndpointProbe>(&request))
            patience += endpoint->timeout;
        helper.deadline_ = std::chrono::steady_clock::now() + patience;
        // A request is far smaller than a pipe's buffer, so this neither blocks nor is cut.
        const std::string text = encode(request);
        if (::write(in_write.get(), text.data(), text.size()) !=
            static_cast<ssize_t>(text.size())) {
            helper.error_ = "did not take its request";
        }
        helper.out_ = std::move(out_read);
        return helper;
    }
    Helper(Helper&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)),
          out_(std::move(other.out_)),
          deadline_(other.deadline_),
          answer_(std::move(other.answer_)),
          error_(std::move(other.error_)) {}
    Helper& operator=(Helper&&) = delete;
    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;
    ~Helper() {
        if (pid_ < 0) return;
        ::kill(pid_, SIGKILL);
        reap();
    }

    int fd() const { return out_.get(); }
    Deadline deadline() const { return deadline_; }

    // True when there is nothing more to wait for.
    bool read_some() {
        std::array<char, 16384> part{};
        const ssize_t n = ::read(out_.get(), part.data(), part.size());
        if (n < 0) return errno != EINTR && errno != EAGAIN;
        answer_.append(part.data(), static_cast<std::size_t>(n));
        if (answer_.size() > kProbeAnswerBytesMax) error_ = "answered more than it may";
        return n == 0 || !error_.empty();
    }
    void time_out() { error_ = "did not answer in time and was stopped"; }

    Result<ProbeAnswer> finish() {
        // Its answer is complete; one that has ended already keeps its status.
        ::kill(pid_, SIGKILL);
        const int status = reap();
        if (!error_.empty()) return fail(Errc::unavailable, "certprobe " + error_);
        if (WIFSIGNALED(status)) {
            return fail(Errc::unavailable,
                        std::string("certprobe was killed: ") + ::strsignal(WTERMSIG(status)));
        }
        if (WEXITSTATUS(status) != 0) {
            return fail(Errc::unavailable,
                        "certprobe failed with status " + std::to_string(WEXITSTATUS(status)));
        }
        return parse_probe_answer(answer_);
    }

  private:
    Helper() = default;
    int reap() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

    pid_t pid_ = -1;
    UniqueFd out_;
    Deadline deadline_;
    std::string answer_;
    std::string error_;
};

void wait_for(std::vector<pollfd>& waits, Deadline until) {
    const auto left = until - std::chrono::steady_clock::now();
    const auto left_ms = std::chrono::ceil<milliseconds>(std::max(left, Deadline::duration{}));
    ::poll(waits.data(), waits.size(), static_cast<int>(left_ms.count()));
}

}  // namespace

std::filesystem::path find_certprobe() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        const auto built = self.parent_path() / "certprobe" / "certprobe";
        if (std::filesystem::exists(built, error)) return built;
    }
    return kCertprobePath;
}

std::vector<Result<ProbeAnswer>> ProbeRunner::probe(const std::vector<ProbeRequest>& requests) {
    std::vector<Result<ProbeAnswer>> answers(
        requests.size(), Result<ProbeAnswer>(fail(Errc::unavailable, "not probed")));
    std::list<std::pair<std::size_t, Helper>> running;
    std::size_t next = 0;
    while (next < requests.size() || !running.empty()) {
        while (next < requests.size() && running.size() < kHelpersMax) {
            auto helper = Helper::start(helper_, requests[next]);
            if (helper) {
                running.emplace_back(next, std::move(*helper));
            } else {
                answers[next] = fail(std::move(helper).error());
            }
            ++next;
        }
        std::vector<pollfd> waits;
        Deadline first = Deadline::max();
        for (const auto& [index, helper] : running) {
            waits.push_back({helper.fd(), POLLIN, 0});
            first = std::min(first, helper.deadline());
        }
        if (waits.empty()) continue;
        wait_for(waits, first);
        auto wait = waits.begin();
        for (auto it = running.begin(); it != running.end(); ++wait) {
            Helper& helper = it->second;
            const bool ended = wait->revents != 0 && helper.read_some();
            if (!ended && std::chrono::steady_clock::now() < helper.deadline()) {
                ++it;
                continue;
            }
            if (!ended) helper.time_out();
            answers[it->first] = helper.finish();
            it = running.erase(it);
        }
    }
    return answers;
}

}  // namespace ridgeline::agent
