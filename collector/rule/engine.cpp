#include "collector/rule/engine.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

// A rule's id does not change and does not hold this character.
constexpr char kKeySeparator = '\n';

std::string_view rule_of_key(std::string_view key) {
    return key.substr(0, key.find(kKeySeparator));
}

std::string_view host_of_key(std::string_view key) {
    key.remove_prefix(std::min(key.size(), rule_of_key(key).size() + 1));
    return key.substr(0, key.find(kKeySeparator));
}

// The resolve of a condition whose rule is gone. What it says without a sample: a host that has
// been silent since a restart left only its key. `rule` is null when that is not known either.
Transition removed_with_rule(const FiringCondition& condition, const Rule* rule) {
    Transition gone;
    gone.change = Change::resolved;
    gone.key = condition.key;
    gone.rule = rule_of_key(condition.key);
    gone.host = host_of_key(condition.key);
    gone.since_ms = condition.firing.since_ms;
    gone.time_ms = condition.firing.since_ms;
    gone.reason = "rule removed";
    if (rule == nullptr || rule->levels.empty()) return gone;
    const Level& level = rule->levels[std::min(condition.firing.level, rule->levels.size() - 1)];
    gone.time_ms += level.sustained.count();  // when it fired: the last thing known of it
    gone.severity = level.severity;
    gone.threshold = level.at;
    gone.unit = std::string(rule->metric->unit);
    return gone;
}

}  // namespace

std::string alert_key(const Rule& rule, const std::string& host, const Attributes& attributes) {
    return rule.id + kKeySeparator + host + kKeySeparator +
           to_string(SeriesDescriptor{"", attributes});
}

RuleEngine::RuleEngine(std::vector<Rule> rules, const SampleHistory& history)
    : rules_(std::move(rules)), history_(history) {
    for (std::uint32_t i = 0; i < rules_.size(); ++i)
        rules_by_metric_[std::string(rules_[i].metric->name)].push_back(i);
}

const std::vector<RuleEngine::Binding>& RuleEngine::bind(const SeriesSamples& samples) {
    SeriesBindings& cached = by_series_[samples.series_id];
    if (cached.resolved) return cached.bindings;
    cached.resolved = true;
    const auto candidates = rules_by_metric_.find(samples.series.metric);
    if (candidates == rules_by_metric_.end()) return cached.bindings;
    for (const std::uint32_t index : candidates->second) {
        const Rule& rule = rules_[index];
        if (!rule.enabled || !rule.selects(samples.host, samples.series)) continue;
        Attributes identity = rule.identity_of(samples.series);
        std::string key = alert_key(rule, samples.host.host_id, identity);
        const auto [it, added] = conditions_.try_emplace(
            std::move(key),
            Entry{index, samples.host.host_id, std::move(identity), Condition(rule), false, 0});
        if (added) {
            if (const auto saved = to_restore_.find(it->first); saved != to_restore_.end()) {
                it->second.condition.restore(saved->second.firing);
                to_restore_.erase(saved);
            }
        }
        ++it->second.bound;
        cached.bindings.push_back({&it->second, &it->first});
    }
    return cached.bindings;
}

void RuleEngine::on_samples(const SeriesSamples& samples, std::vector<Transition>& out) {
    for (const Binding& binding : bind(samples))
        evaluate(binding, samples, out);
}

void RuleEngine::read_history(Entry& entry, std::uint32_t series_id, std::int64_t from_ms,
                              std::int64_t to_ms) const {
    const Rule& rule = rules_[entry.rule];
    // The rhythm first: it decides which gaps break a run, and the samples before these are not
    // known here.
    std::int64_t rhythm_ms = 0;
    std::int64_t previous_ms = INT64_MIN;
    history_.for_each(series_id, from_ms, to_ms, [&](std::int64_t t, double) {
        if (previous_ms != INT64_MIN && (rhythm_ms == 0 || t - previous_ms < rhythm_ms))
            rhythm_ms = t - previous_ms;
        previous_ms = t;
    });
    entry.condition.begin_history(rhythm_ms);
    history_.for_each(series_id, from_ms, to_ms, [&](std::int64_t t, double value) {
        entry.condition.on_history(rule, t, value);
    });
}

void RuleEngine::evaluate(const Binding& binding, const SeriesSamples& samples,
                          std::vector<Transition>& out) {
    Entry& entry = *binding.entry;
    const Rule& rule = rules_[entry.rule];
    const std::int64_t horizon_ms = Condition::horizon_ms(rule);
    if (!entry.primed) {
        entry.primed = true;
        read_history(entry, samples.series_id, samples.times_ms.front() - horizon_ms,
                     samples.times_ms.front() - 1);
    }
    std::size_t i = 0;
    // Late samples: those that can still matter to the present state have it worked out anew; older
    // ones are history for charts and reports alone.
    const std::int64_t newest_ms = entry.condition.newest_ms();
    bool relevant = false;
    for (; i < samples.times_ms.size() && samples.times_ms[i] <= newest_ms; ++i) {
        relevant = relevant || samples.times_ms[i] >= newest_ms - horizon_ms;
    }
    if (relevant) {
        read_history(entry, samples.series_id, newest_ms - horizon_ms, newest_ms);
        emit(binding, samples, entry.condition.settle(rule, samples.received_ms), out);
    }
    for (; i < samples.times_ms.size(); ++i) {
        const auto outcome = entry.condition.on_sample(rule, samples.times_ms[i], samples.values[i],
                                                       samples.received_ms);
        if (outcome.change != Change::none) emit(binding, samples, outcome, out);
    }
}

void RuleEngine::emit(const Binding& binding, const SeriesSamples& samples,
                      const Condition::Outcome& outcome, std::vector<Transition>& out) const {
    if (outcome.change == Change::none) return;
    const Rule& rule = rules_[binding.entry->rule];
    const Level& level = rule.levels[outcome.level];
    Transition transition;
    transition.change = outcome.change;
    transition.key = *binding.key;
    transition.rule = rule.id;
    transition.host = binding.entry->host;
    // All the series says of itself is shown; the identity alone decides which alert it is.
    transition.attributes = samples.series.attributes;
    transition.severity = level.severity;
    transition.time_ms = outcome.time_ms;
    transition.since_ms = outcome.since_ms;
    transition.value = outcome.value;
    transition.threshold = level.at;
    transition.unit = std::string(rule.metric->unit);
    transition.summary =
        render_summary(rule, transition.host, transition.attributes, outcome.value, level,
                       std::chrono::milliseconds{outcome.time_ms - outcome.since_ms});
    transition.runbook = rule.runbook;
    out.push_back(std::move(transition));
}

void RuleEngine::replace_rules(std::vector<Rule> rules, std::vector<Transition>& out) {
    std::map<std::string, std::string> old_fingerprints;
    for (const Rule& rule : rules_)
        old_fingerprints[rule.id] = rule.fingerprint;
    const std::vector<FiringCondition> was_firing = firing();
    std::unordered_map<std::string, Entry> old_conditions = std::move(conditions_);
    std::vector<Rule> old_rules = std::move(rules_);

    rules_ = std::move(rules);
    rules_by_metric_.clear();
    conditions_.clear();
    by_series_.clear();
    std::map<std::string, std::uint32_t, std::less<>> present;
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
        if (!rules_[i].enabled) continue;
        rules_by_metric_[std::string(rules_[i].metric->name)].push_back(i);
        present[rules_[i].id] = i;
    }
    for (auto& [key, entry] : old_conditions) {
        const auto rule = present.find(rule_of_key(key));
        if (rule == present.end()) continue;
        if (rules_[rule->second].fingerprint != old_fingerprints[rule->first]) continue;
        entry.rule = rule->second;
        entry.bound = 0;  // series are bound anew
        conditions_.emplace(key, std::move(entry));
    }
    for (const FiringCondition& condition : was_firing) {
        if (conditions_.contains(condition.key)) continue;
        if (present.contains(rule_of_key(condition.key))) {
            to_restore_[condition.key] = condition;
            continue;
        }
        to_restore_.erase(condition.key);
        if (!condition.firing.announced) continue;
        const auto entry = old_conditions.find(condition.key);
        const auto rule = std::find_if(old_rules.begin(), old_rules.end(), [&](const Rule& old) {
            return old.id == rule_of_key(condition.key);
        });
        Transition gone = removed_with_rule(condition, rule == old_rules.end() ? nullptr : &*rule);
        if (entry != old_conditions.end()) {
            gone.attributes = entry->second.attributes;
            gone.time_ms = entry->second.condition.newest_ms();
            gone.value = entry->second.condition.newest_value();
        }
        out.push_back(std::move(gone));
    }
}

void RuleEngine::forget(std::uint32_t series_id) {
    const auto it = by_series_.find(series_id);
    if (it == by_series_.end()) return;
    for (const Binding& binding : it->second.bindings) {
        if (--binding.entry->bound > 0 || binding.entry->condition.firing()) continue;
        conditions_.erase(std::string(*binding.key));
    }
    by_series_.erase(it);
}

std::vector<FiringCondition> RuleEngine::firing() const {
    std::vector<FiringCondition> out;
    for (const auto& [key, entry] : conditions_) {
        if (const auto firing = entry.condition.firing())
            out.push_back({key, rules_[entry.rule].fingerprint, *firing});
    }
    // Conditions whose host has not been heard of since the start still fire.
    for (const auto& [key, condition] : to_restore_)
        out.push_back(condition);
    return out;
}

void RuleEngine::restore(const std::vector<FiringCondition>& firing) {
    for (const FiringCondition& condition : firing)
        to_restore_[condition.key] = condition;
}

std::vector<RuleEngine::Pending> RuleEngine::pending() const {
    std::vector<Pending> out;
    for (const auto& [key, entry] : conditions_) {
        if (entry.condition.state() != ConditionState::pending) continue;
        out.push_back({key, rules_[entry.rule].id, entry.host, entry.attributes,
                       entry.condition.breaching_since_ms(), entry.condition.newest_value()});
    }
    std::sort(out.begin(), out.end(),
              [](const Pending& a, const Pending& b) { return a.key < b.key; });
    return out;
}

}  // namespace ridgeline::collector
