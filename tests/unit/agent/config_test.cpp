#include "agent/config.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

LoadedAgentConfig read(std::string_view text) {
    return read_agent_config(ConfigDocument::parse(text, "agent.toml"));
}
std::string error_of(std::string_view text) {
    const auto errors = read(text).errors;
    REQUIRE(errors.size() == 1);
    return to_string(errors[0]);
}

TEST_CASE("an empty configuration works and has the documented defaults", "[config]") {
    const auto loaded = read("");
    REQUIRE(loaded.errors.empty());
    const AgentConfig& config = loaded.config;
    REQUIRE(config.host_id == "auto");
    REQUIRE(config.interval == 1s);
    REQUIRE(config.root == "/");
    REQUIRE(config.endpoints.empty());
    REQUIRE(config.batch == 10s);
    REQUIRE(config.key_file == "/var/lib/ridgeline-agent/agent.key");
    REQUIRE(config.spool_path == "/var/lib/ridgeline-agent/spool");
    REQUIRE(config.spool_bytes_max == 256U << 20);
    REQUIRE(config.fsync_interval == 1s);
    REQUIRE(config.status_socket == "/run/ridgeline-agent/status.sock");
    REQUIRE(config.log_level == log::Level::info);
}

TEST_CASE("every key is read", "[config]") {
    const auto loaded = read(R"(
[agent]
host_id = "web-1"
interval = "5s"
tags = { env = "prod" }
root = "/host"
[collector]
endpoints = ["tcp://a.example.com:7171", "tcp://[::1]:7171"]
server_key_file = "/k/server.pub"
key_file = "/k/agent.key"
batch = "30s"
[spool]
path = "/s"
max_size = "64MiB"
fsync = "250ms"
[status]
socket = "/r/s.sock"
[log]
level = "debug"
)");
    REQUIRE(to_string(loaded.errors) == "");
    const AgentConfig& config = loaded.config;
    REQUIRE(config.host_id == "web-1");
    REQUIRE(config.interval == 5s);
    REQUIRE(config.tags.at("env") == "prod");
    REQUIRE(config.root == "/host");
    REQUIRE(config.endpoints.size() == 2);
    REQUIRE(config.server_key_file == "/k/server.pub");
    REQUIRE(config.key_file == "/k/agent.key");
    REQUIRE(config.batch == 30s);
    REQUIRE(config.spool_path == "/s");
    REQUIRE(config.spool_bytes_max == 64U << 20);
    REQUIRE(config.fsync_interval == 250ms);
    REQUIRE(config.status_socket == "/r/s.sock");
    REQUIRE(config.log_level == log::Level::debug);
}

TEST_CASE("mistakes are named where they are", "[config]") {
    REQUIRE(error_of("[agent]\nintervall = \"1s\"\n") ==
            "agent.toml:2:1: unknown key \"intervall\"; did you mean \"interval\"?");
    REQUIRE(error_of("[agent]\nhost_id = \"a/b\"\n").starts_with("agent.toml:2:11: a host id has"));
    REQUIRE(error_of("[agent]\nhost_id = \"\"\n").starts_with("agent.toml:2:11: a host id has"));
    for (const char* endpoint :
         {"example.com:7171", "tcp://example.com", "tcp://:7171", "tcp://a:0", "tcp://a:99999"}) {
        const std::string text = "[collector]\nendpoints = [\"" + std::string(endpoint) + "\"]\n";
        REQUIRE(error_of(text).find("is not of the form tcp://HOST:PORT") != std::string::npos);
    }
    REQUIRE(error_of("[collector]\nbatch = \"1ms\"\n").starts_with("agent.toml:2:9: "));
    REQUIRE(error_of("[log]\nlevel = \"loud\"\n").starts_with("agent.toml:2:9: "));
}

TEST_CASE("the limits on itself are a share of one CPU and a size", "[config]") {
    const AgentConfig by_default = read("").config;
    REQUIRE(by_default.self_limits.cpu_share_max == 0.1);
    REQUIRE(by_default.self_limits.memory_bytes_max == 128U << 20);
    const AgentConfig set = read("[agent]\nmax_cpu = \"2.5%\"\nmax_memory = \"48MiB\"\n").config;
    REQUIRE(set.self_limits.cpu_share_max == 0.025);
    REQUIRE(set.self_limits.memory_bytes_max == 48U << 20);
    REQUIRE(error_of("[agent]\nmax_cpu = \"0.1%\"\n") ==
            "agent.toml:2:11: a share of one CPU between \"0.5%\" and \"6400%\" is "
            "expected");
}

TEST_CASE("a reload says which changes have to wait for a restart", "[config]") {
    AgentConfig next;
    next.interval = 5s;
    next.batch = 30s;
    REQUIRE(keys_needing_restart(AgentConfig{}, next).empty());
    next.host_id = "other";
    next.spool_path = "/elsewhere";
    REQUIRE(keys_needing_restart(AgentConfig{}, next) ==
            std::vector<std::string>{"agent.host_id", "spool.path"});
}

}  // namespace
}  // namespace ridgeline::agent
