#include "collector/rule/transition.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

// A rule's id does not change and does not hold this character.
constexpr char kKeySeparator = '\n';

}  // namespace

std::string alert_key(const Rule& rule, const std::string& host, const Attributes& attributes) {
    return rule.id + kKeySeparator + host + kKeySeparator +
           to_string(SeriesDescriptor{"", attributes});
}

std::string_view rule_of_key(std::string_view key) {
    return key.substr(0, key.find(kKeySeparator));
}

std::string_view host_of_key(std::string_view key) {
    key.remove_prefix(std::min(key.size(), rule_of_key(key).size() + 1));
    return key.substr(0, key.find(kKeySeparator));
}

Transition transition_of(const Rule& rule, const Level& level, Change change) {
    Transition transition;
    transition.change = change;
    transition.rule = rule.id;
    transition.severity = level.severity;
    transition.threshold = level.at;
    transition.unit = rule.unit;
    transition.runbook = rule.runbook;
    return transition;
}

}  // namespace ridgeline::collector
