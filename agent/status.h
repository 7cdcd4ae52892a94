// The agent's status: gathered by the agent, answered as one JSON object on a Unix socket, shown by
// `status`.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pipeline/spool.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/uv.h"

namespace ridgeline::agent {

struct SourceStatus {
    std::string name;
    std::chrono::milliseconds interval{0};
    std::uint64_t rounds = 0;
    std::uint64_t errors = 0;
    std::uint64_t overruns = 0;
    std::chrono::nanoseconds last_duration{0};
    std::string last_error;  // empty when the last round went well
};

struct AgentStatus {
    std::string host_id;
    std::string version;
    std::string public_key;
    WallTime now;
    WallTime started;
    std::uint64_t samples = 0;
    std::uint64_t ticks_missed = 0;
    std::vector<SourceStatus> sources;
    SpoolStats spool;
    std::optional<WallTime> spool_oldest;
    std::string uplink_state;  // "no collector configured" "disconnected" "greeting" "streaming"
    std::string uplink_endpoint;
    std::string uplink_error;
    std::uint64_t reconnects = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t acked_batches = 0;
};

std::string to_json(const AgentStatus& status);
std::string to_table(const AgentStatus& status);

// Answers every connection with one JSON object and closes it. Loop thread.
class StatusServer {
  public:
    // Errc::io when the socket cannot be made; a stale one is replaced.
    static Result<std::unique_ptr<StatusServer>> open(net::Loop& loop,
                                                      const std::filesystem::path& socket,
                                                      std::function<AgentStatus()> gather);
    virtual ~StatusServer() = default;
};

struct StatusAnswer {
    std::string json;
    std::string table;
};
// Asks a running agent; blocks for at most 5 s.
Result<std::string> ask_status(const std::filesystem::path& socket, bool as_json);

}  // namespace ridgeline::agent
