// The port agents connect to: a ROUTER with CURVE, and the ZAP handler that admits enrolled keys
// only.
//
// Both run on the one loop. A bounded number of messages is taken in a turn, so that a flooding
// peer cannot keep the loop from its other work. Peers that are not enrolled are turned away in the
// handshake and cost nothing more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/ingest/allow_list.h"
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
};

class ZmqListener {
  public:
    // (connection, authenticated host, message)
    using OnMessage = std::function<void(std::string_view, std::string_view, std::string_view)>;

    struct Options {
        std::string endpoint;
        std::uint64_t message_bytes_max = 4U << 20;
    };
    static Result<std::unique_ptr<ZmqListener>> open(net::Loop& loop, net::ZmqContext& context,
                                                     const Options& options,
                                                     const net::KeyPair& keys, AllowList& allowed,
                                                     OnMessage on_message);

    void send(std::string_view connection, std::string_view message);
    std::string endpoint() const { return endpoint_; }  // with the port that was chosen
    const ListenerStats& stats() const { return stats_; }

  private:
    ZmqListener(AllowList& allowed, OnMessage on_message)
        : allowed_(allowed), on_message_(std::move(on_message)) {}
    void serve_zap();
    void serve_agents();

    AllowList& allowed_;
    OnMessage on_message_;
    std::string endpoint_;
    ListenerStats stats_;
    std::optional<net::ZmqSocket> zap_;
    std::optional<net::ZmqSocket> router_;
    std::optional<net::ZmqWatcher> zap_watcher_;
    std::optional<net::ZmqWatcher> router_watcher_;
};

}  // namespace ridgeline::collector
