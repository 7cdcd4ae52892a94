// What comes of judging samples: transitions to tell and record, and what fires, to be kept.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "collector/rule/condition.h"
#include "collector/rule/rule.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// Something a person may want to know of.
struct Transition {
    Change change = Change::none;
    std::string key;  // the alert's identity: rule, host and attributes
    std::string rule;
    std::string host;
    Attributes attributes;
    Severity severity = Severity::p4;
    std::int64_t time_ms = 0;
    std::int64_t since_ms = 0;
    double value = 0;
    double threshold = 0;
    std::string unit;
    std::string summary;
    std::string runbook;
    std::string reason;  // why it was resolved when no sample did it: "rule removed"
    std::map<std::string, std::string> tags;  // of the host, as far as it is known
};

struct FiringCondition {
    std::string key;
    std::string fingerprint;  // of the rule it fired under
    Condition::Firing firing;
    std::int64_t stale_since_ms = 0;  // its data stay away since; 0: they do not
};

// A condition as it stands, for those who ask why. Valid while it is visited.
struct ConditionView {
    const std::string& key;
    const Rule& rule;  // as it applies to it
    const std::string& host;
    const Attributes& attributes;
    const Condition& condition;
    std::int64_t stale_since_ms = 0;          // 0: its data come
    std::span<const std::uint32_t> series{};  // of the rule's metric; none of a fleet's
    std::size_t members = 0;                  // fresh ones of a fleet's group
};

// An alert's identity: the rule's id, the host (empty for an alert of a fleet) and the attributes,
// apart by a character that none of them holds.
std::string alert_key(const Rule& rule, const std::string& host, const Attributes& attributes);
std::string_view rule_of_key(std::string_view key);
std::string_view host_of_key(std::string_view key);

// What every transition of a rule says.
Transition transition_of(const Rule& rule, const Level& level, Change change);

}  // namespace ridgeline::collector
