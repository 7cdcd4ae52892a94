// The port agents connect to: a ROUTER with CURVE, and the ZAP handler that admits known keys only.
//
// The CURVE key is the identity: it is judged in the handshake and again with every message, so
// that who loses the right to speak loses the connection. A ROUTER cannot close one connection; its
// TCP socket, whose descriptor the socket's monitor tells, is shut down instead, and libzmq sees
// the peer go.
//
// Both run on the one loop. A bounded number of messages is taken in a turn, so that a flooding
// peer cannot keep the loop from its other work. Peers that are not enrolled are turned away in the
// handshake and cost nothing more.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/ingest/admission.h"
#include "collector/ingest/connection_table.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::collector {

struct ListenerStats {
    std::uint64_t admitted = 0;  // handshakes
    std::uint64_t denied = 0;    // keys that are not enrolled
    std::uint64_t malformed =
        0;  // messages of more or fewer frames than one, or without an identity
    std::uint64_t replies_dropped = 0;  // the peer was gone or did not read; agents ask again
    std::uint64_t accepted = 0;
    std::uint64_t accept_errors = 0;  // no descriptor left, as a rule
    // Handshakes that came to nothing: ended or timed out, no ZeroMQ with CURVE, denied.
    std::uint64_t handshakes_ended = 0;
    std::uint64_t handshakes_not_curve = 0;
    std::uint64_t handshakes_auth = 0;
    std::array<std::uint64_t, kCutReasons> cut{};
};

class ZmqListener {
  public:
    struct Sender {
        std::string_view connection;
        std::string_view key;  // that it authenticated with, Z85
        const Admission& admission;
    };
    using OnMessage = std::function<void(const Sender&, std::string_view message)>;

    struct Options {
        std::string endpoint;
        std::uint64_t message_bytes_max = 4U << 20;
        std::chrono::milliseconds handshake_timeout = std::chrono::seconds{5};
        ConnectionLimits connections;
    };
    static Result<std::unique_ptr<ZmqListener>> open(net::Loop& loop, net::ZmqContext& context,
                                                     const Options& options,
                                                     const net::KeyPair& keys, const Clock& clock,
                                                     Admits admits, OnMessage on_message);
    ~ZmqListener();

    void send(std::string_view connection, std::string_view message);
    // Cuts every connection whose key may not speak any more.
    void recheck();
    // Closes the peer's connection, if it is still there.
    void cut(std::string_view connection, CutReason reason);
    // New limits, in force from now on, as far as the process may have descriptors.
    void change(ConnectionLimits limits);
    const ConnectionTable& connections() const { return *connections_; }
    std::string endpoint() const { return endpoint_; }  // with the port that was chosen
    const ListenerStats& stats() const { return stats_; }

  private:
    ZmqListener(const Clock& clock, Admits admits, OnMessage on_message)
        : clock_(clock), admits_(std::move(admits)), on_message_(std::move(on_message)) {}
    void recheck(const std::function<bool(std::string_view key)>& may_speak);
    void serve_zap();
    void serve_agents();
    void serve_monitor();
    void on_event(const net::ZmqEvent& event);
    void on_no_descriptor();
    void on_tick();
    void shut(const std::vector<Cut>& cuts);

    const Clock& clock_;
    Admits admits_;
    OnMessage on_message_;
    std::string endpoint_;
    ListenerStats stats_;
    std::optional<net::ZmqSocket> zap_;
    std::optional<net::ZmqSocket> router_;
    std::optional<net::ZmqMonitor> monitor_;
    ConnectionLimits limits_;
    std::optional<ConnectionTable> connections_;
    std::uint16_t port_ = 0;
    std::vector<int> spare_fds_;
    MonoTime last_shortage_;
    std::optional<net::ZmqWatcher> zap_watcher_;
    std::optional<net::ZmqWatcher> router_watcher_;
    std::optional<net::ZmqWatcher> monitor_watcher_;
    std::optional<net::Timer> tick_;
};

}  // namespace ridgeline::collector
