// How the agent is doing: shown by `status` and sent as the metrics ridgeline.agent.*.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/pipeline/schedule.h"
#include "agent/pipeline/spool.h"
#include "agent/pipeline/uplink_session.h"
#include "agent/source/agent_self.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

struct SourceStatus {
    std::string name;
    std::chrono::milliseconds interval{0};
    std::uint64_t rounds = 0;
    std::uint64_t errors = 0;
    std::uint64_t overruns = 0;
    std::chrono::nanoseconds last_duration{0};
    std::string last_error;  // empty when the last round went well
    bool in_worker = false;  // read on a worker thread
    bool stuck = false;      // a read on the worker has outlasted the source's patience
};

struct AgentStatus {
    std::string host_id;
    std::string version;
    std::map<std::string, std::string> tags;
    std::string ec2_error;   // why the instance metadata is not known, or not known anew
    std::string public_key;  // empty while there is none
    WallTime started;
    std::uint64_t samples = 0;
    std::uint64_t values_refused = 0;  // NaN and infinities
    std::uint64_t series_refused = 0;  // declarations beyond the wire's limits
    std::uint64_t ticks_missed = 0;
    std::uint64_t wall_steps = 0;
    Lateness lateness;                      // of the ticks since the last value was sent
    std::chrono::nanoseconds loop_busy{0};  // the loop's longest turn, likewise
    SelfUsage self;
    unsigned thinning = 1;        // what the intervals are multiplied by to keep to the limits
    std::string thinning_reason;  // empty while they are kept
    std::vector<SourceStatus> sources;
    SpoolStats spool;
    std::optional<WallTime> spool_oldest;
    bool collector_configured = false;
    std::string uplink_state;  // "off" "disconnected" "greeting" "streaming"
    std::string uplink_endpoint;
    UplinkStats uplink;
    std::size_t in_flight = 0;
};

}  // namespace ridgeline::agent
