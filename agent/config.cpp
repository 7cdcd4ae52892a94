#include "agent/config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kHostIdBytesMax = 255;
constexpr std::size_t kEndpointsMax = 16;
constexpr std::size_t kTagsMax = 32;

// The characters a collector accepts in a file name of its enrolled keys.
bool is_host_id(std::string_view text) {
    if (text.empty() || text.size() > kHostIdBytesMax || text.front() == '.') return false;
    return std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == ':' || c == '@';
    });
}

bool is_endpoint(std::string_view text) {
    constexpr std::string_view kScheme = "tcp://";
    if (!text.starts_with(kScheme)) return false;
    const auto colon = text.rfind(':');
    if (colon <= kScheme.size() - 2 || colon == kScheme.size()) return false;
    const auto port = to_u64(text.substr(colon + 1));
    return port && *port >= 1 && *port <= 65535;
}

// "10%" of one CPU. A limit below what the agent needs on an idle host would only make it useless.
void read_self_limits(ConfigTable& table, SelfLimits& limits) {
    if (const auto text = table.scalar_text("max_cpu")) {
        const auto share = parse_quantity(*text, "1");
        if (!share || *share < 0.005 || *share > 64) {
            table.error_at("max_cpu",
                           "a share of one CPU between \"0.5%\" and \"6400%\" is expected");
        } else {
            limits.cpu_share_max = *share;
        }
    }
    limits.memory_bytes_max =
        table.size_bytes("max_memory", limits.memory_bytes_max, 4U << 20, std::uint64_t{1} << 40);
}

void read_agent_table(ConfigTable table, AgentConfig& config) {
    config.host_id = table.string("host_id", config.host_id);
    if (!is_host_id(config.host_id)) {
        table.error_at(
            "host_id",
            "a host id has 1 to 255 letters, digits or . _ - : @ and does not begin with a dot");
    }
    config.interval =
        table.duration("interval", config.interval, milliseconds{100}, std::chrono::hours{1});
    config.tags = table.string_map("tags");
    if (config.tags.size() > kTagsMax)
        table.error_at("tags", "at most " + std::to_string(kTagsMax) + " tags");
    config.root = table.string("root", config.root.string());
    config.ec2 = table.boolean("ec2", config.ec2);
    read_self_limits(table, config.self_limits);
}

void read_collector_table(ConfigTable table, AgentConfig& config) {
    config.endpoints = table.strings("endpoints");
    for (const std::string& endpoint : config.endpoints) {
        if (!is_endpoint(endpoint)) {
            table.error_at("endpoints", "\"" + printable(endpoint, 100) +
                                            "\" is not of the form tcp://HOST:PORT");
        }
    }
    if (config.endpoints.size() > kEndpointsMax) {
        table.error_at("endpoints", "at most " + std::to_string(kEndpointsMax) + " endpoints");
    }
    config.server_key_file = table.string("server_key_file", config.server_key_file.string());
    config.key_file = table.string("key_file", config.key_file.string());
    config.batch =
        table.duration("batch", config.batch, milliseconds{1000}, std::chrono::minutes{10});
}

void read_spool_table(ConfigTable table, AgentConfig& config) {
    config.spool_path = table.string("path", config.spool_path.string());
    config.spool_bytes_max =
        table.size_bytes("max_size", config.spool_bytes_max, 8U << 20, std::uint64_t{1} << 40);
    // Zero leaves the writing to the kernel.
    config.fsync_interval =
        table.duration("fsync", config.fsync_interval, milliseconds{0}, std::chrono::minutes{10});
}

void read_log_table(ConfigTable table, AgentConfig& config) {
    static const std::array<std::string, 5> kLevels = {"error", "warning", "notice", "info",
                                                       "debug"};
    constexpr std::array kValues = {log::Level::error, log::Level::warning, log::Level::notice,
                                    log::Level::info, log::Level::debug};
    const std::string level = table.choice("level", "info", kLevels);
    const auto at = std::find(kLevels.begin(), kLevels.end(), level) - kLevels.begin();
    config.log_level = kValues[static_cast<std::size_t>(at)];
}

}  // namespace

LoadedAgentConfig read_agent_config(ConfigDocument document) {
    LoadedAgentConfig loaded;
    ConfigTable root = document.root();
    read_agent_table(root.table("agent"), loaded.config);
    read_collector_table(root.table("collector"), loaded.config);
    read_spool_table(root.table("spool"), loaded.config);
    loaded.config.status_socket =
        root.table("status").string("socket", loaded.config.status_socket.string());
    read_log_table(root.table("log"), loaded.config);
    loaded.config.sources = read_sources_config(root, loaded.config.interval);
    root.close();
    loaded.errors = document.errors();
    return loaded;
}

LoadedAgentConfig load_agent_config(const std::filesystem::path& file) {
    return read_agent_config(ConfigDocument::load(file));
}

std::vector<std::string> keys_needing_restart(const AgentConfig& running, const AgentConfig& next) {
    const std::pair<const char*, bool> fixed[] = {
        {"agent.host_id", next.host_id != running.host_id},
        {"agent.root", next.root != running.root},
        {"agent.ec2", next.ec2 != running.ec2},
        {"spool.path", next.spool_path != running.spool_path},
        {"spool.max_size", next.spool_bytes_max != running.spool_bytes_max},
        {"status.socket", next.status_socket != running.status_socket},
    };
    std::vector<std::string> keys;
    for (const auto& [key, changed] : fixed) {
        if (changed) keys.emplace_back(key);
    }
    return keys;
}

}  // namespace ridgeline::agent
