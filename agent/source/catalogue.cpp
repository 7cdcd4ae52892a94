#include "agent/source/catalogue.h"

#include <algorithm>

#include "agent/source/agent_self.h"
#include "agent/source/host.h"
#include "agent/source/memory.h"
#include "agent/source/pressure.h"

namespace ridgeline::agent {

namespace {

using namespace std::chrono_literals;

SourceSettings read_settings(ConfigTable& table, std::chrono::milliseconds default_interval) {
    SourceSettings settings;
    settings.enabled = table.boolean("enabled", true);
    settings.interval = table.duration("interval", default_interval, 100ms, 24h);
    return settings;
}

FilesystemOptions read_filesystem(ConfigTable& table) {
    FilesystemOptions options;
    options.include_types = table.strings("include_types");
    options.exclude_types = table.strings("exclude_types", options.exclude_types);
    options.include_mountpoints = table.strings("include_mountpoints");
    options.exclude_mountpoints = table.strings("exclude_mountpoints", options.exclude_mountpoints);
    options.exclude_devices = table.strings("exclude_devices");
    return options;
}

}  // namespace

SourcesConfig read_sources_config(ConfigTable& root, std::chrono::milliseconds default_interval) {
    SourcesConfig config;
    ConfigTable source = root.table("source");
    const auto settings = [&](std::string_view name, std::chrono::milliseconds interval) {
        ConfigTable table = source.table(name);
        return read_settings(table, interval);
    };
    ConfigTable cpu = source.table("cpu");
    config.cpu = read_settings(cpu, default_interval);
    config.cpu_options.per_cpu = cpu.boolean("per_cpu", false);
    config.memory = settings("memory", default_interval);
    ConfigTable filesystem = source.table("filesystem");
    config.filesystem =
        read_settings(filesystem, std::max(default_interval, std::chrono::milliseconds(10s)));
    config.filesystem_options = read_filesystem(filesystem);
    ConfigTable disk = source.table("disk");
    config.disk = read_settings(disk, default_interval);
    config.disk_options.partitions = disk.boolean("partitions", false);
    config.disk_options.include = disk.strings("include");
    config.disk_options.exclude = disk.strings("exclude", config.disk_options.exclude);
    ConfigTable network = source.table("network");
    config.network = read_settings(network, default_interval);
    config.network_options.virtual_interfaces = network.boolean("virtual_interfaces", false);
    config.network_options.include = network.strings("include");
    config.network_options.exclude = network.strings("exclude", config.network_options.exclude);
    ConfigTable certificate = source.table("certificate");
    config.certificate = read_settings(certificate, 1h);
    config.certificate_options.files = certificate.strings("files");
    if (certificate.skip("endpoints")) {
        certificate.error_at("endpoints",
                             "live endpoints are not supported by this version; take the key out");
    }
    for (const std::string& file : config.certificate_options.files) {
        if (!file.starts_with('/'))
            certificate.error_at("files", "files must be absolute paths, not \"" + file + "\"");
    }
    config.pressure = settings("pressure", default_interval);
    config.host = settings("host", std::max(default_interval, std::chrono::milliseconds(10s)));
    config.agent = settings("agent", std::max(default_interval, std::chrono::milliseconds(10s)));
    return config;
}

std::vector<ScheduledSource> make_sources(const SourcesConfig& config, const HostRoot& root) {
    std::vector<ScheduledSource> sources;
    const auto add = [&](const SourceSettings& settings, auto make) {
        if (settings.enabled) sources.push_back({make(), settings.interval});
    };
    add(config.cpu, [&] { return std::make_unique<CpuSource>(root, config.cpu_options); });
    add(config.memory, [&] { return std::make_unique<MemorySource>(root); });
    add(config.pressure, [&] { return std::make_unique<PressureSource>(root); });
    add(config.filesystem,
        [&] { return std::make_unique<FilesystemSource>(root, config.filesystem_options); });
    add(config.disk, [&] { return std::make_unique<DiskSource>(root, config.disk_options); });
    add(config.network,
        [&] { return std::make_unique<NetworkSource>(root, config.network_options); });
    add(config.host, [&] { return std::make_unique<HostSource>(root); });
    if (!config.certificate_options.files.empty()) {
        add(config.certificate,
            [&] { return std::make_unique<CertificateSource>(root, config.certificate_options); });
    }
    add(config.agent, [&] { return std::make_unique<AgentSource>(); });
    return sources;
}

}  // namespace ridgeline::agent
