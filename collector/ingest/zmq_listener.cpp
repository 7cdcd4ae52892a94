#include "collector/ingest/zmq_listener.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr int kMessagesPerTurn = 64;
constexpr int kReceiveHwm =
    256;                        // messages per peer; agents keep to their credit, which is far less
constexpr int kSendHwm = 1000;  // acks are small
constexpr int kHandshakeMs = 5000;
// Agents send heartbeats, which libzmq answers; a peer that is gone is left to the kernel to find.
// Heartbeats of libzmq's own towards them would be its timers, and it looks through all of these
// for each one that it cancels: of ten thousand connections' it did little else.
constexpr int kKeepaliveIdleSeconds = 15;
constexpr int kKeepaliveIntervalSeconds = 5;
constexpr int kKeepaliveProbes = 3;
constexpr int kUnackedMaxMs = 30'000;  // TCP_USER_TIMEOUT
constexpr int kBacklog = 4096;  // thousands of agents come back at once after a restart

// RFC 27 (ZAP 1.0). The request's frames: version, request id, domain, address, identity,
// mechanism, credentials.
constexpr std::size_t kZapFrames = 7;

}  // namespace

Result<std::unique_ptr<ZmqListener>> ZmqListener::open(net::Loop& loop, net::ZmqContext& context,
                                                       const Options& options,
                                                       const net::KeyPair& keys, Admits admits,
                                                       OnMessage on_message) {
    std::unique_ptr<ZmqListener> listener(
        new ZmqListener(std::move(admits), std::move(on_message)));
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
    RL_TRY(router.set(ZMQ_HANDSHAKE_IVL, kHandshakeMs));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE, 1));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_IDLE, kKeepaliveIdleSeconds));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_INTVL, kKeepaliveIntervalSeconds));
    RL_TRY(router.set(ZMQ_TCP_KEEPALIVE_CNT, kKeepaliveProbes));
    RL_TRY(router.set(ZMQ_TCP_MAXRT, kUnackedMaxMs));
    RL_TRY(router.set(ZMQ_BACKLOG, kBacklog));
    RL_TRY(router.bind(options.endpoint));
    RL_ASSIGN_OR_RETURN(listener->endpoint_, router.last_endpoint());

    ZmqListener* self = listener.get();
    listener->zap_watcher_.emplace(loop, *listener->zap_, [self] { self->serve_zap(); });
    listener->router_watcher_.emplace(loop, *listener->router_, [self] { self->serve_agents(); });
    return listener;
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
        const std::string key(frames->back().property("User-Id"));
        if (frames->size() != 2 || key.empty()) {
            ++stats_.malformed;
            continue;
        }
        remember(frames->back(), key);
        if (const auto admission = admits_(key)) {
            on_message_({(*frames)[0].bytes(), key, *admission}, (*frames)[1].bytes());
        } else {
            recheck();
        }
    }
}

void ZmqListener::remember(const net::ZmqFrame& frame, std::string_view key) {
    const int fd = frame.source_fd();
    if (fd < 0) return;
    Peer& peer = peers_[fd];
    if (peer.key == key) return;
    peer.key = key;
    peer.address = frame.property("Peer-Address");
}

void ZmqListener::recheck() {
    for (auto it = peers_.begin(); it != peers_.end();) {
        const auto peer = it++;
        if (admits_(peer->second.key)) continue;
        cut(peer->first, peer->second);
        peers_.erase(peer);
    }
}

// The descriptor is libzmq's and may have been closed, and opened for something else, since it was
// noted: whoever is there must at least have the same address. At worst another agent of that
// address connects anew.
void ZmqListener::cut(int fd, const Peer& peer) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return;
    char text[INET6_ADDRSTRLEN] = "";
    if (storage.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in&>(storage).sin_addr, text, sizeof text);
    } else if (storage.ss_family == AF_INET6) {
        ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, text,
                    sizeof text);
    }
    if (peer.address != text) return;
    if (::shutdown(fd, SHUT_RDWR) != 0) return;
    ++stats_.cut;
    log::notice("connection cut: its key is no longer valid",
                {{"address", peer.address}, {"key", peer.key}});
}

void ZmqListener::send(std::string_view connection, std::string_view message) {
    const auto sent = router_->send_multipart({connection, message});
    if (!sent || !*sent) ++stats_.replies_dropped;
}

}  // namespace ridgeline::collector
