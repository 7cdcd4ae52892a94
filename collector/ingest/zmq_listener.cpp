#include "collector/ingest/zmq_listener.h"

#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr int kMessagesPerTurn = 64;
constexpr int kReceiveHwm =
    256;                        // messages per peer; agents keep to their credit, which is far less
constexpr int kSendHwm = 1000;  // acks are small
constexpr int kHandshakeMs = 5000;
constexpr int kHeartbeatMs = 5000;
constexpr int kHeartbeatTimeoutMs = 15'000;
constexpr int kBacklog = 4096;  // thousands of agents come back at once after a restart

// RFC 27 (ZAP 1.0). The request's frames: version, request id, domain, address, identity,
// mechanism, credentials.
constexpr std::size_t kZapFrames = 7;

}  // namespace

Result<std::unique_ptr<ZmqListener>> ZmqListener::open(net::Loop& loop, net::ZmqContext& context,
                                                       const Options& options,
                                                       const net::KeyPair& keys, AllowList& allowed,
                                                       OnMessage on_message) {
    std::unique_ptr<ZmqListener> listener(new ZmqListener(allowed, std::move(on_message)));
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
    RL_TRY(router.set(ZMQ_HEARTBEAT_IVL, kHeartbeatMs));
    RL_TRY(router.set(ZMQ_HEARTBEAT_TIMEOUT, kHeartbeatTimeoutMs));
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
        std::optional<std::string> host;
        if (frame(0) == "1.0" && frame(5) == "CURVE") {
            if (const auto key = net::key_bytes_to_z85(frame(6))) host = allowed_.find(*key);
        }
        host ? ++stats_.admitted : ++stats_.denied;
        if (!host) {
            static log::RateLimit limit(10);
            const auto key = net::key_bytes_to_z85(frame(6));
            limit.write(log::Level::notice, "a key that is not enrolled was turned away",
                        {{"address", frame(3)}, {"key", key ? *key : std::string("none")}});
        }
        // 200 and 400 only: a client that is answered 300 or 500 hangs instead of failing.
        const auto sent = zap_->send_multipart({(*frames)[0].bytes(), "", "1.0", frame(1),
                                                host ? "200" : "400", host ? "OK" : "not enrolled",
                                                host ? std::string_view(*host) : "", ""});
        if (!sent || !*sent) ++stats_.replies_dropped;
    }
}

void ZmqListener::serve_agents() {
    for (int n = 0; n < kMessagesPerTurn; ++n) {
        auto frames = router_->receive(2);
        if (!frames || frames->empty()) return;
        const std::string_view host = frames->back().property("User-Id");
        if (frames->size() != 2 || host.empty()) {
            ++stats_.malformed;
            continue;
        }
        on_message_((*frames)[0].bytes(), host, (*frames)[1].bytes());
    }
}

void ZmqListener::send(std::string_view connection, std::string_view message) {
    const auto sent = router_->send_multipart({connection, message});
    if (!sent || !*sent) ++stats_.replies_dropped;
}

}  // namespace ridgeline::collector
