#include "collector/rule/cloudwatch_fit.h"

#include <algorithm>

#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// "PutMetricAlarm" in the CloudWatch API Reference: periods of 10, 20, 30 s or whole minutes;
// a week of them at most, and a day of those shorter than an hour.
constexpr auto kLongest = 24h * 7;
constexpr auto kLongestOfShort = 24h;
constexpr auto kShort = 1h;

bool is_period(std::chrono::milliseconds length) {
    return length == 10s || length == 20s || length == 30s || length % 1min == 0ms;
}

bool has_condition(const Rule& rule) {
    return std::any_of(rule.companions.begin(), rule.companions.end(),
                       [](const Companion& c) { return c.role == Companion::Role::condition; });
}

std::optional<AlarmMisfit> misfit_of_value(const Rule& rule) {
    if (rule.forecast)
        return AlarmMisfit{"forecast", "CloudWatch draws no such line; alarms have no forecast"};
    if (rule.fleet)
        return AlarmMisfit{"fleet", "an alarm of CloudWatch's looks at the metrics of one host"};
    if (has_condition(rule))
        return AlarmMisfit{"and", "an alarm of CloudWatch's looks at one value"};
    if (!upward(rule.op) && !downward(rule.op))
        return AlarmMisfit{"op", "CloudWatch compares with >, >=, < and <= alone"};
    const Agg agg = rule.reduction.agg;
    if (of_increases(agg) && !rule.reduction.counter)
        return AlarmMisfit{"agg", "of a gauge, CloudWatch makes no rate and no delta"};
    // A counter that begins anew leaps down, and CloudWatch does not know why.
    if (of_increases(agg) && !upward(rule.op))
        return AlarmMisfit{"op", "a counter that begins anew would look like a fall to CloudWatch"};
    const bool exact = agg == Agg::sum || agg == Agg::count || agg == Agg::delta;
    if (exact && !is_period(rule.reduction.window)) {
        return AlarmMisfit{"window", "CloudWatch sums over 10s, 20s, 30s or whole minutes"};
    }
    return {};
}

std::optional<AlarmMisfit> misfit_of_levels(const Rule& rule) {
    for (const Level& level : rule.levels) {
        const auto window = rule.reduction.window;
        if (level.slots) {
            if (rule.slot == 0ms || !is_period(rule.slot))
                return AlarmMisfit{
                    "slot",
                    "m_of_n counts CloudWatch's periods; give slot = \"1m\" or other "
                    "whole minutes"};
            if (window != 0ms && window != rule.slot)
                return AlarmMisfit{"window", "with m_of_n, CloudWatch's window is the slot"};
            const auto span = rule.slot * static_cast<std::int64_t>(level.slots->n);
            if (span > (rule.slot < kShort ? kLongestOfShort : kLongest))
                return AlarmMisfit{"levels",
                                   "CloudWatch looks back a day; a week, with slots of an "
                                   "hour or more"};
            continue;
        }
        if (level.sustained > kLongest)
            return AlarmMisfit{"levels", "CloudWatch looks back a week at most, not " +
                                             format_duration(level.sustained)};
        if (level.sustained > kLongestOfShort && window != 0ms && window < kShort)
            return AlarmMisfit{"levels",
                               "CloudWatch looks back a day at windows shorter than an hour, not " +
                                   format_duration(level.sustained)};
    }
    return {};
}

std::optional<AlarmMisfit> misfit(const Rule& rule) {
    if (rule.heartbeat) {
        if (rule.levels.front().at > std::chrono::duration<double>(kLongestOfShort).count())
            return AlarmMisfit{"missing", "CloudWatch looks back a day"};
        return {};
    }
    if (auto found = misfit_of_value(rule)) return found;
    return misfit_of_levels(rule);
}

}  // namespace

std::optional<AlarmMisfit> cloudwatch_misfit(const Rule& rule) {
    if (auto found = misfit(rule)) return found;
    for (std::size_t i = 0; i < rule.overrides.size(); ++i) {
        if (auto found = misfit(with_overrides(rule, 1U << i)))
            return AlarmMisfit{"override", found->key + " of an override: " + found->why};
    }
    return {};
}

}  // namespace ridgeline::collector
