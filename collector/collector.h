// The collector's composition root: the only place that knows every part.
#pragma once

#include <filesystem>
#include <string>

#include "collector/config.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Runs until SIGTERM or SIGINT. SIGHUP reloads the rules; a mistake in them leaves the old ones in
// force.
Result<void> run_collector(const CollectorConfig& config, bool print_alerts);

// What is wrong in the rule files, one mistake a line; empty when nothing is.
std::string check_rules(const CollectorConfig& config);

}  // namespace ridgeline::collector
