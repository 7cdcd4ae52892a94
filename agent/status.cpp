#include "agent/status.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/json_writer.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kAnswerBytesMax = 1U << 20;
constexpr int kDepthMax = 16;
constexpr int kConnectionsPerTurn = 16;

double in_seconds(std::chrono::nanoseconds duration) {
    return std::chrono::duration<double>(duration).count();
}

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.empty() || text.size() >= sizeof address.sun_path) {
        return fail(Errc::invalid_argument,
                    "\"" + text + "\": a socket's path has 1 to 107 characters");
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

Result<UniqueFd> connect_to(const std::filesystem::path& path) {
    RL_ASSIGN_OR_RETURN(const sockaddr_un address, address_of(path));
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd) return fail(errno_error("socket"));
    const timeval timeout{5, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) {
            return fail(Errc::unavailable, path.string() + ": no agent is running there");
        }
        return fail(errno_error(path.string()));
    }
    return fd;
}

// Turns our own JSON into indented text; unknown shapes come out as they are.
class Printer {
  public:
    explicit Printer(std::string_view json) : rest_(json) {}

    std::string run() {
        value(0, false);
        return std::move(out_);
    }

  private:
    char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
    void skip() {
        if (!rest_.empty()) rest_.remove_prefix(1);
    }
    void blanks() {
        while (!rest_.empty() &&
               std::string_view(" \n\t\r,:").find(rest_.front()) != std::string_view::npos)
            skip();
    }

    std::string text() {
        std::string result;
        for (skip(); !rest_.empty() && peek() != '"'; skip()) {
            if (peek() == '\\') skip();
            if (!rest_.empty()) result += peek();
        }
        skip();
        return result;
    }
    std::string scalar() {
        if (peek() == '"') return text();
        const auto end = std::min(rest_.find_first_of(",]} \n"), rest_.size());
        const std::string result(rest_.substr(0, end));
        rest_.remove_prefix(end);
        return result;
    }

    // `inline_object`: an element of an array, its members on one line.
    void value(int depth, bool inline_object) {
        blanks();
        if (depth > kDepthMax) rest_ = {};
        if (peek() == '{') {
            members(depth, inline_object);
        } else if (peek() == '[') {
            skip();
            for (blanks(); !rest_.empty() && peek() != ']'; blanks()) {
                out_ += '\n' + std::string(2 * static_cast<std::size_t>(depth), ' ') + "-";
                value(depth + 1, true);
            }
            skip();
        } else if (peek() == ']' || peek() == '}') {
            rest_ = {};  // not JSON of ours
        } else {
            out_ += ' ' + scalar();
        }
    }
    void members(int depth, bool inline_object) {
        skip();
        for (blanks(); !rest_.empty() && peek() != '}'; blanks()) {
            if (peek() != '"') {
                rest_ = {};  // not JSON of ours
                return;
            }
            const std::string key = scalar();
            if (inline_object) {
                out_ += ' ' + key + '=';
                blanks();
                if (peek() == '{' || peek() == '[') rest_ = {};  // elements are flat
                const std::string shown = scalar();
                out_ += shown.find(' ') == std::string::npos && !shown.empty() ? shown
                                                                               : '"' + shown + '"';
            } else {
                if (!out_.empty()) out_ += '\n';
                out_ += std::string(2 * static_cast<std::size_t>(depth), ' ') + key + ':';
                value(depth + 1, false);
            }
        }
        skip();
    }

    std::string_view rest_;
    std::string out_;
};

void write_self(JsonWriter& json, const AgentStatus& status) {
    json.key("self").begin_object();
    json.field("cpu_s", status.self.cpu_seconds);
    json.field("rss_bytes", status.self.rss_bytes);
    json.field("open_fds", std::uint64_t{status.self.open_fds});
    json.field("threads", std::uint64_t{status.self.threads});
    json.field("loop_busy_max_s", in_seconds(status.loop_busy));
    json.field("lateness_max_s", in_seconds(status.lateness.max));
    json.field("lateness_mean_s",
               in_seconds(status.lateness.sum) /
                   static_cast<double>(std::max<std::uint64_t>(status.lateness.ticks, 1)));
    json.field("intervals_times", std::uint64_t{status.thinning});
    if (!status.thinning_reason.empty()) json.field("thinning_reason", status.thinning_reason);
    json.end_object();
}

void write_sources(JsonWriter& json, const AgentStatus& status) {
    json.key("sources").begin_array();
    for (const SourceStatus& source : status.sources) {
        json.begin_object();
        json.field("name", source.name);
        json.field("interval_s", in_seconds(source.interval));
        json.field("rounds", source.rounds);
        json.field("errors", source.errors);
        json.field("overruns", source.overruns);
        json.field("last_duration_s", in_seconds(source.last_duration));
        json.field("runs", source.stuck       ? "stuck"
                           : source.in_worker ? "in a worker"
                                              : "on the loop");
        if (!source.last_error.empty()) json.field("last_error", source.last_error);
        json.end_object();
    }
    json.end_array();
}

void write_spool(JsonWriter& json, const AgentStatus& status) {
    const SpoolStats& spool = status.spool;
    json.key("spool").begin_object();
    json.field("batches", spool.batches);
    json.field("bytes", spool.bytes);
    if (status.spool_oldest) json.field("oldest", format_rfc3339(*status.spool_oldest));
    json.field("memory_batches", spool.memory_batches);
    json.field("memory_bytes", spool.memory_bytes);
    json.field("torn_bytes", spool.torn_bytes);
    json.field("disk_errors", spool.disk_errors);
    json.field("thinned_samples", spool.thinned_samples);
    json.field("disk", spool.disk_error.empty() ? std::string("ok") : spool.disk_error);
    json.key("dropped_samples").begin_object();
    for (std::size_t i = 0; i < kDropReasons; ++i) {
        json.field(to_string(static_cast<DropReason>(i)), spool.dropped_samples[i]);
    }
    json.end_object().end_object();
}

void write_uplink(JsonWriter& json, const AgentStatus& status) {
    json.key("uplink").begin_object();
    json.field("state", status.uplink_state);
    json.field("endpoint", status.uplink_endpoint);
    if (!status.uplink.last_error.empty()) json.field("last_error", status.uplink.last_error);
    json.field("connections", status.uplink.connections);
    json.field("in_flight", std::uint64_t{status.in_flight});
    json.field("acked_batches", status.uplink.acked_batches);
    json.field("rejected_batches", status.uplink.rejected_batches);
    json.field("deferred_batches", status.uplink.deferred_batches);
    json.field("messages_refused", status.uplink.messages_refused);
    json.end_object();
}

}  // namespace

std::string to_json(const AgentStatus& status) {
    JsonWriter json;
    json.begin_object();
    json.field("host_id", status.host_id);
    json.field("version", status.version);
    json.field("public_key", status.public_key);
    json.key("tags").begin_object();
    for (const auto& [key, value] : status.tags)
        json.field(key, value);
    json.end_object();
    if (!status.ec2_error.empty()) json.field("ec2_error", status.ec2_error);
    json.field("started", format_rfc3339(status.started));
    json.field("samples", status.samples);
    json.field("values_refused", status.values_refused);
    json.field("series_refused", status.series_refused);
    json.field("ticks_missed", status.ticks_missed);
    json.field("clock_steps", status.wall_steps);
    write_self(json, status);
    write_sources(json, status);
    write_spool(json, status);
    write_uplink(json, status);
    json.end_object();
    return json.text();
}

std::string readable(std::string_view json) {
    return Printer(json).run() + '\n';
}

std::string one_line(const AgentStatus& status) {
    std::string line = "Sampling " + std::to_string(status.sources.size()) + " sources; ";
    const std::string waiting = std::to_string(status.spool.batches) + " batches (" +
                                std::to_string(status.spool.bytes / 1024) +
                                " KiB) wait in the spool";
    if (status.uplink_state == "streaming") {
        line += "streaming to " + status.uplink_endpoint;
    } else if (status.uplink_state != "off") {
        line += "no answer yet from " + status.uplink_endpoint + ", " + waiting;
    } else if (status.collector_configured) {
        line += "no uplink, " + waiting;
    } else {
        line +=
            "no collector: run `ridgeline token create` at yours and `ridgeline-agent enroll "
            "TOKEN` here; until then " +
            waiting;
    }
    if (status.uplink_state != "streaming" && status.collector_configured &&
        !status.uplink.last_error.empty())
        line += " (" + status.uplink.last_error + ")";
    if (!status.spool.disk_error.empty()) line += "; the spool's disk: " + status.spool.disk_error;
    if (status.thinning > 1) line += "; sampling less often: " + status.thinning_reason;
    return line;
}

Result<std::unique_ptr<StatusServer>> StatusServer::open(net::Loop& loop,
                                                         const std::filesystem::path& socket,
                                                         std::function<std::string()> answer) {
    RL_ASSIGN_OR_RETURN(const sockaddr_un address, address_of(socket));
    std::error_code ignored;  // bind says better what is wrong
    if (socket.has_parent_path())
        std::filesystem::create_directories(socket.parent_path(), ignored);
    if (connect_to(socket))
        return fail(Errc::unavailable, socket.string() + ": another agent answers there");
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return fail(errno_error("socket"));
    struct stat info {};
    if (::lstat(socket.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) ::unlink(socket.c_str());
    const mode_t mask = ::umask(0117);  // 0660 from the first moment on
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int bind_error = errno;
    ::umask(mask);
    if (bound != 0) return fail(errno_error(socket.string(), bind_error));
    if (::listen(fd.get(), 8) != 0) return fail(errno_error(socket.string()));
    return std::unique_ptr<StatusServer>(
        new StatusServer(loop, socket, std::move(fd), std::move(answer)));
}

StatusServer::StatusServer(net::Loop& loop, std::filesystem::path path, UniqueFd listener,
                           std::function<std::string()> answer)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      answer_(std::move(answer)),
      poll_(loop, listener_.get(), [this](int, int) { on_connection(); }) {
    poll_.start(UV_READABLE);
}

StatusServer::~StatusServer() {
    ::unlink(path_.c_str());
}

// The answer fits a socket's buffer many times over, so one send is all it takes.
void StatusServer::on_connection() {
    for (int i = 0; i < kConnectionsPerTurn; ++i) {
        const UniqueFd peer{
            ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!peer) return;
        const std::string text = answer_() + '\n';
        if (::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) continue;
    }
}

Result<std::string> ask_status(const std::filesystem::path& socket) {
    RL_ASSIGN_OR_RETURN(const UniqueFd fd, connect_to(socket));
    std::string answer;
    char part[4096];
    for (;;) {
        const ssize_t n = ::recv(fd.get(), part, sizeof part, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(errno_error(socket.string()));
        if (n == 0) break;
        answer.append(part, static_cast<std::size_t>(n));
        if (answer.size() > kAnswerBytesMax)
            return fail(Errc::limit, socket.string() + ": the answer is too long");
    }
    if (answer.empty()) return fail(Errc::unavailable, socket.string() + ": no answer");
    return answer;
}

}  // namespace ridgeline::agent
