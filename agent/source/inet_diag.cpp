#include "agent/source/inet_diag.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/base/file.h"

namespace ridgeline::agent {

namespace {

// The kernel makes its datagrams as large as the largest buffer it was offered, up to this
// (net/netlink/af_netlink.c, netlink_recvmsg): some 340 sockets a system call.
constexpr std::size_t kBufferBytes = 32 * 1024;

// Whatever states there are, but for sockets that are bound and nothing else (13, since Linux 6.8):
// they are no connections, and to find them the kernel walks all sockets a second time.
constexpr std::uint32_t kStatesWanted = ~(1U << 13U);

struct Request {
    nlmsghdr header;
    inet_diag_req_v2 body;
};

Request make_request(std::uint8_t family, std::uint32_t sequence) {
    Request request{};
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.header.nlmsg_seq = sequence;
    request.body.sdiag_family = family;
    request.body.sdiag_protocol = IPPROTO_TCP;
    request.body.idiag_ext = 0;  // an extension makes every answer several times as large
    request.body.idiag_states = kStatesWanted;
    return request;
}

// Errors and ends carry a negative errno in front; an end without one is plain success.
Result<void> check_errno(std::span<const std::byte> payload) {
    std::int32_t value = 0;
    if (payload.size() < sizeof(value)) return {};
    std::memcpy(&value, payload.data(), sizeof(value));
    if (value >= 0) return {};
    constexpr std::int32_t kErrnoMax = 4095;  // include/linux/err.h, MAX_ERRNO
    if (value < -kErrnoMax) return fail(Errc::corrupt, "an error that is none");
    return fail(errno_error("the kernel refused", -value));
}

// What a kernel without the module says, one that may not load it, one older than sock_diag, and a
// sandbox. Asking again makes the kernel look for the module again, at the price of a process.
bool cannot_be_had(const Error& error) {
    constexpr std::array kErrnos = {ENOENT,     EPROTONOSUPPORT, EAFNOSUPPORT, EINVAL,
                                    EOPNOTSUPP, EPERM,           EACCES};
    return std::find(kErrnos.begin(), kErrnos.end(), error.sys_errno) != kErrnos.end();
}

class SystemDiagSocket final : public DiagSocket {
  public:
    int open() override {
        fd_ = UniqueFd{
            ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)};
        if (!fd_) return errno;
        // Connected to the kernel, so that nobody else's datagrams get in.
        sockaddr_nl kernel{};
        kernel.nl_family = AF_NETLINK;
        const auto* address = reinterpret_cast<const sockaddr*>(&kernel);
        return ::connect(fd_.get(), address, sizeof(kernel)) == 0 ? 0 : errno;
    }

    int send(std::span<const std::byte> request) override {
        return ::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 ? errno : 0;
    }

    ssize_t receive(std::span<std::byte> buffer, std::chrono::milliseconds wait) override {
        // The kernel prepares the next datagram while it hands over one: as a rule there is no
        // need to wait.
        ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
        if (n < 0 && errno == EAGAIN) {
            pollfd poller{fd_.get(), POLLIN, 0};
            const int ready = ::poll(&poller, 1, static_cast<int>(wait.count()));
            if (ready < 0) return -errno;
            if (ready == 0) return -EAGAIN;
            n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
        }
        return n < 0 ? -errno : n;
    }

    MonoTime now() const override { return std::chrono::steady_clock::now(); }

  private:
    UniqueFd fd_;
};

}  // namespace

std::size_t tcp_state_index(std::uint8_t kernel_state) {
    constexpr std::uint8_t kSynRecv = 3;
    constexpr std::uint8_t kNewSynRecv = 12;  // the same, before there is a whole socket
    if (kernel_state == kNewSynRecv) kernel_state = kSynRecv;
    if (kernel_state == 0 || kernel_state > kTcpOther) return kTcpOther;
    return kernel_state - 1U;
}

Result<bool> count_tcp_sockets(std::span<const std::byte> datagram, std::uint32_t sequence,
                               TcpStates& states) {
    if (datagram.empty()) return fail(Errc::corrupt, "an empty answer");
    while (!datagram.empty()) {
        nlmsghdr header{};
        if (datagram.size() < sizeof(header)) return fail(Errc::corrupt, "a message is cut off");
        std::memcpy(&header, datagram.data(), sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.size())
            return fail(Errc::corrupt, "a message is cut off");
        if (header.nlmsg_seq != sequence)
            return fail(Errc::corrupt, "an answer to another request");
        if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0)
            return fail(Errc::unavailable, "the sockets changed while they were listed");

        const std::span<const std::byte> payload =
            datagram.subspan(sizeof(header), header.nlmsg_len - sizeof(header));
        switch (header.nlmsg_type) {
            case SOCK_DIAG_BY_FAMILY: {
                inet_diag_msg socket{};
                if (payload.size() < sizeof(socket))
                    return fail(Errc::corrupt, "a socket is cut off");
                std::memcpy(&socket, payload.data(), sizeof(socket));
                ++states.sockets[tcp_state_index(socket.idiag_state)];
                break;
            }
            case NLMSG_DONE:
                // A module that is missing is reported here, not by NLMSG_ERROR.
                RL_TRY(check_errno(payload));
                return true;
            case NLMSG_ERROR:
                RL_TRY(check_errno(payload));
                break;  // an acknowledgement
            case NLMSG_NOOP:
                break;
            case NLMSG_OVERRUN:
                return fail(Errc::unavailable, "answers were lost");
            default:
                return fail(Errc::corrupt, "a message of an unknown type");
        }
        datagram =
            datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), datagram.size()));
    }
    return false;
}

std::unique_ptr<DiagSocket> make_diag_socket() {
    return std::make_unique<SystemDiagSocket>();
}

InetDiag::InetDiag(std::unique_ptr<DiagSocket> socket)
    : socket_(std::move(socket)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)) {}

Result<TcpStates> InetDiag::count() {
    constexpr std::string_view kWhere = "TCP sockets";
    const MonoTime deadline = socket_->now() + kBudget;
    TcpStates total;
    // Sockets that talk IPv4 through an IPv6 socket are listed with IPv6.
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
        auto dumped = dump_or_close(family, deadline, total);
        if (!dumped && !cannot_be_had(dumped.error()) && socket_->now() < deadline)
            dumped = dump_or_close(family, deadline, total);
        if (dumped) continue;
        if (!cannot_be_had(dumped.error())) return fail(std::move(dumped).error().within(kWhere));
        if (family == AF_INET6) continue;  // a host without IPv6
        return fail(Errc::unsupported, std::string(kWhere) +
                                           ": states are unknown, tcp_diag is not available: " +
                                           dumped.error().context);
    }
    return total;
}

Result<void> InetDiag::dump_or_close(std::uint8_t family, MonoTime deadline, TcpStates& states) {
    if (!open_) {
        const int error = socket_->open();
        if (error != 0) return fail(errno_error("socket", error));
        open_ = true;
    }
    TcpStates counted;
    auto dumped = dump(family, deadline, counted);
    // The rest of a dump that went wrong must not be taken for the next one's.
    open_ = dumped.has_value();
    if (!dumped) return dumped;
    for (std::size_t i = 0; i < states.sockets.size(); ++i)
        states.sockets[i] += counted.sockets[i];
    return {};
}

Result<void> InetDiag::dump(std::uint8_t family, MonoTime deadline, TcpStates& states) {
    const Request request = make_request(family, ++sequence_);
    const int error = socket_->send(std::as_bytes(std::span(&request, 1)));
    if (error != 0) return fail(errno_error("request", error));
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - socket_->now());
        if (left.count() <= 0)
            return fail(Errc::unavailable, "listing them took longer than 2s, given up");
        const ssize_t n = socket_->receive({buffer_.get(), kBufferBytes}, left);
        if (n == -EINTR || n == -EAGAIN) continue;
        if (n < 0) return fail(errno_error("answer", static_cast<int>(-n)));
        const auto size = static_cast<std::size_t>(n);
        if (size > kBufferBytes) return fail(Errc::limit, "an answer larger than the buffer");
        RL_ASSIGN_OR_RETURN(const bool last,
                            count_tcp_sockets({buffer_.get(), size}, sequence_, states));
        if (last) return {};
    }
}

}  // namespace ridgeline::agent
