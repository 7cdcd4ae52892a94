#include "collector/ingest/zmq_listener.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr int kMessagesPerTurn = 64;
constexpr int kReceiveHwm =
    256;                        // messages per peer; agents keep to their credit, which is far less
constexpr int kSendHwm = 1000;  // acks are small
// Agents send heartbeats, which libzmq answers; a peer that is gone is left to the kernel to find.
// Heartbeats of libzmq's own towards them would be its timers, and it looks through all of these
// for each one that it cancels: of ten thousand connections' it did little else.
constexpr int kKeepaliveIdleSeconds = 15;
constexpr int kKeepaliveIntervalSeconds = 5;
constexpr int kKeepaliveProbes = 3;
constexpr int kUnackedMaxMs = 30'000;  // TCP_USER_TIMEOUT
constexpr int kBacklog = 4096;         // thousands of agents come back at once after a restart

// Descriptors for all the rest: the log, HTTP, databases, sinks.
constexpr std::size_t kOtherDescriptors = 512;
// Kept open for the moment when there is no other one left.
constexpr std::size_t kSpareDescriptors = 16;
constexpr std::size_t kCutWhenExhausted = 64;
constexpr std::chrono::seconds kTick{1};
constexpr int kEventsPerTurn = 4096;
constexpr int kMonitoredEvents = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED |
                                 ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

// As many connections as the process may have descriptors for, once its soft limit is raised to the
// hard one.
std::size_t connections_possible(std::size_t wanted) {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
    files.rlim_cur = files.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &files);
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return wanted;
    const std::size_t may = files.rlim_cur;
    const std::size_t possible = may - std::min(kOtherDescriptors, may / 2);
    return std::min(wanted, possible);
}

std::uint16_t local_port(int fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
    if (address.ss_family == AF_INET)
        return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
    if (address.ss_family == AF_INET6)
        return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
    return 0;
}

// RFC 27 (ZAP 1.0). The request's frames: version, request id, domain, address, identity,
// mechanism, credentials.
constexpr std::size_t kZapFrames = 7;

}  // namespace

Result<std::unique_ptr<ZmqListener>> ZmqListener::open(net::Loop& loop, net::ZmqContext& context,
                                                       const Options& options,
                                                       const net::KeyPair& keys, const Clock& clock,
                                                       Admits admits, OnMessage on_message) {
    std::unique_ptr<ZmqListener> listener(
        new ZmqListener(clock, std::move(admits), std::move(on_message)));
    // ZAP first: a socket that binds before its handler is there would let nobody in, or, without a
    // domain, anybody.
    RL_ASSIGN_OR_RETURN(listener->zap_, net::ZmqSocket::open(context, ZMQ_ROUTER));
    RL_TRY(listener->zap_->bind("inproc://zeromq.zap.01"));

    RL_ASSIGN_OR_RETURN(listener->router_, net::ZmqSocket::open(context, ZMQ_ROUTER));
    net::ZmqSocket& router = *listener->router_;
    // The size limit comes before anything a stranger could send: without it, an unauthenticated
    // peer can have libzmq allocate what its first frame claims.
    RL_TRY(
        router.set(ZMQ_MAXMSGSIZE,
                   std::string_view(reinterpret_cast<const char*>(&options.message_bytes_max), 8)));
    RL_TRY(router.set(ZMQ_CURVE_SERVER, 1));
    RL_TRY(router.set(ZMQ_CURVE_SECRETKEY, keys.secret.z85()));
    RL_TRY(router.set(ZMQ_ZAP_DOMAIN, "ridgeline"));
    RL_TRY(router.set(ZMQ_ROUTER_MANDATORY, 1));
    RL_TRY(router.set(ZMQ_RCVHWM, kReceiveHwm));
    RL_TRY(router.set(ZMQ_SNDHWM, kSendHwm));
    RL_TRY(router.set(ZMQ_HANDSHAKE_IVL, static_cast<int>(options.handshake_timeout.count())));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE, 1));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_IDLE, kKeepaliveIdleSeconds));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_INTVL, kKeepaliveIntervalSeconds));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_CNT, kKeepaliveProbes));
    RL_TRY(router.set(ZMQ_TCP_MAXRT, kUnackedMaxMs));
    RL_TRY(router.set(ZMQ_BACKLOG, kBacklog));
    RL_ASSIGN_OR_RETURN(listener->monitor_,
                        net::ZmqMonitor::open(context, router, kMonitoredEvents));
    RL_TRY(router.bind(options.endpoint));
    RL_ASSIGN_OR_RETURN(listener->endpoint_, router.last_endpoint());
    const std::size_t colon = listener->endpoint_.rfind(':');
    listener->port_ = static_cast<std::uint16_t>(
        std::strtoul(listener->endpoint_.c_str() + colon + 1, nullptr, 10));
    listener->connections_.emplace(options.connections);
    listener->change(options.connections);

    ZmqListener* self = listener.get();
    listener->zap_watcher_.emplace(loop, *listener->zap_, [self] { self->serve_zap(); });
    listener->router_watcher_.emplace(loop, *listener->router_, [self] { self->serve_agents(); });
    listener->monitor_watcher_.emplace(loop, listener->monitor_->socket(),
                                       [self] { self->serve_monitor(); });
    listener->tick_.emplace(loop, [self] { self->on_tick(); });
    listener->tick_->start(kTick, kTick);
    listener->on_tick();
    return listener;
}

ZmqListener::~ZmqListener() {
    // Nobody reads the monitor from here on; who writes to it must not wait for that.
    if (router_) zmq_socket_monitor(router_->raw(), nullptr, 0);
    for (const int fd : spare_fds_)
        ::close(fd);
}

void ZmqListener::serve_zap() {
    for (int n = 0; n < kMessagesPerTurn; ++n) {
        // The handler is a ROUTER rather than a REP, so that a request that makes no sense needs no
        // answer; the frames before the request are the asking session's identity and an empty
        // delimiter.
        auto frames = zap_->receive(kZapFrames + 2);
        if (!frames || frames->empty()) return;
        if (frames->size() < kZapFrames + 2) continue;
        const auto frame = [&](std::size_t i) { return (*frames)[i + 2].bytes(); };
        const bool curve = frame(0) == "1.0" && frame(5) == "CURVE";
        const std::string key = curve ? net::key_bytes_to_z85(frame(6)).value_or("") : "";
        const bool admitted = !key.empty() && admits_(key).has_value();
        admitted ? ++stats_.admitted : ++stats_.denied;
        if (!admitted) {
            static log::RateLimit limit(10);
            limit.write(log::Level::notice, "a key that is not enrolled was turned away",
                        {{"address", frame(3)}, {"key", key.empty() ? "none" : key}});
        }
        // 200 and 400 only: a client that is answered 300 or 500 hangs instead of failing.
        const auto sent = zap_->send_multipart(
            {(*frames)[0].bytes(), "", "1.0", frame(1), admitted ? "200" : "400",
             admitted ? "OK" : "not enrolled", admitted ? std::string_view(key) : "", ""});
        if (!sent || !*sent) ++stats_.replies_dropped;
    }
}

void ZmqListener::serve_agents() {
    for (int n = 0; n < kMessagesPerTurn; ++n) {
        auto frames = router_->receive(2);
        if (!frames || frames->empty()) return;
        // What the monitor has to say of this message's connection it said before the message came.
        serve_monitor();
        const std::string key(frames->back().property("User-Id"));
        if (frames->size() != 2 || key.empty()) {
            ++stats_.malformed;
            continue;
        }
        const std::string_view connection = (*frames)[0].bytes();
        const auto admission = admits_(key);
        // A token's key is that of many machines, and of none that stays.
        const bool is_host = admission && admission->kind == Admission::Kind::host;
        shut(connections_->on_message(frames->back().source_fd(), connection, key,
                                      is_host ? admission->id : std::string_view{}));
        if (admission) {
            on_message_({connection, key, *admission}, (*frames)[1].bytes());
        } else {
            // Of these messages there may be hundreds; to judge everybody for each would cost the
            // honest ones.
            recheck([&](std::string_view other) { return other != key; });
        }
    }
}

void ZmqListener::recheck() {
    recheck([this](std::string_view key) { return admits_(key).has_value(); });
}

void ZmqListener::recheck(const std::function<bool(std::string_view key)>& may_speak) {
    const auto cuts = connections_->recheck(may_speak);
    if (cuts.empty()) return;
    log::notice("connections cut: their keys are no longer valid", {{"connections", cuts.size()}});
    shut(cuts);
}

void ZmqListener::serve_monitor() {
    for (int n = 0; n < kEventsPerTurn; ++n) {
        const auto event = monitor_->next();
        if (!event || !*event) return;
        on_event(**event);
    }
}

void ZmqListener::on_event(const net::ZmqEvent& event) {
    switch (event.id) {
        case ZMQ_EVENT_ACCEPTED:
            ++stats_.accepted;
            shut(connections_->on_accepted(event.value, clock_.mono_now()));
            break;
        case ZMQ_EVENT_DISCONNECTED:
            connections_->on_closed(event.value);
            break;
        case ZMQ_EVENT_ACCEPT_FAILED:
            ++stats_.accept_errors;
            if (event.value == EMFILE || event.value == ENFILE) on_no_descriptor();
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            ++stats_.handshakes_ended;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            ++stats_.handshakes_not_curve;
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            ++stats_.handshakes_auth;
            break;
        default:
            break;
    }
}

// libzmq tries again at once and for ever, with all of a processor, since the connection that it
// cannot accept stays in the queue. Strangers make room for it; when there are none, our spare
// descriptors do. From now on there are fewer connections, so that the rest of the process has
// descriptors too.
void ZmqListener::on_no_descriptor() {
    const std::size_t connections = connections_->size();
    // Of one shortage libzmq tells thousands of times.
    if (clock_.mono_now() - last_shortage_ > kTick) {
        const std::size_t possible = connections_possible(limits_.connections);
        limits_.connections =
            possible < connections ? possible : std::max<std::size_t>(connections / 4 * 3, 1);
        connections_->change(limits_);
    }
    last_shortage_ = clock_.mono_now();
    static log::RateLimit limit(6);
    limit.write(log::Level::error, "no file descriptor left for another connection",
                {{"connections", connections},
                 {"strangers", connections_->strangers()},
                 {"connections_max", limits_.connections}});
    const auto cuts = connections_->on_exhausted(
        std::max(kCutWhenExhausted, connections - std::min(connections, limits_.connections)));
    shut(cuts);
    if (!cuts.empty()) return;
    for (const int fd : spare_fds_)
        ::close(fd);
    spare_fds_.clear();
}

void ZmqListener::on_tick() {
    shut(connections_->on_tick(clock_.mono_now()));
    while (spare_fds_.size() < kSpareDescriptors) {
        const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0) return;
        spare_fds_.push_back(fd);
    }
}

void ZmqListener::shut(const std::vector<Cut>& cuts) {
    for (const Cut& cut : cuts) {
        ++stats_.cut[static_cast<std::size_t>(cut.reason)];
        // The descriptor may be another's by now: one of this port is the worst that is hit, an
        // agent which connects again and has lost nothing.
        if (local_port(cut.fd) == port_) ::shutdown(cut.fd, SHUT_RDWR);
    }
}

void ZmqListener::cut(std::string_view connection, CutReason reason) {
    if (const auto fd = connections_->find(connection)) shut({{*fd, reason}});
}

void ZmqListener::change(ConnectionLimits limits) {
    const std::size_t wanted = limits.connections;
    limits.connections = connections_possible(wanted);
    if (limits.connections < wanted) {
        log::warning("fewer connections than configured: the process may open too few files",
                     {{"connections", limits.connections}, {"configured", wanted}});
    }
    limits_ = limits;
    connections_->change(limits_);
}

void ZmqListener::send(std::string_view connection, std::string_view message) {
    const auto sent = router_->send_multipart({connection, message});
    if (!sent || !*sent) ++stats_.replies_dropped;
}

}  // namespace ridgeline::collector
