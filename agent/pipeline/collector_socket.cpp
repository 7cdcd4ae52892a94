#include "agent/pipeline/collector_socket.h"

#include <cstdint>
#include <utility>

#include "common/wire/messages.h"

namespace ridgeline::agent {

namespace {

constexpr int kHwmMessages = 64;  // what waits is in the spool, not in libzmq
constexpr int kConnectTimeoutMs = 10'000;
constexpr int kHandshakeMs = 10'000;
constexpr int kHeartbeatMs = 5'000;  // a dead peer is known in 15 s …
constexpr int kHeartbeatTimeoutMs = 15'000;
constexpr int kKeepaliveIdleSeconds =
    60;  // … and NAT boxes keep the mapping even if heartbeats are all there is
constexpr int kMonitoredEvents =
    ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED |
    ZMQ_EVENT_CLOSED;

}  // namespace

Result<CollectorSocket> open_collector_socket(net::ZmqContext& context, const std::string& endpoint,
                                              const std::string& server_public_z85,
                                              const net::KeyPair& keys) {
    RL_ASSIGN_OR_RETURN(net::ZmqSocket socket, net::ZmqSocket::open(context, ZMQ_DEALER));
    const std::int64_t bytes_max = static_cast<std::int64_t>(wire::Limits{}.message_bytes);
    RL_TRY(
        socket.set(ZMQ_MAXMSGSIZE, {reinterpret_cast<const char*>(&bytes_max), sizeof bytes_max}));
    const std::pair<int, int> options[] = {
        {ZMQ_RECONNECT_IVL, -1},  // who asked decides when to try again
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
    RL_TRY(socket.set(ZMQ_CURVE_SERVERKEY, server_public_z85));
    RL_TRY(socket.set(ZMQ_CURVE_PUBLICKEY, keys.public_z85));
    RL_TRY(socket.set(ZMQ_CURVE_SECRETKEY, keys.secret.z85()));
    RL_ASSIGN_OR_RETURN(net::ZmqMonitor monitor,
                        net::ZmqMonitor::open(context, socket, kMonitoredEvents));
    RL_TRY(socket.connect(endpoint));
    return CollectorSocket{std::move(socket), std::move(monitor)};
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

}  // namespace ridgeline::agent
