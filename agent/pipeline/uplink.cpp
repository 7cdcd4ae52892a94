#include "agent/pipeline/uplink.h"

#include <cstring>
#include <utility>

#include "agent/pipeline/collector_socket.h"
#include "agent/pipeline/rendezvous.h"
#include "common/log/log.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

// libzmq says nothing at all when a name does not resolve and it may not retry by itself.
constexpr milliseconds kAttemptTimeout{25'000};
constexpr int kMessagesPerTurn = 64;
}  // namespace

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
               const net::KeyPair& keys, UplinkSession& session)
    : loop_(&loop),
      config_(std::move(config)),
      keys_(&keys),
      session_(&session),
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
    RL_ASSIGN_OR_RETURN(
        CollectorSocket opened,
        open_collector_socket(context_, endpoint(), config_.server_public_z85, *keys_));
    auto connection =
        std::make_unique<Connection>(std::move(opened.socket), std::move(opened.monitor));
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

void Uplink::on_spool_replaced() {
    carry_out(session_->on_spool_replaced());
    flush();
}

void Uplink::on_tick() {
    carry_out(session_->on_tick());
    flush();
}

void Uplink::carry_out(UplinkActions actions) {
    if (actions.reconnect_in) {
        move_on_ = move_on_ || actions.try_another;
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
