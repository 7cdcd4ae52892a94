#include "agent/source/catalogue.h"

#include <algorithm>
#include <array>

#include "agent/source/agent_self.h"
#include "agent/source/certificate.h"
#include "agent/source/cgroup.h"
#include "agent/source/cpu.h"
#include "agent/source/disk.h"
#include "agent/source/filesystem.h"
#include "agent/source/host.h"
#include "agent/source/memory.h"
#include "agent/source/network.h"
#include "agent/source/pressure.h"
#include "agent/source/tcp.h"

namespace ridgeline::agent {

namespace {

using namespace std::chrono_literals;

// A source is registered by its line here.
constexpr std::array kSources = {
    &kCpuSource,    &kMemorySource,      &kPressureSource, &kFilesystemSource,
    &kDiskSource,   &kNetworkSource,     &kTcpSource,      &kHostSource,
    &kCgroupSource, &kCertificateSource, &kAgentSource,
};

}  // namespace

SourcesConfig read_sources_config(ConfigTable& root, std::chrono::milliseconds default_interval) {
    SourcesConfig config;
    ConfigTable source = root.table("source");
    for (const SourceType* type : kSources) {
        ConfigTable table = source.table(type->name);
        ConfiguredSource configured;
        configured.name = type->name;
        configured.enabled = table.boolean("enabled", true);
        configured.interval =
            table.duration("interval", std::max(default_interval, type->interval), 100ms, 24h);
        configured.make = type->configure(table);
        config.push_back(std::move(configured));
    }
    return config;
}

SourcesConfig default_sources_config() {
    ConfigDocument nothing = ConfigDocument::parse("", "defaults");
    ConfigTable root = nothing.root();
    return read_sources_config(root, 1s);
}

const ConfiguredSource* find_source(const SourcesConfig& config, std::string_view name) {
    const auto it = std::find_if(config.begin(), config.end(), [&](const ConfiguredSource& source) {
        return source.name == name;
    });
    return it == config.end() ? nullptr : &*it;
}

std::vector<ScheduledSource> make_sources(const SourcesConfig& config, const HostRoot& root) {
    std::vector<ScheduledSource> sources;
    for (const ConfiguredSource& configured : config) {
        if (configured.enabled && configured.make)
            sources.push_back({configured.make(root), configured.interval});
    }
    return sources;
}

}  // namespace ridgeline::agent
