// An alarm of CloudWatch's as PutMetricAlarm takes it and DescribeAlarms shows it: whose it is, how
// two differ, what it is billed by. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace ridgeline::collector {

// What an alarm's description ends with, and what a dashboard's first widget shows. Nothing without
// the collector's own mark is changed or deleted.
struct ControlMark {
    std::string owner;
    std::string rule;
    std::string host;
    bool operator==(const ControlMark&) const = default;
};
// "[ridgeline 1f3a9c02 rule=cpu.sustained host=web1]"
std::string mark_text(const ControlMark& mark);
std::optional<ControlMark> find_mark(std::string_view text);

// Only the members that decide, defaults left out, lists in one order: equal for alarms that are.
nlohmann::json normal_form(const nlohmann::json& alarm);

struct FieldChange {
    std::string field;
    std::string from;  // empty: not there
    std::string to;
    bool operator==(const FieldChange&) const = default;
};
// Of two normal forms.
std::vector<FieldChange> differences(const nlohmann::json& now, const nlohmann::json& wanted);

// What AWS bills an alarm by: each metric it looks at.
struct AlarmUse {
    std::size_t standard = 0;
    std::size_t high_resolution = 0;
    AlarmUse& operator+=(const AlarmUse& other);
    bool operator==(const AlarmUse&) const = default;
};
AlarmUse use_of(const nlohmann::json& alarm);

// Which of PutMetricAlarm's limits it is beyond; empty: none.
std::string beyond_limits(const nlohmann::json& alarm);

// What it looks at, in a line: "Average of Ridgeline system.cpu.utilization{host=web1} > 0.8 in 5
// of 5 periods of 60s".
std::string words_of(const nlohmann::json& alarm);

}  // namespace ridgeline::collector
