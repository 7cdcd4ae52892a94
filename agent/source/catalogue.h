// The list of sources, and what a configuration makes of it.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"
#include "common/config/toml_reader.h"

namespace ridgeline::agent {

struct ConfiguredSource {
    std::string_view name;
    bool enabled = true;
    std::chrono::milliseconds interval{1000};
    SourceMaker make;
};
using SourcesConfig = std::vector<ConfiguredSource>;  // one per source, in the order of the list

// Reads the [source.NAME] tables of an agent's configuration; what is wrong goes into the
// document's errors.
SourcesConfig read_sources_config(ConfigTable& root, std::chrono::milliseconds default_interval);
// As if the configuration said nothing.
SourcesConfig default_sources_config();
// nullptr when there is no source of that name.
const ConfiguredSource* find_source(const SourcesConfig& config, std::string_view name);

struct ScheduledSource {
    std::unique_ptr<Source> source;
    std::chrono::milliseconds interval;
};

// The enabled ones, in the order in which they are shown. `root` must outlive them.
std::vector<ScheduledSource> make_sources(const SourcesConfig& config, const HostRoot& root);

}  // namespace ridgeline::agent
