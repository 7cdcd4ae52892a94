// The uplink over ZeroMQ: makes connections and carries the session's messages.
//
// Every attempt has a fresh DEALER socket, because libzmq never tries again after a ZAP denial and
// hammers on a wrong key; the monitor's events say how an attempt went, and the session's back-off
// decides when the next one is due. Several collectors are tried in rendezvous order of the host
// id. Loop thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/pipeline/uplink_session.h"
#include "common/log/log.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::agent {

struct UplinkConfig {
    std::vector<std::string> endpoints;  // "tcp://host:port"
    std::string server_public_z85;
};

class Uplink {
  public:
    // `keys` and `session` must outlive it.
    Uplink(net::Loop& loop, UplinkConfig config, std::string_view host_id, const net::KeyPair& keys,
           UplinkSession& session);
    ~Uplink();

    void start(std::uint64_t schema_hash);
    // A batch was sealed into the spool, under this schema.
    void on_batch(std::uint64_t schema_hash);
    void on_identity(wire::TextMap tags, wire::TextMap facts);
    void on_spool_replaced();
    void on_tick();
    // The endpoint in use or tried last.
    const std::string& endpoint() const { return order_[attempt_ % order_.size()]; }

  private:
    struct Connection;

    void connect();
    Result<std::unique_ptr<Connection>> open_connection();
    void on_event();
    void on_readable();
    void flush();
    void carry_out(UplinkActions actions);
    void close_later();

    net::Loop* loop_;
    UplinkConfig config_;
    const net::KeyPair* keys_;
    UplinkSession* session_;
    std::vector<std::string> order_;
    std::size_t attempt_ = 0;
    bool move_on_ = false;  // to the next endpoint, since this one could not be reached
    std::uint64_t schema_hash_ = 0;
    net::ZmqContext context_;
    net::Timer reconnect_;
    net::Timer attempt_timeout_;
    std::unique_ptr<Connection> connection_;
    std::vector<std::unique_ptr<Connection>> closing_;
    std::shared_ptr<int> alive_ =
        std::make_shared<int>(0);  // for work deferred past this object's end
    log::RateLimit lost_{6};
    std::deque<std::string> outbox_;  // at most the credit and a few control messages
};

}  // namespace ridgeline::agent
