#include "collector/cloudwatch/alarm.h"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "collector/cloudwatch/control_config.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kMarkBegin = "[ridgeline ";
// PutMetricAlarm in the CloudWatch API Reference.
constexpr std::size_t kNameMax = 255;
constexpr std::size_t kDescriptionMax = 1024;
constexpr std::size_t kMetricsMax = 10;
constexpr std::int64_t kDay = 86'400;

constexpr std::array kMembers = {"AlarmDescription",
                                 "ActionsEnabled",
                                 "OKActions",
                                 "AlarmActions",
                                 "InsufficientDataActions",
                                 "MetricName",
                                 "Namespace",
                                 "Statistic",
                                 "ExtendedStatistic",
                                 "Dimensions",
                                 "Period",
                                 "Unit",
                                 "EvaluationPeriods",
                                 "DatapointsToAlarm",
                                 "Threshold",
                                 "ComparisonOperator",
                                 "TreatMissingData",
                                 "EvaluateLowSampleCountPercentile",
                                 "Metrics",
                                 "ThresholdMetricId",
                                 "EvaluationCriteria",
                                 "EvaluationInterval"};

template <class T>
T member(const json& object, const char* key, T fallback) {
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) return fallback;
    if constexpr (std::is_same_v<T, std::string>) {
        return it->is_string() ? it->get<std::string>() : fallback;
    } else {
        return it->is_number() ? it->get<T>() : fallback;
    }
}

json array_of(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_array() ? *it : json::array();
}

void sort_by(json& list, const char* key) {
    std::stable_sort(list.begin(), list.end(), [&](const json& a, const json& b) {
        return member<std::string>(a, key, "") < member<std::string>(b, key, "");
    });
}

bool empty(const json& value) {
    return value.is_null() || ((value.is_array() || value.is_object()) && value.empty()) ||
           (value.is_string() && value.get_ref<const std::string&>().empty());
}

// Members that AWS hands back with nothing in them are as if they were not there.
void drop_empty(json& object) {
    for (auto it = object.begin(); it != object.end();)
        it = empty(*it) ? object.erase(it) : std::next(it);
}

json normal_query(json query) {
    if (!query.is_object()) return query;
    if (query.contains("ReturnData") && query["ReturnData"] == json(true))
        query.erase("ReturnData");
    if (query.contains("MetricStat") && query["MetricStat"].is_object()) {
        json& stat = query["MetricStat"];
        if (stat.contains("Metric") && stat["Metric"].is_object()) {
            if (json& metric = stat["Metric"]; metric.contains("Dimensions")) {
                sort_by(metric["Dimensions"], "Name");
            }
            drop_empty(stat["Metric"]);
        }
        drop_empty(stat);
    }
    drop_empty(query);
    return query;
}

std::string text_of(const json& value) {
    if (value.is_string()) return printable(value.get<std::string>(), 2048);
    return printable(value.dump(-1, ' ', false, json::error_handler_t::replace), 4096);
}

std::int64_t period_of(const json& alarm) {
    std::int64_t period = member<std::int64_t>(alarm, "Period", 0);
    for (const json& query : array_of(alarm, "Metrics")) {
        if (query.is_object() && query.contains("MetricStat"))
            period = std::max(period, member<std::int64_t>(query["MetricStat"], "Period", 0));
    }
    return period;
}

std::string words_of_metric(const json& metric, const std::string& stat) {
    std::string out = stat + " of " + member<std::string>(metric, "Namespace", "") + ' ' +
                      member<std::string>(metric, "MetricName", "") + '{';
    bool first = true;
    for (const json& dimension : array_of(metric, "Dimensions")) {
        out += (first ? "" : ", ") + member<std::string>(dimension, "Name", "") + '=' +
               member<std::string>(dimension, "Value", "");
        first = false;
    }
    return out + '}';
}

std::string words_of_operator(const std::string& name) {
    if (name == "GreaterThanThreshold") return ">";
    if (name == "GreaterThanOrEqualToThreshold") return ">=";
    if (name == "LessThanThreshold") return "<";
    if (name == "LessThanOrEqualToThreshold") return "<=";
    return name;
}

}  // namespace

std::string mark_text(const ControlMark& mark) {
    std::string text = std::string(kMarkBegin) + mark.owner;
    if (!mark.rule.empty()) text += " rule=" + mark.rule;
    if (!mark.host.empty()) text += " host=" + mark.host;
    return text + ']';
}

std::optional<ControlMark> find_mark(std::string_view text) {
    const std::size_t begin = text.rfind(kMarkBegin);
    if (begin == text.npos) return {};
    std::string_view rest = text.substr(begin + kMarkBegin.size());
    const std::size_t end = rest.find(']');
    if (end == rest.npos) return {};
    rest = rest.substr(0, end);
    ControlMark mark;
    mark.owner = next_field(rest);
    if (mark.owner.empty()) return {};
    while (!rest.empty()) {
        const std::string_view field = next_field(rest);
        if (field.starts_with("rule=")) mark.rule = field.substr(5);
        if (field.starts_with("host=")) mark.host = field.substr(5);
    }
    return mark;
}

json normal_form(const json& alarm) {
    json out = json::object();
    for (const char* key : kMembers)
        if (const auto it = alarm.find(key); it != alarm.end()) out[key] = *it;
    for (const char* key : {"OKActions", "AlarmActions", "InsufficientDataActions"}) {
        if (out.contains(key) && out[key].is_array()) std::sort(out[key].begin(), out[key].end());
    }
    if (out.contains("Dimensions")) sort_by(out["Dimensions"], "Name");
    if (out.contains("Metrics") && out["Metrics"].is_array()) {
        for (json& query : out["Metrics"])
            query = normal_query(query);
        sort_by(out["Metrics"], "Id");
    }
    if (out.contains("ActionsEnabled") && out["ActionsEnabled"] == json(true))
        out.erase("ActionsEnabled");
    if (out.contains("TreatMissingData") && out["TreatMissingData"] == json("missing"))
        out.erase("TreatMissingData");
    if (out.contains("DatapointsToAlarm") && out.contains("EvaluationPeriods") &&
        out["DatapointsToAlarm"] == out["EvaluationPeriods"])
        out.erase("DatapointsToAlarm");
    drop_empty(out);
    return out;
}

std::vector<FieldChange> differences(const json& now, const json& wanted) {
    std::set<std::string> keys;
    for (const json* side : {&now, &wanted})
        for (const auto& [key, value] : side->items())
            keys.insert(key);
    std::vector<FieldChange> changes;
    for (const std::string& key : keys) {
        const auto a = now.find(key);
        const auto b = wanted.find(key);
        if (a != now.end() && b != wanted.end() && *a == *b) continue;
        changes.push_back(
            {key, a == now.end() ? "" : text_of(*a), b == wanted.end() ? "" : text_of(*b)});
    }
    return changes;
}

AlarmUse& AlarmUse::operator+=(const AlarmUse& other) {
    standard += other.standard;
    high_resolution += other.high_resolution;
    return *this;
}

AlarmUse use_of(const json& alarm) {
    std::size_t metrics = 0;
    for (const json& query : array_of(alarm, "Metrics"))
        metrics += query.is_object() && query.contains("MetricStat") ? 1 : 0;
    if (metrics == 0) metrics = 1;
    const std::int64_t period = period_of(alarm);
    return period > 0 && period < 60 ? AlarmUse{0, metrics} : AlarmUse{metrics, 0};
}

std::string beyond_limits(const json& alarm) {
    const std::string name = member<std::string>(alarm, "AlarmName", "");
    if (name.empty() || name.size() > kNameMax) return "its name is longer than 255 bytes";
    if (member<std::string>(alarm, "AlarmDescription", "").size() > kDescriptionMax)
        return "its description is longer than 1024 bytes";
    for (const char* key : {"OKActions", "AlarmActions"}) {
        if (array_of(alarm, key).size() > kAlarmActionsMax) return "it has more than 5 actions";
    }
    if (array_of(alarm, "Metrics").size() > kMetricsMax) return "it has more than 10 metrics";
    const std::int64_t period = period_of(alarm);
    const std::int64_t span = period * member<std::int64_t>(alarm, "EvaluationPeriods", 1);
    if (span > (period < 3600 ? kDay : 7 * kDay)) {
        return "its periods span more than a day (a week, of an hour or more each)";
    }
    return "";
}

std::string words_of(const json& alarm) {
    std::string what;
    const json queries = array_of(alarm, "Metrics");
    if (queries.empty()) {
        what = words_of_metric(
            alarm, member<std::string>(alarm, "Statistic",
                                       member<std::string>(alarm, "ExtendedStatistic", "")));
    } else {
        std::string where;
        for (const json& query : queries) {
            const std::string id = member<std::string>(query, "Id", "");
            if (query.contains("Expression")) what = member<std::string>(query, "Expression", "");
            if (!query.contains("MetricStat") || !query["MetricStat"].is_object()) continue;
            const json& stat = query["MetricStat"];
            where += (where.empty() ? "" : ", ") + id + " = " +
                     words_of_metric(stat.value("Metric", json::object()),
                                     member<std::string>(stat, "Stat", ""));
        }
        what += " where " + where;
    }
    const std::int64_t n = member<std::int64_t>(alarm, "EvaluationPeriods", 1);
    return printable(
        what + ' ' + words_of_operator(member<std::string>(alarm, "ComparisonOperator", "")) + ' ' +
            shortest(member<double>(alarm, "Threshold", 0)) + " in " +
            std::to_string(member<std::int64_t>(alarm, "DatapointsToAlarm", n)) + " of " +
            std::to_string(n) + " periods of " + std::to_string(period_of(alarm)) + "s",
        2048);
}

}  // namespace ridgeline::collector
