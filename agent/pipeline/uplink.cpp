#include "agent/pipeline/uplink.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/log/log.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr int kHwmMessages = 64;  // what waits is in the spool, not in libzmq
constexpr int kConnectTimeoutMs = 10'000;
constexpr int kHandshakeMs = 10'000;
constexpr int kHeartbeatMs = 5'000;  // a dead peer is known in 15 s …
constexpr int kHeartbeatTimeoutMs = 15'000;
constexpr int kKeepaliveIdleSeconds =
    60;  // … and NAT boxes keep the mapping even if heartbeats are all there is
// libzmq says nothing at all when a name does not resolve and it may not retry by itself.
constexpr milliseconds kAttemptTimeout{25'000};
constexpr int kMessagesPerTurn = 64;
constexpr int kMonitoredEvents =
    ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED |
    ZMQ_EVENT_CLOSED;

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

// SplitMix64's finalizer: FNV alone leaves similar endpoints with similar weights.
std::uint64_t mixed(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

std::string why_it_ended(const net::ZmqEvent& event) {
    switch (event.id) {
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            return "the collector denied this host's key (" + std::to_string(event.value) +
                   "): is it enrolled?";
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            return "the handshake failed: is server_key_file the key of this collector?";
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return "the peer does not speak ZeroMQ with CURVE";
        case ZMQ_EVENT_CLOSED:
            return "no connection to the collector";
        default:
            return "the collector closed the connection";
    }
}

}  // namespace

std::vector<std::string> rendezvous_order(std::vector<std::string> endpoints,
                                          std::string_view host_id) {
    const std::uint64_t host = fnv1a(host_id);
    const auto weight = [&](const std::string& endpoint) { return mixed(fnv1a(endpoint, host)); };
    std::sort(endpoints.begin(), endpoints.end(), [&](const std::string& a, const std::string& b) {
        const std::uint64_t wa = weight(a);
        const std::uint64_t wb = weight(b);
        return wa != wb ? wa > wb : a < b;
    });
    return endpoints;
}

// Members close in reverse order: watchers before what they watch, the monitor before the socket.
struct Uplink::Connection {
    Connection(net::ZmqSocket s, net::ZmqMonitor m) : socket(std::move(s)), monitor(std::move(m)) {}

    net::ZmqSocket socket;
    net::ZmqMonitor monitor;
    std::unique_ptr<net::ZmqWatcher> socket_watcher;
    std::unique_ptr<net::ZmqWatcher> monitor_watcher;
    bool established = false;
};

Uplink::Uplink(net::Loop& loop, UplinkConfig config, std::string_view host_id,
               const net::KeyPair& keys, UplinkSession& session, std::function<void()> seal_batch)
    : loop_(&loop),
      config_(std::move(config)),
      keys_(&keys),
      session_(&session),
      seal_batch_(std::move(seal_batch)),
      order_(rendezvous_order(config_.endpoints, host_id)),
      context_(1, 8),
      reconnect_(loop, [this] { connect(); }),
      attempt_timeout_(loop, [this] {
          move_on_ = true;
          carry_out(session_->on_disconnected(
              "the endpoint cannot be reached or its name not be resolved"));
      }) {}

Uplink::~Uplink() = default;

void Uplink::start(std::uint64_t schema_hash) {
    schema_hash_ = schema_hash;
    connect();
}

void Uplink::connect() {
    if (std::exchange(move_on_, false)) ++attempt_;
    auto opened = open_connection();
    if (!opened) {
        move_on_ = true;
        carry_out(session_->on_disconnected(opened.error().context));
        return;
    }
    connection_ = std::move(*opened);
    attempt_timeout_.start(kAttemptTimeout);
}

Result<std::unique_ptr<Uplink::Connection>> Uplink::open_connection() {
    RL_ASSIGN_OR_RETURN(net::ZmqSocket socket, net::ZmqSocket::open(context_, ZMQ_DEALER));
    const std::int64_t bytes_max = static_cast<std::int64_t>(wire::Limits{}.message_bytes);
    RL_TRY(
        socket.set(ZMQ_MAXMSGSIZE, {reinterpret_cast<const char*>(&bytes_max), sizeof bytes_max}));
    const std::pair<int, int> options[] = {
        {ZMQ_RECONNECT_IVL, -1},  // the session's back-off decides
        {ZMQ_SNDHWM, kHwmMessages},
        {ZMQ_RCVHWM, kHwmMessages},
        {ZMQ_CONNECT_TIMEOUT, kConnectTimeoutMs},
        {ZMQ_HANDSHAKE_IVL, kHandshakeMs},
        {ZMQ_HEARTBEAT_IVL, kHeartbeatMs},
        {ZMQ_HEARTBEAT_TIMEOUT, kHeartbeatTimeoutMs},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, kKeepaliveIdleSeconds},
        {ZMQ_IPV6, 1},
    };
    for (const auto& [option, value] : options)
        RL_TRY(socket.set(option, value));
    RL_TRY(socket.set(ZMQ_CURVE_SERVERKEY, config_.server_public_z85));
    RL_TRY(socket.set(ZMQ_CURVE_PUBLICKEY, keys_->public_z85));
    RL_TRY(socket.set(ZMQ_CURVE_SECRETKEY, keys_->secret.z85()));
    RL_ASSIGN_OR_RETURN(net::ZmqMonitor monitor,
                        net::ZmqMonitor::open(context_, socket, kMonitoredEvents));
    RL_TRY(socket.connect(endpoint()));
    auto connection = std::make_unique<Connection>(std::move(socket), std::move(monitor));
    Connection& c = *connection;
    c.socket_watcher =
        std::make_unique<net::ZmqWatcher>(*loop_, c.socket, [this] { on_readable(); });
    c.monitor_watcher =
        std::make_unique<net::ZmqWatcher>(*loop_, c.monitor.socket(), [this] { on_event(); });
    return connection;
}

void Uplink::on_event() {
    if (!connection_) return;
    const auto event = connection_->monitor.next();
    if (!event || !*event) return;
    if ((*event)->id == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        connection_->established = true;
        attempt_timeout_.stop();
        log::info("connected to the collector", {{"endpoint", endpoint()}});
        carry_out(session_->on_connected(schema_hash_));
        return;
    }
    move_on_ = !connection_->established;
    carry_out(session_->on_disconnected(why_it_ended(**event)));
}

void Uplink::on_readable() {
    for (int i = 0; i < kMessagesPerTurn && connection_; ++i) {
        const auto frames = connection_->socket.receive(1);
        if (!frames) return carry_out(session_->on_disconnected(frames.error().context));
        if (frames->empty()) break;
        // More than one frame is no message of ours; the session counts it as not understood.
        carry_out(session_->on_message(frames->size() == 1 ? frames->front().bytes()
                                                           : std::string_view{}));
    }
    flush();
}

void Uplink::on_batch(std::uint64_t schema_hash) {
    schema_hash_ = schema_hash;
    carry_out(session_->on_batch(schema_hash));
}

void Uplink::on_identity(wire::TextMap tags, wire::TextMap facts) {
    carry_out(session_->on_identity(std::move(tags), std::move(facts)));
    flush();
}

void Uplink::on_tick() {
    carry_out(session_->on_tick());
    flush();
}

void Uplink::carry_out(UplinkActions actions) {
    if (actions.reconnect_in) {
        lost_.write(log::Level::notice, "no uplink; samples are kept in the spool",
                    {{"endpoint", endpoint()},
                     {"why", session_->stats().last_error},
                     {"next_attempt_ms", actions.reconnect_in->count()}});
        close_later();
        reconnect_.start(*actions.reconnect_in);
        return;
    }
    for (std::string& message : actions.send)
        outbox_.push_back(std::move(message));
    flush();
    if (actions.seal_batch) seal_batch_();
}

// The session bounds what is in flight, so the outbox is bounded too.
void Uplink::flush() {
    while (connection_ && connection_->established && !outbox_.empty()) {
        const auto sent = connection_->socket.send(outbox_.front());
        if (!sent || !*sent)
            return;  // full: on_readable or on_tick comes again; broken: the monitor says so
        outbox_.pop_front();
    }
}

// A watcher's callback may be running: it must not lose its object.
void Uplink::close_later() {
    outbox_.clear();
    attempt_timeout_.stop();
    if (!connection_) return;
    closing_.push_back(std::move(connection_));
    loop_->defer([this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired()) closing_.clear();
    });
}

}  // namespace ridgeline::agent
