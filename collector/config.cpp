#include "collector/config.h"

#include <array>
#include <type_traits>

#include "collector/http/server.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

ListenConfig read_listen(ConfigTable table) {
    ListenConfig listen;
    listen.agents = table.string("agents", listen.agents);
    if (!listen.agents.starts_with("tcp://")) {
        table.error_at("agents", "agents must be an address such as \"tcp://0.0.0.0:7171\"");
    }
    listen.http = table.string("http", listen.http);
    if (const auto checked = check_listen_address(listen.http); !checked) {
        table.error_at("http", "http: " + checked.error().context);
    }
    listen.http_names = table.strings("http_names");
    listen.key_file = table.string("key_file", listen.key_file.string());
    listen.advertise = table.strings("advertise");
    for (const std::string& address : listen.advertise) {
        if (!address.starts_with("tcp://") || address.find(':', 6) == std::string::npos)
            table.error_at(
                "advertise",
                "advertise must list addresses such as \"tcp://collector.example.com:7171\"");
    }
    listen.agents_dir = table.string("agents_dir", listen.agents_dir.string());
    return listen;
}

StorageConfig read_storage(ConfigTable table) {
    StorageConfig storage;
    storage.path = table.string("path", storage.path.string());
    storage.window = table.duration("window", storage.window, 1min, 24h * 31);
    storage.max_size_bytes =
        table.size_bytes("max_size", storage.max_size_bytes, 16ULL << 20, 1ULL << 44);
    storage.sync_interval = table.duration("sync_interval", storage.sync_interval, 10ms, 10s);
    return storage;
}

LimitsConfig read_limits(ConfigTable table) {
    LimitsConfig limits;
    const auto count = [&](const char* key, auto& value, std::int64_t min, std::int64_t max) {
        using Count = std::remove_reference_t<decltype(value)>;
        value = static_cast<Count>(table.integer(key, static_cast<std::int64_t>(value), min, max));
    };
    limits.message_bytes =
        table.size_bytes("message_size", limits.message_bytes, 64U << 10, 16U << 20);
    limits.handshake_timeout =
        table.duration("handshake_timeout", limits.handshake_timeout, 100ms, 1min);
    count("connections", limits.connections, 1, 1'000'000);
    count("connections_per_host", limits.connections_per_host, 1, 1'000);

    count("hosts", limits.hosts, 1, 1'000'000);
    count("credit", limits.credit, 1, 1024);
    QuotaLimits& quota = limits.quota;
    count("samples_per_second", quota.samples_per_second, 1, 1'000'000'000);
    count("backlog_samples_per_second", quota.backlog_samples_per_second, 1, 1'000'000'000);
    count("messages_per_second", quota.messages_per_second, 1, 1'000'000);
    quota.bytes_per_second =
        table.size_bytes("bytes_per_second", quota.bytes_per_second, 1U << 10, 1ULL << 40);
    quota.burst = table.duration("burst", quota.burst, 1s, 24h);
    limits.future = table.duration("future", limits.future, 1s, 24h * 14);
    limits.past = table.duration("past", limits.past, 1min, 24h * 36'500);

    count("schemas_per_host", limits.schemas_per_host, 1, 1'000);
    count("series_per_host", limits.series_per_host, 10, 1'000'000);
    count("new_series_per_host_per_hour", limits.new_series_per_host_per_hour, 1, 1'000'000'000);
    count("series_total", limits.series_total, 100, 100'000'000);
    return limits;
}

log::Level read_level(ConfigTable table) {
    static const std::array<std::string, 5> kLevels = {"error", "warning", "notice", "info",
                                                       "debug"};
    const std::string level = table.choice("level", "info", kLevels);
    for (std::size_t i = 0; i < kLevels.size(); ++i) {
        if (kLevels[i] == level)
            return static_cast<log::Level>(static_cast<int>(log::Level::error) +
                                           static_cast<int>(i));
    }
    return log::Level::info;
}

}  // namespace

CollectorConfig read_collector_config(ConfigDocument& document) {
    ConfigTable root = document.root();
    CollectorConfig config;
    config.listen = read_listen(root.table("listen"));
    config.storage = read_storage(root.table("storage"));
    config.limits = read_limits(root.table("limits"));
    ConfigTable rules = root.table("rules");
    config.rules.packaged = rules.string("packaged", config.rules.packaged.string());
    config.rules.path = rules.string("path", config.rules.path.string());
    config.rules.identities_per_rule = static_cast<std::uint32_t>(
        rules.integer("identities_per_rule", config.rules.identities_per_rule, 1, 100'000'000));
    config.rules.startup_grace =
        rules.duration("startup_grace", config.rules.startup_grace, 1s, 1h);
    ConfigTable aws = root.table("aws");
    config.aws = read_aws_config(aws);
    ConfigTable cloudwatch = root.table("cloudwatch");
    config.cloudwatch = read_cloudwatch_config(cloudwatch);
    config.cloudwatch_control = read_cloudwatch_control_config(cloudwatch);
    config.aws_metrics = read_aws_metrics(root);
    config.notify = read_notify_config(root);
    config.log_level = read_level(root.table("log"));
    root.close();
    return config;
}

}  // namespace ridgeline::collector
