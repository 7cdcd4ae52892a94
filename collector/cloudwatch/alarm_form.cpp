#include "collector/cloudwatch/alarm_form.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 86'400;
// Of a silent host: what is written comes a minute or two late, and an alarm must not fire for
// that.
constexpr std::int64_t kSilentPeriodsMin = 3;

std::int64_t seconds(std::chrono::milliseconds duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

// Thresholds as people wrote them: 0.07 * 100 is 7, not 7.000000000000001.
double rounded(double value) {
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), "%.12g", value);
    return to_double({text.data(), static_cast<std::size_t>(std::max(length, 0))}).value_or(value);
}

// The statistic over a period that the rule's reduction is. A value that must breach all the time
// does so when the nearest to healthy does; one that must once, when the furthest does.
Result<std::string> statistic(const Reduction& reduction, bool rises, bool all_the_time) {
    switch (reduction.agg) {
        case Agg::last:
            return std::string(rises == all_the_time ? "Minimum" : "Maximum");
        case Agg::avg:
            return std::string("Average");
        case Agg::min:
            return std::string("Minimum");
        case Agg::max:
        case Agg::rate:
        case Agg::delta:
            return std::string("Maximum");
        case Agg::sum:
            return std::string("Sum");
        case Agg::count:
            return std::string("SampleCount");
        case Agg::p50:
        case Agg::p90:
        case Agg::p95:
        case Agg::p99:
            return std::string(to_string(reduction.agg));
    }
    return fail(Errc::unsupported, "");
}

// Of a metric of AWS's own the rule sees one statistic, and CloudWatch can make it again over other
// periods; another one of it, as the rule does, it cannot.
Result<std::string> statistic(const Reduction& reduction, const std::string& published) {
    const bool same =
        reduction.agg == Agg::last || (reduction.agg == Agg::avg && published == "Average") ||
        (reduction.agg == Agg::min && published == "Minimum") ||
        (reduction.agg == Agg::max && published == "Maximum") ||
        (reduction.agg == Agg::sum && (published == "Sum" || published == "SampleCount"));
    if (same) return published;
    return fail(Errc::unsupported, "CloudWatch makes no " + std::string(to_string(reduction.agg)) +
                                       " of the statistic " + published);
}

// The statistic's and the operator's names in PutMetricAlarm.
void put_statistic(json& input, const std::string& stat) {
    static const std::set<std::string> kSimple = {"Average", "Sum", "Minimum", "Maximum",
                                                  "SampleCount"};
    input[kSimple.contains(stat) ? "Statistic" : "ExtendedStatistic"] = stat;
}

std::string operator_name(Op op) {
    switch (op) {
        case Op::greater:
            return "GreaterThanThreshold";
        case Op::greater_equal:
            return "GreaterThanOrEqualToThreshold";
        case Op::less:
            return "LessThanThreshold";
        default:
            return "LessThanOrEqualToThreshold";
    }
}

std::string missing_data(NoData::Policy policy) {
    switch (policy) {
        case NoData::Policy::ok:
            return "notBreaching";
        case NoData::Policy::fire:
            return "breaching";
        case NoData::Policy::resolve_after:
            return "missing";
        case NoData::Policy::hold:
            break;
    }
    return "ignore";
}

json dimensions_json(const std::vector<Dimension>& dimensions) {
    json list = json::array();
    for (const Dimension& dimension : dimensions)
        list.push_back({{"Name", dimension.name}, {"Value", dimension.value}});
    return list;
}

struct AlarmTiming {
    std::int64_t period_s = 60;
    std::int64_t n = 1;
    std::int64_t m = 1;
};

std::int64_t period_for(const CloudMetric& metric, std::int64_t wanted_s,
                        std::int64_t sustained_s) {
    if (metric.period_s >= kMinute)
        return round_up(std::max(wanted_s, metric.period_s), metric.period_s);
    // High resolution: alarms of less than a minute cost three times as much, so they are made
    // only where the rule looks that closely.
    const std::int64_t closest = wanted_s > 0 ? wanted_s : sustained_s > 0 ? sustained_s : kMinute;
    if (closest >= kMinute) return round_up(wanted_s > 0 ? wanted_s : kMinute, kMinute);
    if (wanted_s == 0 || closest <= 10) return 10;
    return closest <= 20 ? 20 : closest <= 30 ? 30 : kMinute;
}

AlarmTiming timing_of(const Rule& rule, const Level& level, const CloudMetric& metric) {
    const std::int64_t window_s = seconds(rule.reduction.window);
    const std::int64_t sustained_s = seconds(level.sustained);
    AlarmTiming timing;
    timing.period_s = period_for(metric, level.slots ? seconds(rule.slot) : window_s, sustained_s);
    // Certificates are looked at by the hour.
    if (rule.metric->name.starts_with("tls."))
        timing.period_s = round_up(std::max(timing.period_s, kHour), metric.period_s);
    if (level.slots) {
        timing.n = static_cast<std::int64_t>(level.slots->n);
        timing.m = static_cast<std::int64_t>(level.slots->m);
        return timing;
    }
    // Short periods may span a day at most. Of single samples, longer ones say the same.
    if (window_s == 0 && timing.period_s < kHour && sustained_s > kDay)
        timing.period_s = round_up(kHour, metric.period_s);
    timing.n = std::max<std::int64_t>(1, (sustained_s + timing.period_s - 1) / timing.period_s);
    timing.m = timing.n;
    return timing;
}

std::string term(const std::string& id, const CloudMetric& metric, Agg agg) {
    if (agg == Agg::rate) return "RATE(" + id + ")";
    if (agg == Agg::delta) return "DIFF(" + id + ")";
    return metric.sparse ? "FILL(" + id + ", 0)" : id;
}

void put_metrics(json& input, const CloudMetric& metric, const CloudMetric* divisor, Agg agg,
                 const std::array<std::string, 2>& stats, std::int64_t period_s) {
    // A zero that CloudWatch leaves out is no fault, and needs no mathematics to be none.
    if (divisor == nullptr && !of_increases(agg)) {
        input["Namespace"] = metric.space;
        input["MetricName"] = metric.name;
        input["Dimensions"] = dimensions_json(metric.dimensions);
        input["Period"] = period_s;
        return put_statistic(input, stats[0]);
    }
    json metrics = json::array();
    std::string expression = term("m1", metric, agg);
    if (divisor != nullptr) expression += " / " + term("m2", *divisor, agg);
    metrics.push_back({{"Id", "e1"}, {"Expression", expression}, {"ReturnData", true}});
    const auto add = [&](const char* id, const CloudMetric& one, const std::string& stat) {
        metrics.push_back({{"Id", id},
                           {"MetricStat",
                            {{"Metric",
                              {{"Namespace", one.space},
                               {"MetricName", one.name},
                               {"Dimensions", dimensions_json(one.dimensions)}}},
                             {"Period", period_s},
                             {"Stat", stat}}},
                           {"ReturnData", false}});
    };
    add("m1", metric, stats[0]);
    if (divisor != nullptr) add("m2", *divisor, stats[1]);
    input["Metrics"] = std::move(metrics);
}

}  // namespace

const Companion* divisor_of(const Rule& rule) {
    const auto found =
        std::find_if(rule.companions.begin(), rule.companions.end(),
                     [](const auto& c) { return c.role == Companion::Role::divisor; });
    return found == rule.companions.end() ? nullptr : &*found;
}

Result<json> alarm_form(const Rule& rule, const Level& level, const CloudMetric& metric,
                        const CloudMetric* divisor) {
    const AlarmTiming timing = timing_of(rule, level, metric);
    const Agg agg = rule.reduction.agg;
    if ((agg == Agg::sum || agg == Agg::count || agg == Agg::delta) &&
        timing.period_s != seconds(rule.reduction.window)) {
        return fail(Errc::unsupported, "a window of " + format_duration(rule.reduction.window) +
                                           " is no multiple of CloudWatch's points, one in " +
                                           std::to_string(metric.period_s) + "s");
    }
    const bool all_the_time = level.sustained.count() > 0 && !level.slots;
    const auto stat = [&](const CloudMetric& one) {
        return one.published_stat.empty() ? statistic(rule.reduction, upward(rule.op), all_the_time)
                                          : statistic(rule.reduction, one.published_stat);
    };
    RL_ASSIGN_OR_RETURN(const std::string own, stat(metric));
    std::string other;
    if (divisor != nullptr) {
        RL_ASSIGN_OR_RETURN(other, stat(*divisor));
    }
    json form;
    form["ComparisonOperator"] = operator_name(rule.op);
    form["EvaluationPeriods"] = timing.n;
    form["DatapointsToAlarm"] = timing.m;
    form["TreatMissingData"] = missing_data(rule.no_data.policy);
    double factor = agg == Agg::count ? 1 : metric.factor;
    if (divisor != nullptr && agg != Agg::count) factor /= divisor->factor;
    form["Threshold"] = rounded(level.at * factor);
    put_metrics(form, metric, divisor, agg, {own, other}, timing.period_s);
    return form;
}

json silence_form(double missing_s, const CloudMetric& metric) {
    const std::int64_t period_s = round_up(std::max(metric.period_s, kMinute), metric.period_s);
    const std::int64_t n = std::max(
        kSilentPeriodsMin, (static_cast<std::int64_t>(missing_s) + period_s - 1) / period_s);
    json form;
    form["ComparisonOperator"] = "LessThanThreshold";
    form["Threshold"] = 1.0;
    form["EvaluationPeriods"] = n;
    form["DatapointsToAlarm"] = n;
    form["TreatMissingData"] = "breaching";
    put_metrics(form, metric, nullptr, Agg::count, {"SampleCount", ""}, period_s);
    return form;
}

}  // namespace ridgeline::collector
