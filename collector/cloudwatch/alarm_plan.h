// Which alarms of CloudWatch's the marked rules ask for: for every level, one for each series the
// rule selects. Pure: reads the window, changes nothing.
//
// ALARMS.md says how the rule language becomes alarms, and what is lost on the way.
#pragma once

#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "collector/cloudwatch/control_config.h"
#include "collector/cloudwatch/metrics_source.h"
#include "collector/rule/known_hosts.h"
#include "collector/rule/rule.h"
#include "collector/series/series_store.h"
#include "collector/sink/cloudwatch_config.h"

namespace ridgeline::collector {

struct AlarmSources {
    std::span<const Rule> rules;
    const SeriesStore& series;
    const KnownHosts& hosts;
    const CloudWatchConfig& writer;         // how the collector's metrics are called there
    std::span<const AwsMetricsTarget> aws;  // and AWS's own
    const AlarmsConfig& config;
    std::string owner;
    std::string region;  // of the collector's metrics
};

struct WantedAlarm {
    std::string region;
    std::string rule;
    std::string host;
    nlohmann::json input;  // of PutMetricAlarm
};

// Something that was asked for and is not made.
struct PlanProblem {
    std::string what;   // a rule's id, a board's name
    std::string where;  // "file:line:column", or empty
    std::string why;
    auto operator<=>(const PlanProblem&) const = default;
};

struct WantedAlarms {
    std::vector<WantedAlarm> alarms;
    std::vector<PlanProblem> problems;
    // Rule and host that has no series for it now, but may have one again.
    std::set<std::pair<std::string, std::string>> away;
};
inline constexpr std::size_t kAlarmsMax = 10'000;

WantedAlarms plan_alarms(const AlarmSources& sources);

// Why the metric is never written to CloudWatch; empty: it is. AWS's own are there already.
std::string not_written(const CloudWatchConfig& config, std::string_view metric);

}  // namespace ridgeline::collector
