// Reads one [[rule]] table. What is wrong is recorded in the table's document.
#pragma once

#include <optional>

#include "collector/rule/rule.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

// What a file's [defaults] say to all its rules.
struct RuleDefaults {
    std::chrono::milliseconds max_gap = kMaxGapDefault;
    std::chrono::milliseconds clear_for = std::chrono::minutes{1};
    double coverage_min = kCoverageDefault;
    NoData no_data;
};
RuleDefaults read_rule_defaults(ConfigTable table);

// Nullopt when not even the metric is known.
std::optional<Rule> read_rule(ConfigTable& table, const RuleDefaults& defaults);

}  // namespace ridgeline::collector
