#include "agent/source/inet_diag.h"

#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/diag_messages.h"

using namespace ridgeline;
using namespace ridgeline::agent;
using namespace std::chrono_literals;
using test::DiagMessages;

namespace {

constexpr std::uint32_t kSequence = 7;

std::size_t index_of(std::string_view state) {
    return static_cast<std::size_t>(std::find(kTcpStates.begin(), kTcpStates.end(), state) -
                                    kTcpStates.begin());
}

Result<bool> counted(const DiagMessages& messages, TcpStates& states,
                     std::uint32_t sequence = kSequence) {
    return count_tcp_sockets(messages.bytes(), sequence, states);
}

std::string error_of(const DiagMessages& messages) {
    TcpStates states;
    const auto result = counted(messages, states);
    return result ? "" : result.error().context;
}

// A kernel of which every answer is laid down beforehand.
class ScriptedSocket final : public DiagSocket {
  public:
    using Answer = std::function<ssize_t(std::span<std::byte>)>;

    struct Log {
        int opened = 0;
        std::vector<inet_diag_req_v2> requests;
        std::vector<std::uint32_t> sequences;
        MonoTime now{};
    };
    // `answers` are asked in turn; the sequence of a request is written into messages.
    ScriptedSocket(std::shared_ptr<Log> log, std::deque<Answer> answers, int open_error = 0)
        : log_(std::move(log)), answers_(std::move(answers)), open_error_(open_error) {}

    int open() override {
        ++log_->opened;
        return open_error_;
    }
    int send(std::span<const std::byte> request) override {
        nlmsghdr header{};
        inet_diag_req_v2 body{};
        REQUIRE(request.size() == sizeof(header) + sizeof(body));
        std::memcpy(&header, request.data(), sizeof(header));
        std::memcpy(&body, request.data() + sizeof(header), sizeof(body));
        CHECK(header.nlmsg_len == request.size());
        CHECK(header.nlmsg_type == SOCK_DIAG_BY_FAMILY);
        CHECK(header.nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
        log_->requests.push_back(body);
        log_->sequences.push_back(header.nlmsg_seq);
        return 0;
    }
    ssize_t receive(std::span<std::byte> buffer, std::chrono::milliseconds wait) override {
        if (answers_.empty()) {
            log_->now += wait;
            return -EAGAIN;
        }
        const Answer answer = answers_.front();
        answers_.pop_front();
        return answer(buffer);
    }
    MonoTime now() const override { return log_->now; }

  private:
    std::shared_ptr<Log> log_;
    std::deque<Answer> answers_;
    int open_error_;
};

class Dump {
  public:
    Dump& says(std::function<void(DiagMessages&)> fill) {
        answers_.push_back([log = log, fill](std::span<std::byte> buffer) {
            DiagMessages messages(log->sequences.back());
            fill(messages);
            std::memcpy(buffer.data(), messages.bytes().data(), messages.bytes().size());
            return static_cast<ssize_t>(messages.bytes().size());
        });
        return *this;
    }
    Dump& sockets(std::vector<std::uint8_t> states) {
        return says([states](DiagMessages& messages) {
            for (const std::uint8_t state : states)
                messages.socket(state);
            messages.done();
        });
    }
    // A datagram larger than the buffer, of which the part that fits looks like a whole dump.
    Dump& cut(std::vector<std::uint8_t> states) {
        sockets(std::move(states));
        answers_.back() = [whole = answers_.back()](std::span<std::byte> buffer) {
            whole(buffer);
            return static_cast<ssize_t>(buffer.size() + 1);
        };
        return *this;
    }
    Dump& returns(ssize_t n, std::chrono::milliseconds after = 0ms) {
        answers_.push_back([log = log, n, after](std::span<std::byte>) {
            log->now += after;
            return n;
        });
        return *this;
    }
    Result<TcpStates> count(int open_error = 0) {
        return InetDiag(std::make_unique<ScriptedSocket>(log, answers_, open_error)).count();
    }
    std::shared_ptr<ScriptedSocket::Log> log = std::make_shared<ScriptedSocket::Log>();

  private:
    std::deque<ScriptedSocket::Answer> answers_;
};

}  // namespace

TEST_CASE("states have the kernel's numbers; a connection request is one being received",
          "[inet_diag]") {
    const std::array<std::string_view, 14> names = {
        "other", "established", "syn_sent", "syn_recv", "fin_wait_1", "fin_wait_2", "time_wait",
        "close", "close_wait",  "last_ack", "listen",   "closing",    "syn_recv",   "other"};
    for (std::uint8_t state = 0; state < names.size(); ++state)
        CHECK(kTcpStates[tcp_state_index(state)] == names[state]);
    CHECK(tcp_state_index(14) == kTcpOther);
    CHECK(tcp_state_index(255) == kTcpOther);
    CHECK(kTcpStates[kTcpTimeWait] == "time_wait");
}

TEST_CASE("sockets of a datagram are counted whatever extensions follow them", "[inet_diag]") {
    DiagMessages messages(kSequence);
    messages.socket(1).socket(1, 5).socket(6).noop().socket(12).socket(10, 200).socket(99);
    TcpStates states;
    CHECK(counted(messages, states).value() == false);
    CHECK(states.sockets[index_of("established")] == 2);
    CHECK(states.sockets[index_of("time_wait")] == 1);
    CHECK(states.sockets[index_of("syn_recv")] == 1);
    CHECK(states.sockets[index_of("listen")] == 1);
    CHECK(states.sockets[kTcpOther] == 1);
    CHECK(counted(DiagMessages(kSequence).socket(1).done(), states).value() == true);
    CHECK(states.sockets[index_of("established")] == 3);
}

TEST_CASE("a missing module is reported in the end of the dump, as the kernel does",
          "[inet_diag]") {
    TcpStates states;
    const auto result = counted(DiagMessages(kSequence).done(-ENOENT), states);
    REQUIRE_FALSE(result);
    CHECK(result.error().sys_errno == ENOENT);
    CHECK(counted(DiagMessages(kSequence).done_without_errno(), states).value());
}

TEST_CASE("an answer that is not whole, not ours or makes no sense is refused", "[inet_diag]") {
    CHECK(error_of(DiagMessages(kSequence)) == "an empty answer");
    CHECK(error_of(DiagMessages(kSequence + 1).socket(1)) == "an answer to another request");
    CHECK(error_of(DiagMessages(kSequence).error(-EBUSY)) ==
          "the kernel refused: Device or resource busy");
    CHECK(error_of(DiagMessages(kSequence).error(-100'000)) == "an error that is none");
    CHECK(error_of(DiagMessages(kSequence).error(std::numeric_limits<std::int32_t>::min())) ==
          "an error that is none");
    CHECK(error_of(DiagMessages(kSequence).error(0).socket(1)).empty());  // an acknowledgement
    CHECK(error_of(DiagMessages(kSequence).socket(1).flag(NLM_F_DUMP_INTR)) ==
          "the sockets changed while they were listed");
    CHECK(error_of(DiagMessages(kSequence).message(NLMSG_OVERRUN, {})) == "answers were lost");
    CHECK(error_of(DiagMessages(kSequence).message(999, {})) == "a message of an unknown type");
    CHECK(error_of(DiagMessages(kSequence).message(SOCK_DIAG_BY_FAMILY,
                                                   std::string(sizeof(inet_diag_msg) - 1, 1))) ==
          "a socket is cut off");
    // Lengths that lie: less than a header, more than there is, nothing at all.
    for (const std::uint32_t length : {0U, 15U, 89U, 0xffff'ffffU}) {
        INFO(length);
        CHECK(error_of(DiagMessages(kSequence).socket(1).length(length)) == "a message is cut off");
    }
}

TEST_CASE("a datagram cut anywhere counts no socket that is not whole, and reads no further",
          "[inet_diag]") {
    DiagMessages whole(kSequence);
    whole.socket(1).socket(1).done();
    const std::size_t size = whole.bytes().size();
    for (std::size_t cut = 0; cut < size; ++cut) {
        // A copy of just that size, so that a sanitizer sees any byte beyond.
        const std::vector<std::byte> bytes(whole.bytes().begin(),
                                           whole.bytes().begin() + static_cast<long>(cut));
        TcpStates states;
        const auto result = count_tcp_sockets(bytes, kSequence, states);
        CHECK((!result || !*result));
        CHECK(states.sockets[0] <= cut / (sizeof(nlmsghdr) + sizeof(inet_diag_msg)));
    }
}

TEST_CASE("both families are asked for in the least words and added up", "[inet_diag]") {
    Dump dump;
    dump.sockets({1, 1, 10}).says([](DiagMessages& m) { m.socket(1); }).sockets({6});
    const auto states = dump.count();
    REQUIRE(states);
    CHECK(states->sockets[index_of("established")] == 3);
    CHECK(states->sockets[index_of("time_wait")] == 1);
    REQUIRE(dump.log->requests.size() == 2);
    CHECK(dump.log->requests[0].sdiag_family == AF_INET);
    CHECK(dump.log->requests[1].sdiag_family == AF_INET6);
    for (const auto& request : dump.log->requests) {
        CHECK(request.idiag_ext == 0);
        CHECK(request.sdiag_protocol == IPPROTO_TCP);
        CHECK((request.idiag_states & 0x1ffeU) == 0x1ffeU);  // 1 to 12
    }
    CHECK(dump.log->opened == 1);
    CHECK(dump.log->sequences[0] != dump.log->sequences[1]);
}

TEST_CASE("interrupted and empty waits are no failures", "[inet_diag]") {
    Dump dump;
    dump.returns(-EINTR).returns(-EAGAIN, 5ms).sockets({1}).returns(-EINTR).sockets({1});
    CHECK(dump.count().value().sockets[0] == 2);
    CHECK(dump.log->opened == 1);
}

TEST_CASE("a dump that goes wrong is done once more on a new socket, and nothing counted twice",
          "[inet_diag]") {
    const std::vector<std::function<void(Dump&)>> failures = {
        [](Dump& d) { d.returns(-ENOBUFS); },
        [](Dump& d) { d.returns(0); },
        [](Dump& d) {
            d.cut({1, 1, 1});
        },
        [](Dump& d) { d.says([](DiagMessages& m) { m.error(-EBUSY); }); },
        [](Dump& d) { d.says([](DiagMessages& m) { m.socket(1).done(-ENOMEM); }); },
        [](Dump& d) { d.says([](DiagMessages& m) { m.socket(1).done().flag(NLM_F_DUMP_INTR); }); },
        [](Dump& d) {
            d.says([](DiagMessages& m) { m = DiagMessages(m.sequence() + 1).socket(1).done(); });
        }};
    for (std::size_t i = 0; i < failures.size(); ++i) {
        INFO(i);
        Dump once;
        once.says([](DiagMessages& m) { m.socket(1); });
        failures[i](once);
        once.sockets({1, 1}).sockets({});
        const auto states = once.count();
        REQUIRE(states);
        CHECK(states->sockets[0] == 2);
        CHECK(once.log->opened == 2);

        Dump twice;
        failures[i](twice);
        failures[i](twice);
        twice.sockets({1}).sockets({1});
        const auto none = twice.count();
        REQUIRE_FALSE(none);
        CHECK(none.error().code != Errc::unsupported);
        CHECK(none.error().context.starts_with("TCP sockets: "));
        CHECK(twice.log->requests.size() == 2);
    }
}

TEST_CASE("two seconds are all a dump gets, second attempts included", "[inet_diag]") {
    Dump silent;
    const auto none = silent.count();
    REQUIRE_FALSE(none);
    CHECK(none.error().context == "TCP sockets: listing them took longer than 2s, given up");
    CHECK(silent.log->now == MonoTime{2s});
    CHECK(silent.log->requests.size() == 1);

    // A list without an end: each datagram comes in time, and there is always another.
    Dump endless;
    for (int i = 0; i < 1000; ++i) {
        endless.returns(-EAGAIN, 3ms);
        endless.says([](DiagMessages& m) { m.socket(1); });
    }
    CHECK_FALSE(endless.count());
    CHECK(endless.log->now < MonoTime{2s + 10ms});

    Dump late;
    late.returns(-ENOBUFS, 1500ms).returns(-EAGAIN, 600ms).sockets({1}).sockets({1});
    CHECK_FALSE(late.count());
}

TEST_CASE("a kernel that cannot list sockets is asked once and told apart from a failure",
          "[inet_diag]") {
    Dump no_module;
    no_module.says([](DiagMessages& m) { m.done(-ENOENT); });
    const auto none = no_module.count();
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::unsupported);
    CHECK(none.error().context ==
          "TCP sockets: states are unknown, tcp_diag is not available: the kernel refused: No such "
          "file or directory");
    CHECK(no_module.log->requests.size() == 1);

    Dump no_family;
    no_family.says([](DiagMessages& m) { m.error(-ENOENT); });
    CHECK(no_family.count().error().code == Errc::unsupported);
    Dump no_netlink;
    CHECK(no_netlink.count(EAFNOSUPPORT).error().code == Errc::unsupported);
    Dump no_descriptor;
    CHECK(no_descriptor.count(EMFILE).error().code == Errc::io);
    CHECK(no_descriptor.log->opened == 2);
}

TEST_CASE("without IPv6 the other half is the whole", "[inet_diag]") {
    Dump dump;
    dump.sockets({1}).says([](DiagMessages& m) { m.error(-ENOENT); });
    const auto states = dump.count();
    REQUIRE(states);
    CHECK(states->sockets[0] == 1);
}

namespace {

struct Observed {
    TcpStates before, after;
    bool alone = false;  // in a network namespace of its own
    bool ok = false;
};

bool loopback_up() {
    const UniqueFd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

int listen_on(int family) {
    const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;  // any address: IPv4 comes in here as well
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int bound = family == AF_INET6
                          ? ::bind(fd, reinterpret_cast<sockaddr*>(&six), sizeof(six))
                          : ::bind(fd, reinterpret_cast<sockaddr*>(&four), sizeof(four));
    return bound == 0 && ::listen(fd, 128) == 0 ? fd : -1;
}

// Both ends of a connection over IPv4.
std::pair<int, int> connection_to(int listener) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    four.sin_port = address.ss_family == AF_INET6
                        ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                        : reinterpret_cast<sockaddr_in*>(&address)->sin_port;
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(client, reinterpret_cast<sockaddr*>(&four), sizeof(four)) != 0) return {-1, -1};
    return {client, ::accept(listener, nullptr, nullptr)};
}

// In a child process: 24 listeners, 40 connections on IPv4 and 24 from IPv4 to an IPv6 socket, of
// which 8 are closed by one side.
Observed observe() {
    Observed seen;
    seen.alone = ::unshare(CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    if (seen.alone && !loopback_up()) return seen;
    InetDiag diag(make_diag_socket());
    const auto before = diag.count();
    int listener = -1;
    for (int i = 0; i < 23; ++i)
        listener = listen_on(AF_INET);
    const int dual = listen_on(AF_INET6);
    bool connected = listener >= 0 && dual >= 0;
    for (int i = 0; i < 64; ++i) {
        const auto [client, server] = connection_to(i < 40 ? listener : dual);
        connected = connected && client >= 0 && server >= 0;
        if (i < 8) ::shutdown(client, SHUT_WR);
    }
    const auto after = diag.count();
    seen.ok = connected && before && after;
    if (before) seen.before = *before;
    if (after) seen.after = *after;
    return seen;
}

}  // namespace

TEST_CASE("sockets that are opened show up in the kernel's list", "[inet_diag]") {
    {
        const auto probe = InetDiag(make_diag_socket()).count();
        if (!probe && probe.error().code == Errc::unsupported) {
            WARN(probe.error().context);
            return;
        }
    }
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const UniqueFd reader{ends[0]};
    UniqueFd writer{ends[1]};
    const pid_t child = ::fork();
    if (child == 0) {
        const Observed seen = observe();
        ::_exit(::write(writer.get(), &seen, sizeof(seen)) == sizeof(seen) ? 0 : 1);
    }
    writer.reset();
    Observed seen;
    REQUIRE(::read(reader.get(), &seen, sizeof(seen)) == sizeof(seen));
    ::waitpid(child, nullptr, 0);
    if (!seen.ok && !seen.alone) {
        WARN("no sockets of one's own to be had here");
        return;
    }
    REQUIRE(seen.ok);
    const auto more = [&](std::string_view state) {
        return static_cast<std::int64_t>(seen.after.sockets[index_of(state)]) -
               static_cast<std::int64_t>(seen.before.sockets[index_of(state)]);
    };
    if (seen.alone) {
        CHECK(more("listen") == 24);
        CHECK(more("established") == 2 * 56);
        CHECK(more("fin_wait_1") + more("fin_wait_2") == 8);  // the answer to a FIN may be delayed
        CHECK(more("close_wait") == 8);
        CHECK(more("other") == 0);
    } else {  // others open and close sockets too
        CHECK(more("listen") >= 12);
        CHECK(more("established") >= 56);
    }
}
