// What an alarm of CloudWatch's says in place of one level of a rule: which statistic of which
// metrics, over which periods, against what. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "collector/rule/rule.h"
#include "collector/sink/datum.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// A metric as CloudWatch knows it.
struct CloudMetric {
    std::string region;
    std::string space;
    std::string name;
    std::vector<Dimension> dimensions;
    double factor = 1;           // CloudWatch's value is ours times this
    std::int64_t period_s = 60;  // between its points
    std::string published_stat;  // of AWS's own: the statistic that the rule sees
    bool sparse = false;         // no point where nothing was counted
};

// The companion the rule's metric is divided by, or nullptr.
const Companion* divisor_of(const Rule& rule);

// Those members of PutMetricAlarm that decide when it goes off. `divisor`: nullptr without one.
// Errc::unsupported says what of it CloudWatch does not do.
Result<nlohmann::json> alarm_form(const Rule& rule, const Level& level, const CloudMetric& metric,
                                  const CloudMetric* divisor);
// The same for a host that is silent: of `metric`, which comes all the time, comes nothing for so
// long.
nlohmann::json silence_form(double missing_s, const CloudMetric& metric);

}  // namespace ridgeline::collector
