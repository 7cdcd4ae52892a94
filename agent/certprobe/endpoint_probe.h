// One live endpoint: connects, says what comes before TLS, takes the chain and judges it.
#pragma once

#include "agent/certprobe/probe_protocol.h"

namespace ridgeline::agent {

// Blocks for at most the request's time-out, but for the name's resolution.
ProbeAnswer probe_endpoint(const EndpointProbe& request);

}  // namespace ridgeline::agent
