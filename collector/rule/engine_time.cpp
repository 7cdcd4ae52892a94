// The engine's part that time drives: samples that stay away, silent hosts, fleets, and what holds
// back what.
#include <algorithm>

#include "collector/rule/engine.h"
#include "common/base/text.h"

namespace ridgeline::collector {

void RuleEngine::on_batch(const HostInfo& host, const BatchTimes& times,
                          std::vector<Transition>& out) {
    offset_ms_ = 0;
    batch_interval_ms_ = 0;
    const auto retired = retired_.find(host.host_id);
    retired_now_ = retired != retired_.end() && times.received_ms <= retired->second;
    if (retired_now_) return;
    if (retired != retired_.end()) retired_.erase(retired);
    KnownHost& known = known_hosts_.meet(host);
    const bool other_tags = known.info().tags != host.tags;
    if (other_tags) known.set_info(host);
    known.on_batch(times);
    offset_ms_ = known.offset_ms();
    batch_interval_ms_ = known.interval_ms();
    for (const auto& silence : silences_) {
        if (other_tags) silence->on_tags(known, out);
        silence->on_heard(known, out);
    }
}

void RuleEngine::on_alive(const std::string& host, std::int64_t now_ms,
                          std::vector<Transition>& out) {
    KnownHost* known = known_hosts_.find(host);
    if (known == nullptr) return;
    known->on_alive(now_ms);
    for (const auto& silence : silences_)
        silence->on_heard(*known, out);
}

void RuleEngine::start_ticks(std::int64_t now_ms, std::int64_t grace_ms) {
    floor_ms_ = now_ms + grace_ms;
    now_ms_ = now_ms;
    met_by_ms_ = *floor_ms_;
    unmet_look_ms_ = *floor_ms_;
    known_hosts_.clamp(now_ms);
    for (const auto& silence : silences_)
        silence->start(*floor_ms_);
    for (const auto& fleet : fleets_)
        fleet->start(*floor_ms_);
}

void RuleEngine::on_tick(std::int64_t now_ms, std::vector<Transition>& out) {
    if (!floor_ms_) return;
    now_ms_ = now_ms;
    const std::size_t before = out.size();
    for (const auto& silence : silences_)
        silence->on_tick(now_ms, out);
    looks_.run(now_ms, [&](Entry& entry) { return look_at(entry, now_ms, out); });
    if (now_ms >= unmet_look_ms_) look_at_unmet(now_ms, out);
    for (const auto& fleet : fleets_)
        fleet->on_tick(now_ms, out);
    if (out.size() != before) firing_of_known_ = false;
}

// Its samples are judged by the host's clock, so their staying away is too.
std::optional<std::int64_t> RuleEngine::look_at(Entry& entry, std::int64_t now_ms,
                                                std::vector<Transition>& out) {
    if (entry.condition.newest_ms() == INT64_MIN) {
        // What is about to be fed is not read here: it would all be read at once.
        if (now_ms <= met_by_ms_) return met_by_ms_ + 1;
        read_what_is_there(entry);
    }
    const KnownHost* host = known_hosts_.find(entry.host);
    const std::int64_t offset_ms = host == nullptr ? 0 : host->offset_ms();
    const std::int64_t stale_ms = stale_after_ms(*entry.rule, entry.condition.interval_ms(),
                                                 host == nullptr ? 0 : host->interval_ms());
    const Freshness::Look look = entry.freshness.look(
        *entry.rule, entry.condition, now_ms - offset_ms, *floor_ms_ - offset_ms, stale_ms);
    note_firing(entry);
    emit(entry, look.outcome, out);
    if (look.outcome.change != Change::none && look.without_data) out.back().reason = "no data";
    if (!look.next_ms) {
        entry.look = 0;
        return {};
    }
    // No later than any clock allows: how far the host's is off may not be known yet.
    return std::clamp(*look.next_ms + offset_ms, now_ms + 1, now_ms + stale_ms + 1);
}

// Of a series that was met, but has said nothing since: what it said before.
void RuleEngine::read_what_is_there(Entry& entry) {
    constexpr std::int64_t kFirstMs = 60'000;
    constexpr std::int64_t kLastMs = 62 * 86'400'000LL;  // longer than any window
    std::int64_t newest_ms = INT64_MIN;
    // Step by step backwards, since the window may hold a sample a second for a day.
    for (std::int64_t back_ms = kFirstMs; newest_ms == INT64_MIN && back_ms < kLastMs;
         back_ms *= 4) {
        for (const std::uint32_t id : entry.series) {
            history_.for_each(id, now_ms_ - back_ms, INT64_MAX,
                              [&](std::int64_t t, double) { newest_ms = std::max(newest_ms, t); });
        }
    }
    if (newest_ms == INT64_MIN) return;
    entry.primed = true;
    entry.missed_some = false;
    // A companion may have gone on where the series has not.
    read_history(entry, newest_ms - entry.rule->horizon().count(), INT64_MAX);
    if (!entry.waits()) entry.fed_ms = newest_ms;
}

void RuleEngine::watch(Entry& entry) {
    if (entry.look == 0) entry.look = looks_.add(&entry, now_ms_);
}

// What was firing at the start and whose series have not been met since.
void RuleEngine::look_at_unmet(std::int64_t now_ms, std::vector<Transition>& out) {
    unmet_look_ms_ = INT64_MAX;
    for (auto it = to_restore_.begin(); it != to_restore_.end();) {
        FiringCondition& unmet = it->second;
        const Rule* rule = rule_of(rule_of_key(unmet.key));
        if (rule == nullptr) {
            ++it;
            continue;
        }
        const std::size_t level = std::min(unmet.firing.level, rule->levels.size() - 1);
        Transition transition = transition_of(*rule, rule->levels[level], Change::stale);
        transition.key = unmet.key;
        transition.host = std::string(host_of_key(unmet.key));
        transition.time_ms = now_ms;
        transition.since_ms = unmet.firing.since_ms;
        if (unmet.stale_since_ms == 0) {
            unmet.stale_since_ms = now_ms;
            if (unmet.firing.announced) out.push_back(transition);
        }
        const auto policy = rule->no_data.policy;
        if (policy != NoData::Policy::ok && policy != NoData::Policy::resolve_after) {
            ++it;
            continue;
        }
        const auto wait = policy == NoData::Policy::ok ? rule->clear_for : rule->no_data.after;
        const std::int64_t due_ms = unmet.stale_since_ms + wait.count();
        if (now_ms < due_ms) {
            unmet_look_ms_ = std::min(unmet_look_ms_, due_ms);
            ++it;
            continue;
        }
        if (unmet.firing.announced) {
            transition.change = Change::resolved;
            transition.reason = "no data";
            out.push_back(std::move(transition));
        }
        it = to_restore_.erase(it);
    }
}

void RuleEngine::retire_host(const std::string& host, std::int64_t now_ms,
                             const std::string& reason, std::vector<Transition>& out) {
    finish_batch(out);
    retired_[host] = now_ms;
    for (const auto& silence : silences_)
        silence->retire(host, now_ms, reason, out);
    std::vector<std::uint32_t> series;
    for (const auto& [id, bindings] : by_series_) {
        if (bindings.host == host) series.push_back(id);
    }
    std::vector<std::string> keys;
    for (auto& [key, entry] : conditions_) {
        if (entry.host != host) continue;
        keys.push_back(key);
        if (!entry.condition.firing()) continue;
        emit(entry, entry.condition.end_without_data(now_ms), out);
        out.back().reason = reason;
        note_firing(entry);
    }
    for (const std::uint32_t id : series)
        forget(id);
    // What no series led to any more.
    for (const std::string& key : keys) {
        if (const auto it = conditions_.find(key); it != conditions_.end()) drop(&it->second);
    }
    for (auto it = to_restore_.begin(); it != to_restore_.end();) {
        if (host_of_key(it->first) != host) {
            ++it;
            continue;
        }
        if (it->second.firing.announced) {
            Transition gone;
            if (const Rule* rule = rule_of(rule_of_key(it->first))) {
                const std::size_t level =
                    std::min(it->second.firing.level, rule->levels.size() - 1);
                gone = transition_of(*rule, rule->levels[level], Change::resolved);
            }
            gone.change = Change::resolved;
            gone.key = it->first;
            gone.rule = std::string(rule_of_key(it->first));
            gone.host = host;
            gone.time_ms = now_ms;
            gone.since_ms = it->second.firing.since_ms;
            gone.reason = reason;
            out.push_back(std::move(gone));
        }
        it = to_restore_.erase(it);
    }
    for (const auto& fleet : fleets_)
        fleet->end_empty(now_ms, reason, out);
    known_hosts_.forget(host);
    firing_of_known_ = false;
}

void RuleEngine::restore_hosts(const std::vector<HostRecord>& hosts) {
    for (const HostRecord& record : hosts)
        known_hosts_.meet({record.id, {}, {}, record.tags, {}}).restore(record);
}

bool RuleEngine::has_room(std::uint32_t rule) const {
    return rooms_[rule].conditions < limits_.identities_per_rule;
}

// A rule that had no room for the series may have some by now.
void RuleEngine::retry_refused(const SeriesSamples& samples, SeriesBindings& bindings) {
    if (bindings.refused_at == rooms_freed_) return;
    bindings.refused_at = rooms_freed_;
    const std::vector<std::uint32_t> refused = std::exchange(bindings.refused, {});
    for (const std::uint32_t rule : refused) {
        --rooms_[rule].refused;
        bind_rule(rule, samples, bindings);
    }
}

std::map<std::string, std::size_t> RuleEngine::overflowing() const {
    std::map<std::string, std::size_t> over;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
        if (rooms_[i].refused > 0) over[rules_[i].id] = rooms_[i].refused;
    }
    return over;
}

void RuleEngine::feed_fleets(const SeriesSamples& samples, const SeriesBindings& bindings) {
    for (FleetRule* fleet : bindings.fleets) {
        fleet->on_samples({samples.series_id, samples.host, samples.series, samples.times_ms,
                           samples.values, offset_ms_, batch_interval_ms_});
    }
}

std::optional<RuleEngine::Standing> RuleEngine::standing(const std::string& key) const {
    if (const auto it = conditions_.find(key); it != conditions_.end())
        return Standing{it->second.condition.state(), it->second.freshness.since_ms()};
    if (const auto it = to_restore_.find(key); it != to_restore_.end())
        return Standing{ConditionState::firing, it->second.stale_since_ms};
    return {};
}

const Rule* RuleEngine::rule_of(std::string_view id) const {
    const auto it = std::find_if(rules_.begin(), rules_.end(),
                                 [&](const Rule& rule) { return rule.enabled && rule.id == id; });
    return it == rules_.end() ? nullptr : &*it;
}

// After the rules have changed: rules that are judged alike keep what they know.
void RuleEngine::keep_timed_rules(
    std::vector<std::unique_ptr<HostSilence>> silences,
    std::vector<std::unique_ptr<FleetRule>> fleets,
    const std::map<std::string, std::string, std::less<>>& fingerprints,
    std::vector<Transition>& out) {
    for (auto& silence : silences_) {
        const auto old = std::find_if(silences.begin(), silences.end(), [&](const auto& each) {
            return each && each->rule().id == silence->rule().id;
        });
        if (old == silences.end()) continue;
        (*old)->change(silence->rule(), out);
        silence = std::move(*old);
    }
    for (auto& fleet : fleets_) {
        const auto old = std::find_if(fleets.begin(), fleets.end(), [&](const auto& each) {
            return each && each->rule().id == fleet->rule().id;
        });
        const auto fingerprint = fingerprints.find(fleet->rule().id);
        if (old == fleets.end() || fingerprint->second != fleet->rule().fingerprint) continue;
        (*old)->reword(fleet->rule());
        std::replace(fleet_of_rule_.begin(), fleet_of_rule_.end(), fleet.get(), old->get());
        fleet = std::move(*old);
    }
}

// False when the condition is of none of these rules.
bool RuleEngine::restore_timed(const FiringCondition& condition) {
    const std::string_view id = rule_of_key(condition.key);
    const auto restore = [&](const auto& rules) {
        const auto it = std::find_if(rules.begin(), rules.end(),
                                     [&](const auto& each) { return each->rule().id == id; });
        if (it == rules.end()) return false;
        const auto firing = (*it)->firing();
        const bool known = std::any_of(firing.begin(), firing.end(),
                                       [&](const auto& each) { return each.key == condition.key; });
        if (!known) (*it)->restore(condition);
        return true;
    };
    return restore(silences_) || restore(fleets_);
}

namespace {

bool names(const std::vector<std::string>& globs, const std::string& id) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_match(glob, id); });
}

bool inhibits(const Rule& inhibitor, const Rule& target) {
    return inhibitor.id != target.id &&
           (names(inhibitor.inhibits, target.id) || names(target.inhibited_by, inhibitor.id));
}

// What both name is the same: the same filesystem, not just the same host.
bool agree(const Attributes& a, const Attributes& b) {
    return std::all_of(a.begin(), a.end(), [&](const Attribute& attribute) {
        const std::string* other = find_attribute(b, attribute.key);
        return other == nullptr || *other == attribute.value;
    });
}

}  // namespace

bool RuleEngine::fires(const Rule& inhibitor, const std::string& host,
                       const Attributes& attributes) const {
    if (!firing_of_known_) {
        firing_of_.clear();
        for (const Entry* entry : firing_entries_) {
            const auto firing = entry->condition.firing();
            if (firing && firing->announced)
                firing_of_[{entry->rule->id, entry->host}].push_back(entry->attributes);
        }
        // Of those nothing but the key is known: they hold back all of their host.
        for (const auto& [key, condition] : to_restore_) {
            if (condition.firing.announced)
                firing_of_[{std::string(rule_of_key(key)), std::string(host_of_key(key))}]
                    .push_back({});
        }
        firing_of_known_ = true;
    }
    const auto it = firing_of_.find({inhibitor.id, host});
    return it != firing_of_.end() &&
           std::any_of(it->second.begin(), it->second.end(),
                       [&](const Attributes& firing) { return agree(firing, attributes); });
}

std::optional<std::string> RuleEngine::inhibitor_of(const std::string& rule,
                                                    const std::string& host,
                                                    const Attributes& attributes) const {
    const Rule* target = rule_of(rule);
    if (target == nullptr || host.empty()) return {};
    for (const Rule& inhibitor : rules_) {
        // Two that hold back each other would both never be heard of.
        if (!inhibitor.enabled || !inhibits(inhibitor, *target) || inhibits(*target, inhibitor))
            continue;
        if (!ticking()) return inhibitor.id + " is not judged yet since the start";
        const auto silence =
            std::find_if(silences_.begin(), silences_.end(),
                         [&](const auto& each) { return each->rule().id == inhibitor.id; });
        if (silence != silences_.end()) {
            if ((*silence)->dark(host)) return inhibitor.id + " fires for this host";
            if ((*silence)->undecided(host))
                return inhibitor.id + " is not judged yet since the start";
        } else if (fires(inhibitor, host, attributes)) {
            return inhibitor.id + " fires for this host";
        }
    }
    return {};
}

}  // namespace ridgeline::collector
