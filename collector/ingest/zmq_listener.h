// The port agents connect to: a ROUTER with CURVE, and the ZAP handler that admits known keys only.
//
// The CURVE key is the identity: it is judged in the handshake and again with every message, so
// that who loses the right to speak loses the connection. A ROUTER cannot close one connection; its
// TCP socket is shut down instead, and libzmq sees the peer go.
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
#include <unordered_map>

#include "collector/ingest/admission.h"
#include "common/base/result.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::collector {

struct ListenerStats {
    std::uint64_t admitted = 0;  // handshakes
    std::uint64_t denied = 0;    // keys that are not enrolled
    std::uint64_t cut = 0;       // connections whose key was no longer valid
    std::uint64_t malformed =
        0;  // messages of more or fewer frames than one, or without an identity
    std::uint64_t replies_dropped = 0;  // the peer was gone or did not read; agents ask again
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
    };
    static Result<std::unique_ptr<ZmqListener>> open(net::Loop& loop, net::ZmqContext& context,
                                                     const Options& options,
                                                     const net::KeyPair& keys, Admits admits,
                                                     OnMessage on_message);

    void send(std::string_view connection, std::string_view message);
    // Cuts every connection whose key may not speak any more.
    void recheck();
    std::string endpoint() const { return endpoint_; }  // with the port that was chosen
    const ListenerStats& stats() const { return stats_; }

  private:
    // Who speaks over a TCP socket, as of its last message. By descriptor, so that what is kept is
    // bounded by what is open.
    struct Peer {
        std::string key;
        std::string address;
    };

    ZmqListener(Admits admits, OnMessage on_message)
        : admits_(std::move(admits)), on_message_(std::move(on_message)) {}
    void serve_zap();
    void serve_agents();
    void remember(const net::ZmqFrame& frame, std::string_view key);
    void cut(int fd, const Peer& peer);

    Admits admits_;
    OnMessage on_message_;
    std::string endpoint_;
    ListenerStats stats_;
    std::unordered_map<int, Peer> peers_;
    std::optional<net::ZmqSocket> zap_;
    std::optional<net::ZmqSocket> router_;
    std::optional<net::ZmqWatcher> zap_watcher_;
    std::optional<net::ZmqWatcher> router_watcher_;
};

}  // namespace ridgeline::collector
