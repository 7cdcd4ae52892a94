#include "agent/certprobe/endpoint_probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/certprobe/start_tls.h"
#include "agent/certprobe/tls_client.h"
#include "agent/certprobe/x509_check.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReceivedBytesMax = 1U << 20;
// For the rest of the handshake once the chain has come: it only spares the server a line in its
// log.
constexpr milliseconds kAfterChain{1000};

ProbeAnswer failed(std::string why) {
    ProbeAnswer answer;
    answer.error = std::move(why);
    return answer;
}

// One connection with a deadline and a cap on what is received.
class Connection {
  public:
    Connection(UniqueFd fd, Clock::time_point deadline) : fd_(std::move(fd)), deadline_(deadline) {}

    // Waits for `events`; false at the deadline.
    bool wait(short events) const {
        const auto left = std::chrono::ceil<milliseconds>(deadline_ - Clock::now());
        if (left <= milliseconds{0}) return false;
        pollfd one{fd_.get(), events, 0};
        return ::poll(&one, 1, static_cast<int>(left.count())) != 0 && Clock::now() < deadline_;
    }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(n));
            } else if (errno == EAGAIN) {
                if (!wait(POLLOUT)) return give_up("the server takes nothing");
            } else if (errno != EINTR) {
                return give_up(errno_error("the connection was lost").context);
            }
        }
        return true;
    }

    // Up to `most` bytes; empty when there will be none, and error() says why.
    std::string receive(std::size_t most) {
        std::string bytes(most, '\0');
        for (;;) {
            const ssize_t n = ::recv(fd_.get(), bytes.data(), most, 0);
            if (n > 0) {
                bytes.resize(static_cast<std::size_t>(n));
                received_ += bytes.size();
                if (received_ <= kReceivedBytesMax) return bytes;
                give_up("the server sends without end");
                return {};
            }
            if (n == 0) {
                give_up("the server closed the connection");
                return {};
            }
            if (errno == EAGAIN) {
                if (wait(POLLIN)) continue;
                give_up(received_ == 0 ? "connected, but the server says nothing"
                                       : "the server does not come to an end in time");
                return {};
            }
            if (errno == EINTR) continue;
            give_up(errno_error("the connection was lost").context);
            return {};
        }
    }
    const std::string& error() const { return error_; }
    void end_within(milliseconds time) { deadline_ = std::min(deadline_, Clock::now() + time); }

  private:
    bool give_up(std::string why) {
        error_ = std::move(why);
        return false;
    }

    UniqueFd fd_;
    Clock::time_point deadline_;
    std::size_t received_ = 0;
    std::string error_;
};

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<UniqueFd> connect_one(const addrinfo& address, Clock::time_point deadline) {
    UniqueFd fd{::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return fail(errno_error("socket"));
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
    if (errno != EINPROGRESS) return fail(errno_error("connect"));
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    pollfd one{fd.get(), POLLOUT, 0};
    if (::poll(&one, 1, static_cast<int>(std::max(left, milliseconds{0}).count())) == 0)
        return fail(errno_error("connect", ETIMEDOUT));
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail(errno_error("connect", error));
    return fd;
}

// Each address in turn, none with more than its share of the time that is left.
Result<UniqueFd> connect_to(const EndpointProbe& request, Clock::time_point deadline) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int status =
        ::getaddrinfo(request.host.c_str(), std::to_string(request.port).c_str(), &hints, &found);
    if (status != 0) return fail(Errc::not_found, request.host + ": " + ::gai_strerror(status));
    const AddressList list(found, &::freeaddrinfo);
    int addresses = 0;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next)
        ++addresses;
    Error last{Errc::unavailable, 0, "connect"};
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next, --addresses) {
        const auto now = Clock::now();
        auto connected = connect_one(*a, now + (deadline - now) / addresses);
        if (connected) return connected;
        last = connected.error();
    }
    return fail(std::move(last));
}

// What a server that does not speak TLS speaks instead.
std::string describe(std::string_view first_bytes) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kGreetings = {{
        {"SSH-", "the server speaks SSH, not TLS"},
        {"HTTP/", "the server speaks plain HTTP, not TLS"},
        {"220", "the server greets in plain text; for STARTTLS write smtp:// or ftp://"},
        {"* OK", "the server greets in plain text; for STARTTLS write imap://"},
        {"+OK", "the server greets in plain text; for STARTTLS write pop3://"},
    }};
    for (const auto& [begins, told] : kGreetings) {
        if (first_bytes.starts_with(begins)) return std::string(told);
    }
    return {};
}

std::optional<std::string> prepare(Connection& connection, StartTls protocol) {
    StartTlsTalk talk(protocol);
    while (talk.state() == StartTlsTalk::State::talking) {
        if (const std::string output = talk.take_output(); !output.empty()) {
            if (!connection.send(output)) return connection.error();
        }
        const std::string byte = connection.receive(1);
        if (byte.empty()) return connection.error();
        talk.on_byte(byte.front());
    }
    if (talk.state() == StartTlsTalk::State::refused) return talk.error();
    return {};
}

// Until the handshake is through or has failed; "" or why it did not come to its end.
std::string shake_hands(Connection& connection, TlsClient& tls) {
    std::string first_bytes;
    bool has_chain = false;
    for (;;) {
        const TlsClient::State state = tls.advance();
        if (!has_chain && !tls.chain().empty()) {
            has_chain = true;
            connection.end_within(kAfterChain);
        }
        const std::string output = tls.take_output();
        const bool sent = output.empty() || connection.send(output);
        if (state == TlsClient::State::done) return {};
        if (state == TlsClient::State::failed) {
            const std::string other = describe(first_bytes);
            const std::string why = tls.error();
            return !other.empty() ? other : "no TLS handshake: " + (why.empty() ? "closed" : why);
        }
        if (!sent) return connection.error();
        const std::string bytes = connection.receive(16384);
        if (bytes.empty()) return connection.error();
        if (first_bytes.size() < 16) first_bytes += bytes.substr(0, 16);
        tls.feed(bytes);
    }
}

}  // namespace

ProbeAnswer probe_endpoint(const EndpointProbe& request) {
    const auto deadline = Clock::now() + request.timeout;
    auto fd = connect_to(request, deadline);
    if (!fd) return failed(fd.error().context);
    Connection connection(std::move(*fd), deadline);
    if (const auto refused = prepare(connection, request.start_tls)) return failed(*refused);

    const std::string name =
        name_in_certificate(request.server_name.empty() ? request.host : request.server_name);
    TlsClient tls(is_ip_address(name) ? "" : name);
    const std::string error = shake_hands(connection, tls);
    if (tls.chain().empty()) return failed(error.empty() ? "the server has no certificate" : error);
    ProbeAnswer answer;
    answer.chain = tls.chain();
    answer.tls_version = tls.version();
    answer.trust = judge_trust(answer.chain);
    answer.name = judge_name(answer.chain.front(), name);
    return answer;
}

}  // namespace ridgeline::agent
