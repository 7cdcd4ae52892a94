#include "collector/rule/engine.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace ridgeline::collector {

namespace {

// How long it takes until hosts that send have sent again.
constexpr std::int64_t kMeetMs = 90'000;
constexpr char kKeySeparator = '\n';

std::string join_key(std::uint32_t rule, std::size_t companion, const std::string& host,
                     const std::string& shared) {
    return std::to_string(rule) + kKeySeparator + std::to_string(companion) + kKeySeparator + host +
           kKeySeparator + shared;
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
    gone.unit = rule->unit;
    return gone;
}

}  // namespace

RuleEngine::RuleEngine(std::vector<Rule> rules, const SampleHistory& history, EngineLimits limits)
    : rules_(std::move(rules)), history_(history), limits_(limits) {
    index_rules();
}

void RuleEngine::index_rules() {
    rules_by_metric_.clear();
    companions_by_metric_.clear();
    variants_.clear();
    rooms_.assign(rules_.size(), {});
    silences_.clear();
    fleets_.clear();
    fleet_of_rule_.assign(rules_.size(), nullptr);
    // Hosts and fleets a new rule looks at are met over the next batches.
    const auto grown_ms = [&]() -> std::optional<std::int64_t> {
        return floor_ms_ ? std::optional(std::max(*floor_ms_, now_ms_ + kMeetMs)) : std::nullopt;
    };
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
        const Rule& rule = rules_[i];
        if (rule.metric == nullptr || !rule.enabled) continue;  // nothing but switched off
        if (rule.heartbeat) {
            silences_.push_back(std::make_unique<HostSilence>(rule, known_hosts_));
            if (floor_ms_) silences_.back()->start(*floor_ms_);
            continue;
        }
        if (rule.fleet) {
            fleets_.push_back(std::make_unique<FleetRule>(rule, history_, grown_ms()));
            fleet_of_rule_[i] = fleets_.back().get();
        }
        rules_by_metric_[std::string(rule.metric->name)].push_back(i);
        for (std::size_t c = 0; c < rule.companions.size(); ++c)
            companions_by_metric_[std::string(rule.companions[c].metric->name)].push_back({i, c});
    }
}

const Rule& RuleEngine::effective(std::uint32_t index, std::uint32_t overrides) {
    if (overrides == 0) return rules_[index];
    const auto [it, added] = variants_.try_emplace({index, overrides});
    if (added) it->second = with_overrides(rules_[index], overrides);
    return it->second;
}

RuleEngine::Host& RuleEngine::meet_host(const HostInfo& host) {
    if (&host == batch_host_) return *host_;
    batch_host_ = &host;
    host_ = &hosts_[host.host_id];
    const bool known = host_->info.host_id == host.host_id;
    if (known && host_->info.tags == host.tags) return *host_;
    if (known) ++host_->generation;
    host_->info = host;
    return *host_;
}

RuleEngine::SeriesBindings& RuleEngine::bind(const SeriesSamples& samples,
                                             std::vector<Transition>& out) {
    Host& host = meet_host(samples.host);
    SeriesBindings& bindings = by_series_[samples.series_id];
    if (bindings.generation == host.generation) {
        if (!bindings.refused.empty()) retry_refused(samples, bindings);
        return bindings;
    }
    if (bindings.generation == 0) {
        bindings.host = samples.host.host_id;
        ++host.series;
    }
    bindings.generation = host.generation;
    const std::vector<Entry*> before = bindings.entries;
    unbind(samples.series_id, bindings);
    if (const auto rules = rules_by_metric_.find(samples.series.metric);
        rules != rules_by_metric_.end()) {
        for (const std::uint32_t index : rules->second)
            bind_rule(index, samples, bindings);
    }
    bind_companions(samples, bindings);
    for (Entry* entry : before) {
        if (entry->series.empty()) release(entry, out);
    }
    return bindings;
}

void RuleEngine::bind_rule(std::uint32_t index, const SeriesSamples& samples,
                           SeriesBindings& bindings) {
    const Rule& plain = rules_[index];
    if (!plain.selects(samples.host, samples.series)) return;
    if (plain.fleet) {
        bindings.fleets.push_back(fleet_of_rule_[index]);
        return;
    }
    Attributes identity = plain.identity_of(samples.series);
    const std::uint32_t overrides = overrides_for(plain, samples.host, identity);
    const Rule& rule = effective(index, overrides);
    if (!rule.enabled) return;
    std::string alert = alert_key(rule, samples.host.host_id, identity);
    // What fires is let in: it was there before.
    if (!has_room(index) && !conditions_.contains(alert) && !to_restore_.contains(alert)) {
        bindings.refused.push_back(index);
        bindings.refused_at = rooms_freed_;
        ++rooms_[index].refused;
        return;
    }
    const auto [it, added] = conditions_.try_emplace(
        std::move(alert), Entry(rule, index, overrides, samples.host.host_id, std::move(identity)));
    Entry& entry = it->second;
    entry.key = &it->first;
    if (added) {
        ++rooms_[index].conditions;
        if (const auto saved = to_restore_.find(it->first); saved != to_restore_.end()) {
            entry.condition.restore(saved->second.firing);
            entry.freshness.restore(saved->second.stale_since_ms);
            to_restore_.erase(saved);
            note_firing(entry);
        }
    } else if (entry.rule != &rule) {
        // Other overrides apply: as if the rule had been edited.
        const auto firing = entry.condition.firing();
        entry.rule = &rule;
        entry.overrides = overrides;
        entry.condition = Condition(rule);
        if (firing) entry.condition.restore(*firing);
        entry.primed = false;
        entry.fed_ms = INT64_MIN;
    }
    entry.series.push_back(samples.series_id);
    for (std::size_t c = 0; c < rule.companions.size(); ++c) {
        std::string key =
            join_key(index, c, samples.host.host_id, rule.companions[c].join_key(samples.series));
        joins_.at(key, c).entries.push_back(&entry);
        entry.joins.push_back(std::move(key));
        entry.missed_some = true;
    }
    bindings.entries.push_back(&entry);
}

void RuleEngine::bind_companions(const SeriesSamples& samples, SeriesBindings& bindings) {
    const auto rules = companions_by_metric_.find(samples.series.metric);
    if (rules == companions_by_metric_.end()) return;
    for (const CompanionOf& of : rules->second) {
        const Companion& companion = rules_[of.rule].companions[of.companion];
        if (!companion.selects(samples.series)) continue;
        std::string key = join_key(of.rule, of.companion, samples.host.host_id,
                                   companion.join_key(samples.series));
        JoinTable::Join& join = joins_.at(key, of.companion);
        join.series.push_back(samples.series_id);
        // What it said so far is to be looked at.
        for (Entry* entry : join.entries) {
            entry->primed = false;
            entry->missed_some = true;
        }
        bindings.feeds.push_back({&join, std::move(key)});
    }
}

void RuleEngine::unbind(std::uint32_t series_id, SeriesBindings& bindings) {
    for (Entry* entry : bindings.entries) {
        const auto at = std::find(entry->series.begin(), entry->series.end(), series_id);
        const std::size_t companions = rules_[entry->index].companions.size();
        const auto first = static_cast<std::size_t>(at - entry->series.begin()) * companions;
        for (std::size_t c = 0; c < companions; ++c)
            joins_.remove_entry(entry->joins[first + c], entry);
        const auto begin = entry->joins.begin() + static_cast<std::ptrdiff_t>(first);
        entry->joins.erase(begin, begin + static_cast<std::ptrdiff_t>(companions));
        entry->series.erase(at);
    }
    bindings.entries.clear();
    for (const Feed& feed : bindings.feeds)
        joins_.remove_series(feed.key, series_id);
    bindings.feeds.clear();
    for (FleetRule* fleet : bindings.fleets)
        fleet->leave(series_id);
    bindings.fleets.clear();
    for (const std::uint32_t rule : bindings.refused)
        --rooms_[rule].refused;
    bindings.refused.clear();
}

// No rule selects its series any more.
void RuleEngine::release(Entry* entry, std::vector<Transition>& out) {
    if (const auto firing = entry->condition.firing(); firing && firing->announced) {
        Condition::Outcome end{Change::resolved,
                               firing->level,
                               firing->since_ms,
                               entry->condition.newest_ms(),
                               entry->condition.newest_value(),
                               {}};
        if (end.time_ms == INT64_MIN) end.time_ms = end.since_ms;  // not a sample since the start
        emit(*entry, end, out);
        out.back().reason = "the rule does not select it any more";
    }
    drop(entry);
}

void RuleEngine::list_firing(Entry& entry, bool fires) {
    const bool listed = entry.firing_place != kNotFiring;
    if (fires == listed) return;
    if (!listed) {
        entry.firing_place = static_cast<std::uint32_t>(firing_entries_.size());
        firing_entries_.push_back(&entry);
        return;
    }
    Entry* last = firing_entries_.back();
    firing_entries_[entry.firing_place] = last;
    last->firing_place = entry.firing_place;
    firing_entries_.pop_back();
    entry.firing_place = kNotFiring;
}

void RuleEngine::drop(Entry* entry) {
    std::erase(waiting_, entry);
    list_firing(*entry, false);
    looks_.remove(entry->look);
    --rooms_[entry->index].conditions;
    ++rooms_freed_;
    conditions_.erase(std::string(*entry->key));
}

void RuleEngine::on_samples(const SeriesSamples& samples, std::vector<Transition>& out) {
    if (retired_now_) return;
    received_ms_ = samples.received_ms - offset_ms_;  // by the host's clock, as its samples are
    SeriesBindings& bindings = bind(samples, out);
    const auto wait = [&](Entry& entry, std::size_t companion) {
        if (entry.waiting.empty()) waiting_.push_back(&entry);
        for (std::size_t i = 0; i < samples.times_ms.size(); ++i) {
            entry.waiting.push_back(
                {samples.times_ms[i], samples.values[i], companion, &samples.series});
        }
    };
    for (Entry* entry : bindings.entries) {
        if (entry->waits()) {
            wait(*entry, kPrimary);
            continue;
        }
        entry->seen = &samples.series;
        evaluate(*entry, samples, out);
        note_firing(*entry);
        entry->seen = nullptr;
        watch(*entry);
    }
    feed_fleets(samples, bindings);
    for (const Feed& feed : bindings.feeds) {
        for (Entry* entry : feed.join->entries)
            wait(*entry, feed.join->companion);
    }
}

void RuleEngine::meet_series(std::uint32_t series_id, const HostInfo& host,
                             const SeriesDescriptor& series, std::vector<Transition>& out) {
    for (Entry* entry : bind({series_id, host, series, {}, {}, 0}, out).entries)
        watch(*entry);
}

void RuleEngine::finish_batch(std::vector<Transition>& out) {
    for (Entry* entry : waiting_) {
        evaluate_waiting(*entry, received_ms_, out);
        note_firing(*entry);
        entry->waiting.clear();
        entry->seen = nullptr;
        watch(*entry);
    }
    waiting_.clear();
    batch_host_ = nullptr;  // another one may be at its address by the next batch
    host_ = nullptr;
    offset_ms_ = 0;
    batch_interval_ms_ = 0;
    retired_now_ = false;
}

// By time, companions first. Of several samples of one stream at the same time, the one nearest to
// firing counts, whichever came first.
void RuleEngine::put_in_order(std::vector<Waiting>& samples, const Rule& rule) {
    const bool least = downward(rule.op) && !rule.forecast;
    const auto worth = [&](const Waiting& s) {
        return least && s.companion == kPrimary ? s.value : -s.value;
    };
    std::sort(samples.begin(), samples.end(), [&](const Waiting& a, const Waiting& b) {
        return std::tuple(a.time_ms, a.companion, worth(a)) <
               std::tuple(b.time_ms, b.companion, worth(b));
    });
    samples.erase(std::unique(samples.begin(), samples.end(),
                              [](const Waiting& a, const Waiting& b) {
                                  return a.time_ms == b.time_ms && a.companion == b.companion;
                              }),
                  samples.end());
}

// Far enough before `from_ms` to know there what the rhythm is, and to fill the slots of slow
// series; not for ever.
std::int64_t RuleEngine::with_run_up(const Entry& entry, std::int64_t from_ms) const {
    constexpr std::int64_t kShortestMs = 60'000;
    constexpr std::int64_t kLongestMs = 26 * 3'600'000;
    std::size_t wanted = Rhythm::kSamples;
    for (const Level& level : entry.rule->levels) {
        if (level.slots) wanted = std::max(wanted, Rhythm::kSamples + level.slots->n);
    }
    for (std::int64_t back_ms = kShortestMs;; back_ms *= 4) {
        std::size_t found = 0;
        for (const std::uint32_t id : entry.series) {
            history_.for_each(id, from_ms - back_ms, from_ms - 1,
                              [&](std::int64_t, double) { ++found; });
        }
        if (found >= wanted || back_ms >= kLongestMs) return from_ms - back_ms;
    }
}

// All that the entry looks at, in the order of its judging, into gathered_.
void RuleEngine::gather(const Entry& entry, std::int64_t from_ms, std::int64_t to_ms) {
    gathered_.clear();
    const auto take = [&](std::uint32_t id, std::size_t companion) {
        history_.for_each(id, from_ms, to_ms, [&](std::int64_t t, double value) {
            gathered_.push_back({t, value, companion, nullptr});
        });
    };
    for (const std::uint32_t id : entry.series)
        take(id, kPrimary);
    std::set<std::string_view> joined;
    const std::size_t companions = entry.rule->companions.size();
    for (std::size_t i = 0; i < entry.joins.size(); ++i) {
        if (!joined.insert(entry.joins[i]).second) continue;
        for (const std::uint32_t id : joins_.at(entry.joins[i], i % companions).series)
            take(id, i % companions);
    }
    put_in_order(gathered_, *entry.rule);
}

void RuleEngine::read_history(Entry& entry, std::int64_t from_ms, std::int64_t to_ms) {
    const Rule& rule = *entry.rule;
    from_ms = with_run_up(entry, from_ms);
    entry.condition.begin_history(rule);
    if (!entry.waits()) {
        history_.for_each(entry.series.front(), from_ms, to_ms, [&](std::int64_t t, double value) {
            entry.condition.on_history(rule, t, value);
        });
        return;
    }
    gather(entry, from_ms, to_ms);
    for (const Waiting& sample : gathered_) {
        entry.fed_ms = std::max(entry.fed_ms, sample.time_ms);
        if (sample.companion == kPrimary) {
            entry.condition.on_history(rule, sample.time_ms, sample.value);
        } else {
            entry.condition.on_companion(rule, sample.companion, sample.time_ms, sample.value);
        }
    }
}

// Before the first sample since a start or a change of the rule is judged: what was before. That
// need not be older: the first one to come may be a late one.
template <class IsNew>
void RuleEngine::prime(Entry& entry, std::int64_t first_ms, const IsNew& is_new) {
    entry.primed = true;
    std::int64_t judged_ms = first_ms - 1;
    for (const std::uint32_t id : entry.series) {
        history_.for_each(id, first_ms, INT64_MAX, [&](std::int64_t t, double) {
            if (t > judged_ms && !is_new(t)) judged_ms = t;
        });
    }
    read_history(entry, judged_ms + 1 - entry.rule->horizon().count(), judged_ms);
}

void RuleEngine::evaluate(Entry& entry, const SeriesSamples& samples,
                          std::vector<Transition>& out) {
    const Rule& rule = *entry.rule;
    const std::int64_t horizon_ms = rule.horizon().count();
    if (!entry.primed) {
        prime(entry, samples.times_ms.front(), [&](std::int64_t t) {
            return std::binary_search(samples.times_ms.begin(), samples.times_ms.end(), t);
        });
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
        read_history(entry, newest_ms - horizon_ms, newest_ms);
        settle(entry, received_ms_, out);
    }
    for (; i < samples.times_ms.size(); ++i) {
        emit(entry,
             entry.condition.on_sample(rule, samples.times_ms[i], samples.values[i], received_ms_),
             out);
    }
    entry.fed_ms = entry.condition.newest_ms();
}

void RuleEngine::feed(Entry& entry, const Waiting& sample, std::int64_t received_ms,
                      std::vector<Transition>& out) const {
    entry.fed_ms = sample.time_ms;
    if (sample.companion == kPrimary) {
        if (sample.series != nullptr) entry.seen = sample.series;
        emit(entry,
             entry.condition.on_sample(*entry.rule, sample.time_ms, sample.value, received_ms),
             out);
    } else {
        entry.condition.on_companion(*entry.rule, sample.companion, sample.time_ms, sample.value);
    }
}

void RuleEngine::evaluate_waiting(Entry& entry, std::int64_t received_ms,
                                  std::vector<Transition>& out) {
    put_in_order(entry.waiting, *entry.rule);
    std::vector<std::int64_t> new_ms;
    for (const Waiting& sample : entry.waiting) {
        if (sample.companion != kPrimary) continue;
        entry.seen = sample.series;
        if (!entry.primed) new_ms.push_back(sample.time_ms);
    }
    if (std::exchange(entry.missed_some, false)) {
        gather(entry, entry.waiting.front().time_ms, entry.waiting.back().time_ms);
        entry.waiting = gathered_;
    }
    const std::int64_t horizon_ms = entry.rule->horizon().count();
    if (!entry.primed) {
        prime(entry, entry.waiting.front().time_ms,
              [&](std::int64_t t) { return std::binary_search(new_ms.begin(), new_ms.end(), t); });
    }
    const std::int64_t fed_ms = entry.fed_ms;
    const auto next = std::find_if(entry.waiting.begin(), entry.waiting.end(),
                                   [&](const Waiting& sample) { return sample.time_ms > fed_ms; });
    const bool relevant = std::any_of(entry.waiting.begin(), next, [&](const Waiting& sample) {
        return sample.time_ms >= fed_ms - horizon_ms;
    });
    if (relevant) {
        read_history(entry, fed_ms - horizon_ms, fed_ms);
        settle(entry, received_ms, out);
    }
    for (auto it = next; it != entry.waiting.end(); ++it)
        feed(entry, *it, received_ms, out);
}

void RuleEngine::settle(Entry& entry, std::int64_t received_ms,
                        std::vector<Transition>& out) const {
    if (entry.condition.newest_ms() == INT64_MIN) return;  // the window holds none of it any more
    emit(entry, entry.condition.settle(*entry.rule, received_ms), out);
}

void RuleEngine::emit(const Entry& entry, const Condition::Outcome& outcome,
                      std::vector<Transition>& out) const {
    if (outcome.change == Change::none) return;
    firing_of_known_ = false;
    const Rule& rule = *entry.rule;
    const Level& level = rule.levels[outcome.level];
    Transition transition = transition_of(rule, level, outcome.change);
    transition.key = *entry.key;
    transition.host = entry.host;
    // All the series says of itself is shown; the identity alone decides which alert it is.
    transition.attributes = entry.seen != nullptr ? entry.seen->attributes : entry.attributes;
    transition.time_ms = outcome.time_ms;
    transition.since_ms = outcome.since_ms;
    transition.value = outcome.value;
    const auto host = hosts_.find(entry.host);
    transition.summary = rule.summary.render(
        {host == hosts_.end() ? HostInfo{entry.host, {}, {}, {}, {}} : host->second.info,
         transition.attributes, rule.id, to_string(level.severity), outcome.value, level.at,
         rule.unit, rule.metric->unit,
         std::chrono::milliseconds{outcome.time_ms - outcome.since_ms}, outcome.eta});
    out.push_back(std::move(transition));
}

std::vector<RenamedAlert> RuleEngine::replace_rules(std::vector<Rule> rules,
                                                    std::vector<Transition>& out) {
    finish_batch(out);
    std::vector<RenamedAlert> renamed;
    std::map<std::string, std::string, std::less<>> old_fingerprints;
    for (const Rule& rule : rules_)
        old_fingerprints[rule.id] = rule.fingerprint;
    std::vector<FiringCondition> was_firing = firing();
    std::unordered_map<std::string, Entry> old_conditions = std::move(conditions_);
    const std::vector<Rule> old_rules = std::move(rules_);
    std::vector<std::unique_ptr<HostSilence>> old_silences = std::move(silences_);
    std::vector<std::unique_ptr<FleetRule>> old_fleets = std::move(fleets_);
    looks_.clear();
    firing_of_known_ = false;
    firing_entries_.clear();

    rules_ = std::move(rules);
    index_rules();
    conditions_.clear();
    joins_.clear();
    // Series are bound anew, each with its next sample.
    for (auto& [id, bindings] : by_series_) {
        bindings.generation = kUnbound;
        bindings.entries.clear();
        bindings.feeds.clear();
        bindings.refused.clear();
    }
    std::map<std::string, std::uint32_t, std::less<>> present;  // by id, and by the one before
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
        if (rules_[i].enabled) present[rules_[i].id] = i;
    }
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
        if (rules_[i].enabled && !rules_[i].was.empty()) present.try_emplace(rules_[i].was, i);
    }
    const auto key_now = [&](const std::string& key) {
        const auto rule = present.find(rule_of_key(key));
        return rule == present.end() ? std::string()
                                     : rules_[rule->second].id + key.substr(rule->first.size());
    };
    for (auto& [key, entry] : old_conditions) {
        const auto rule = present.find(rule_of_key(key));
        if (rule == present.end()) continue;
        const Rule& now = rules_[rule->second];
        if (now.fingerprint != old_fingerprints[rule->first]) continue;
        const std::uint32_t overrides = entry.overrides;
        Entry kept = std::move(entry);
        kept.index = rule->second;
        kept.rule = &effective(kept.index, overrides);
        kept.series.clear();
        kept.joins.clear();
        kept.look = 0;
        kept.firing_place = kNotFiring;
        ++rooms_[kept.index].conditions;
        const auto [it, added] = conditions_.emplace(key_now(key), std::move(kept));
        it->second.key = &it->first;
        note_firing(it->second);
        watch(it->second);
    }
    keep_timed_rules(std::move(old_silences), std::move(old_fleets), old_fingerprints, out);
    for (auto& [id, bindings] : by_series_) {
        std::erase_if(bindings.fleets, [&](const FleetRule* fleet) {
            return std::none_of(fleets_.begin(), fleets_.end(),
                                [&](const auto& each) { return each.get() == fleet; });
        });
    }
    if (floor_ms_) unmet_look_ms_ = met_by_ms_ = std::max(*floor_ms_, now_ms_ + kMeetMs);
    to_restore_.clear();
    std::set<std::string> firing_keys;
    for (const FiringCondition& condition : was_firing)
        firing_keys.insert(condition.key);
    for (FiringCondition& condition : was_firing) {
        const std::string now = key_now(condition.key);
        // An alert that has the new id already goes on; that of the old one has ended.
        if (!now.empty() && (now == condition.key || !firing_keys.contains(now))) {
            if (now != condition.key)
                renamed.push_back({condition.key, now, std::string(rule_of_key(now))});
            condition.key = now;
            if (!conditions_.contains(now) && !restore_timed(condition))
                to_restore_[now] = condition;
            continue;
        }
        if (keep_unknown_) {
            to_restore_[condition.key] = condition;
            continue;
        }
        if (!condition.firing.announced) continue;
        const auto entry = old_conditions.find(condition.key);
        const auto rule = std::find_if(old_rules.begin(), old_rules.end(), [&](const Rule& old) {
            return old.id == rule_of_key(condition.key);
        });
        Transition gone = removed_with_rule(condition, rule == old_rules.end() ? nullptr : &*rule);
        if (entry != old_conditions.end()) {
            gone.attributes = entry->second.attributes;
            // Unless not a sample came since the start.
            if (entry->second.condition.newest_ms() != INT64_MIN) {
                gone.time_ms = entry->second.condition.newest_ms();
                gone.value = entry->second.condition.newest_value();
            }
        }
        out.push_back(std::move(gone));
    }
    return renamed;
}

void RuleEngine::forget(std::uint32_t series_id) {
    const auto it = by_series_.find(series_id);
    if (it == by_series_.end()) return;
    const std::vector<Entry*> entries = it->second.entries;
    unbind(series_id, it->second);
    for (Entry* entry : entries) {
        if (!entry->series.empty() || entry->condition.firing()) continue;
        drop(entry);
    }
    const auto host = hosts_.find(it->second.host);
    if (host != hosts_.end() && --host->second.series == 0 && &host->second != host_)
        hosts_.erase(host);
    by_series_.erase(it);
}

std::vector<FiringCondition> RuleEngine::firing() const {
    std::vector<FiringCondition> out;
    for (const Entry* entry : firing_entries_) {
        if (const auto firing = entry->condition.firing())
            out.push_back(
                {*entry->key, entry->rule->fingerprint, *firing, entry->freshness.since_ms()});
    }
    const auto append = [&](const std::vector<FiringCondition>& more) {
        out.insert(out.end(), more.begin(), more.end());
    };
    for (const auto& silence : silences_)
        append(silence->firing());
    for (const auto& fleet : fleets_)
        append(fleet->firing());
    // Conditions whose host has not been heard of since the start still fire.
    for (const auto& [key, condition] : to_restore_)
        out.push_back(condition);
    return out;
}

void RuleEngine::restore(const std::vector<FiringCondition>& firing) {
    for (const FiringCondition& condition : firing) {
        if (!restore_timed(condition)) to_restore_[condition.key] = condition;
    }
}

std::vector<RuleEngine::Pending> RuleEngine::pending() const {
    std::vector<Pending> out;
    for (const auto& [key, entry] : conditions_) {
        if (entry.condition.state() != ConditionState::pending) continue;
        out.push_back({key, entry.rule->id, entry.host, entry.attributes,
                       entry.condition.breaching_since_ms(), entry.condition.newest_value()});
    }
    std::sort(out.begin(), out.end(),
              [](const Pending& a, const Pending& b) { return a.key < b.key; });
    return out;
}

void RuleEngine::for_each_condition(const std::function<void(const ConditionView&)>& visit) const {
    for (const auto& [key, entry] : conditions_)
        visit({key, *entry.rule, entry.host, entry.attributes, entry.condition,
               entry.freshness.since_ms(), entry.series});
}

void RuleEngine::for_each_group(const std::function<void(const ConditionView&)>& visit) const {
    for (const auto& fleet : fleets_)
        fleet->for_each_group(visit);
}

std::optional<std::int64_t> RuleEngine::silent_at_ms(const std::string& rule,
                                                     const std::string& host) const {
    for (const auto& silence : silences_) {
        if (silence->rule().id == rule) return silence->silent_at_ms(host);
    }
    return {};
}

}  // namespace ridgeline::collector
