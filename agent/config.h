// The agent's configuration: /etc/ridgeline/agent.toml and its drop-ins.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/pipeline/self_limit.h"
#include "agent/source/catalogue.h"
#include "common/base/result.h"
#include "common/config/toml_reader.h"
#include "common/log/log.h"

namespace ridgeline::agent {

inline constexpr const char* kDefaultConfigPath = "/etc/ridgeline/agent.toml";
inline constexpr const char* kDefaultStatusSocket = "/run/ridgeline-agent/status.sock";
inline constexpr const char* kDefaultKeyFile = "/var/lib/ridgeline-agent/agent.key";

struct AgentConfig {
    // [agent]
    std::string host_id = "auto";
    std::chrono::milliseconds interval{1000};
    std::map<std::string, std::string> tags;
    std::filesystem::path root = "/";
    SelfLimits self_limits;
    bool ec2 = true;  // ask the instance metadata service, where there is one
    // [collector]
    std::vector<std::string> endpoints;  // empty: samples are spooled and wait
    std::filesystem::path server_key_file = "/etc/ridgeline/collector.pub";
    std::chrono::milliseconds batch{10'000};
    std::filesystem::path key_file = kDefaultKeyFile;
    // [spool]
    std::filesystem::path spool_path = "/var/lib/ridgeline-agent/spool";
    std::uint64_t spool_bytes_max = 256U << 20;
    std::chrono::milliseconds fsync_interval{1000};  // zero: never
    // [status]
    std::filesystem::path status_socket = kDefaultStatusSocket;
    // [log]
    log::Level log_level = log::Level::info;
    // [source.*]
    SourcesConfig sources;
};

struct LoadedAgentConfig {
    AgentConfig config;
    std::vector<ConfigError> errors;  // empty: the config may be used
};
LoadedAgentConfig load_agent_config(const std::filesystem::path& file);
LoadedAgentConfig read_agent_config(ConfigDocument document);

// The keys that differ and that a running agent cannot change.
std::vector<std::string> keys_needing_restart(const AgentConfig& running, const AgentConfig& next);

}  // namespace ridgeline::agent
