// What a source is to the configuration: its name, how often it is read, and how it is made.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "common/config/toml_reader.h"

namespace ridgeline::agent {

// Makes a source with the settings it was configured with; `root` must outlive it. Called again for
// every reload. Empty when there is nothing for the source to do.
using SourceMaker = std::function<std::unique_ptr<Source>(const HostRoot& root)>;

struct SourceType {
    std::string_view name;  // [source.NAME]
    // The default is this or [agent] interval, whichever is longer. Zero: as often as the agent's.
    std::chrono::milliseconds interval;
    // Reads the keys of [source.NAME] other than enabled and interval; what is wrong with them goes
    // into the table's errors.
    SourceMaker (*configure)(ConfigTable& table);
};

}  // namespace ridgeline::agent
