// The collector's composition root: the only place that knows every part.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "collector/config.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// The configuration as it is on disk now; nothing when there is a mistake in it, which it has
// reported.
using RereadConfig = std::function<std::optional<CollectorConfig>()>;

// Runs until SIGTERM or SIGINT. SIGHUP reloads limits and rules; a mistake leaves the old ones in
// force.
Result<void> run_collector(const CollectorConfig& config, const RereadConfig& reread,
                           bool print_alerts);

// What is wrong in the rule files, one mistake a line; empty when nothing is.
std::string check_rules(const CollectorConfig& config);

}  // namespace ridgeline::collector
