#include "collector/alert/self_alerts.h"

namespace ridgeline::collector {

namespace {

// No rule of an operator may have an id that begins so (rule_reader.cpp).
constexpr std::string_view kPrefix = "collector.";

Transition transition(const std::string& key, const std::string& name, const std::string& about,
                      Change change, std::int64_t since_ms, std::int64_t now_ms) {
    Transition made;
    made.change = change;
    made.key = key;
    made.rule = std::string(kPrefix) + name;
    if (!about.empty()) made.attributes = {{"about", about}};
    made.since_ms = since_ms;
    made.time_ms = now_ms;
    made.value = change == Change::fired ? 1 : 0;
    made.threshold = 1;
    return made;
}

}  // namespace

// `about` is a rule's id: it holds no line ends.
std::string SelfAlerts::key_of(const std::string& name, const std::string& about) {
    return std::string(kPrefix) + name + "\n\n" + about;
}

std::optional<Transition> SelfAlerts::raise(const std::string& name, const std::string& about,
                                            Severity severity, const std::string& summary,
                                            std::int64_t now_ms) {
    const std::string key = key_of(name, about);
    if (!firing_.try_emplace(key, Firing{name, about, now_ms, severity}).second) return {};
    Transition fired = transition(key, name, about, Change::fired, now_ms, now_ms);
    fired.severity = severity;
    fired.summary = "collector: " + summary;
    return fired;
}

std::optional<Transition> SelfAlerts::clear(const std::string& name, const std::string& about,
                                            std::int64_t now_ms) {
    const auto it = firing_.find(key_of(name, about));
    if (it == firing_.end()) return {};
    Transition resolved =
        transition(it->first, name, about, Change::resolved, it->second.since_ms, now_ms);
    resolved.severity = it->second.severity;
    firing_.erase(it);
    return resolved;
}

bool SelfAlerts::fires(const std::string& name, const std::string& about) const {
    return firing_.contains(key_of(name, about));
}

std::vector<std::string> SelfAlerts::about(const std::string& name) const {
    std::vector<std::string> found;
    for (const auto& [key, firing] : firing_) {
        if (firing.name == name) found.push_back(firing.about);
    }
    return found;
}

std::vector<FiringCondition> SelfAlerts::firing() const {
    std::vector<FiringCondition> out;
    for (const auto& [key, firing] : firing_)
        out.push_back({key, "", {0, firing.since_ms, true}, 0});
    return out;
}

bool SelfAlerts::restore(const FiringCondition& condition) {
    const std::string_view rule = rule_of_key(condition.key);
    if (!rule.starts_with(kPrefix)) return false;
    const std::string name(rule.substr(kPrefix.size()));
    const std::size_t about = condition.key.rfind('\n') + 1;
    firing_[condition.key] = {name, condition.key.substr(about), condition.firing.since_ms,
                              Severity::p4};
    return true;
}

}  // namespace ridgeline::collector
