// A connection to a collector: a DEALER with CURVE, its options, and why it ended.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/net/curve_keys.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::agent {

struct CollectorSocket {
    net::ZmqSocket socket;
    net::ZmqMonitor monitor;  // of what is_end() knows, and ZMQ_EVENT_HANDSHAKE_SUCCEEDED
};

// Begins to connect; makes one attempt, since libzmq never tries again after a ZAP denial and
// hammers on a wrong key.
Result<CollectorSocket> open_collector_socket(net::ZmqContext& context, const std::string& endpoint,
                                              const std::string& server_public_z85,
                                              const net::KeyPair& keys);

// For people: what the monitor's event means, when it is not ZMQ_EVENT_HANDSHAKE_SUCCEEDED.
std::string why_it_ended(const net::ZmqEvent& event);

}  // namespace ridgeline::agent
