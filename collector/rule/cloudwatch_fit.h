// Which rules an alarm of CloudWatch's can stand for. Pure.
#pragma once

#include <optional>
#include <string>

#include "collector/rule/rule.h"

namespace ridgeline::collector {

struct AlarmMisfit {
    std::string key;  // of the rule, to blame
    std::string why;
};

// Why no alarm can be made of the rule as it is, overrides included; nullopt: one can. What depends
// on how the metric is written to CloudWatch is another question.
std::optional<AlarmMisfit> cloudwatch_misfit(const Rule& rule);

}  // namespace ridgeline::collector
