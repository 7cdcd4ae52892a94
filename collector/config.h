// The collector's configuration, /etc/ridgeline/collector.toml with its drop-ins.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "collector/aws/aws_config.h"
#include "collector/cloudwatch/control_config.h"
#include "collector/cloudwatch/metrics_config.h"
#include "collector/ingest/host_quota.h"
#include "collector/notify/config.h"
#include "collector/sink/cloudwatch_config.h"
#include "common/config/toml_reader.h"
#include "common/log/log.h"

namespace ridgeline::collector {

struct ListenConfig {
    std::string agents = "tcp://0.0.0.0:7171";
    std::string http = "127.0.0.1:7180";
    std::vector<std::string> http_names;  // what a reverse proxy's clients call it
    std::filesystem::path key_file = "/var/lib/ridgeline-collector/collector.key";
    // How agents reach the `agents` port, for enrolment tokens; empty: this machine's name.
    std::vector<std::string> advertise;
    std::filesystem::path agents_dir =
        "/etc/ridgeline/agents.d";  // enrolled keys, <host id>.pub each
};

struct StorageConfig {
    std::filesystem::path path = "/var/lib/ridgeline-collector";
    std::chrono::milliseconds window = std::chrono::hours{24};
    std::uint64_t max_size_bytes = 8ULL << 30;
    // At most one fsync in this time; what arrives meanwhile shares it.
    std::chrono::milliseconds sync_interval{200};
};

// What agents, and strangers on their port, may ask of the collector. Read again on SIGHUP, but for
// message_size and handshake_timeout, which the open port keeps.
struct LimitsConfig {
    // Of the port.
    std::uint64_t message_bytes = 4U << 20;
    std::chrono::milliseconds handshake_timeout = std::chrono::seconds{5};
    std::uint32_t connections = 20'000;
    std::uint32_t connections_per_host = 4;
    // Of the hosts.
    std::uint32_t hosts = 20'000;
    std::uint32_t credit = 16;  // batches an agent may have in flight
    QuotaLimits quota;          // each host's
    std::chrono::milliseconds future = std::chrono::hours{2};
    std::chrono::milliseconds past = std::chrono::hours{24} * 400;
    // Of the series.
    std::uint32_t schemas_per_host = 8;
    std::uint32_t series_per_host = 20'000;
    std::uint32_t new_series_per_host_per_hour = 10'000;
    std::uint32_t series_total = 1'000'000;
};

struct RulesConfig {
    std::filesystem::path packaged = "/usr/share/ridgeline/rules";
    std::filesystem::path path = "/etc/ridgeline/rules.d";
    // Of one rule; new series beyond it are not judged, and an alert says so.
    std::uint32_t identities_per_rule = 100'000;
    // After a start nobody is taken for silent before it is over.
    std::chrono::milliseconds startup_grace = std::chrono::seconds{90};
};

struct CollectorConfig {
    ListenConfig listen;
    StorageConfig storage;
    LimitsConfig limits;
    RulesConfig rules;
    AwsConfig aws;
    CloudWatchConfig cloudwatch;
    CloudWatchControlConfig cloudwatch_control;  // read again on SIGHUP
    std::vector<AwsMetricsConfig> aws_metrics;
    NotifyConfig notify;  // read again on SIGHUP
    log::Level log_level = log::Level::info;
};

// Reads all of it; what is wrong is in document.errors() afterwards.
CollectorConfig read_collector_config(ConfigDocument& document);

}  // namespace ridgeline::collector
