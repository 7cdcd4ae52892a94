#include "collector/rule/fleet_rule.h"

#include <algorithm>
#include <cmath>

#include "collector/rule/engine.h"

namespace ridgeline::collector {

namespace {

constexpr std::string_view kTagPrefix = "tag.";
// A group is judged this often at most, and so many steps are made up after a start.
constexpr std::int64_t kStepMinMs = 1000;
constexpr std::int64_t kStepMaxMs = 60'000;
constexpr std::int64_t kStepsMadeUp = 1200;

// What the condition of a group is judged by: the groups' values as they are.
Rule rule_of_groups(const Rule& rule) {
    Rule made = rule;
    made.reduction = {};
    made.companions.clear();
    return made;
}

std::int64_t floor_to(std::int64_t ms, std::int64_t step_ms) {
    const std::int64_t rest = ms % step_ms;
    return ms - (rest < 0 ? rest + step_ms : rest);
}

}  // namespace

void FleetSum::add(double value) {
    ++members_;
    switch (fleet_->agg) {
        case Fleet::Agg::share:
        case Fleet::Agg::count:
            if (holds(value, fleet_->op, fleet_->at)) ++breaching_;
            break;
        case Fleet::Agg::avg:
        case Fleet::Agg::sum:
            sum_.add(value);
            break;
        case Fleet::Agg::min:
        case Fleet::Agg::max:
            sorted_.insert(value);
            break;
    }
}

void FleetSum::remove(double value) {
    --members_;
    switch (fleet_->agg) {
        case Fleet::Agg::share:
        case Fleet::Agg::count:
            if (holds(value, fleet_->op, fleet_->at)) --breaching_;
            break;
        case Fleet::Agg::avg:
        case Fleet::Agg::sum:
            sum_.subtract(value);
            break;
        case Fleet::Agg::min:
        case Fleet::Agg::max:
            sorted_.erase(sorted_.find(value));
            break;
    }
}

std::optional<double> FleetSum::value() const {
    const std::size_t missing = fleet_->missing_breaches ? missing_ : 0;
    const std::size_t judged = members_ + missing;
    if (judged == 0 || judged < fleet_->members_min) return {};
    const auto count = static_cast<double>(judged);
    switch (fleet_->agg) {
        case Fleet::Agg::share:
            return static_cast<double>(breaching_ + missing) / count;
        case Fleet::Agg::count:
            return static_cast<double>(breaching_ + missing);
        case Fleet::Agg::avg:
            return sum_.mean(count);
        case Fleet::Agg::sum: {
            const double sum = sum_.value();
            return std::isfinite(sum) ? std::optional(sum) : std::nullopt;
        }
        case Fleet::Agg::min:
            return *sorted_.begin();
        case Fleet::Agg::max:
            return *sorted_.rbegin();
    }
    return {};
}

FleetRule::FleetRule(const Rule& rule, const SampleHistory& history,
                     std::optional<std::int64_t> floor_ms)
    : rule_(rule), group_rule_(rule_of_groups(rule)), history_(&history), floor_ms_(floor_ms) {}

FleetRule::Group& FleetRule::group_of(const HostInfo& host, const SeriesDescriptor& series) {
    HostInfo info;
    Attributes attributes;
    for (const std::string& by : *rule_.by) {
        if (by == "host") {
            info.host_id = host.host_id;
        } else if (by.starts_with(kTagPrefix)) {
            const auto tag = host.tags.find(by.substr(kTagPrefix.size()));
            const std::string value = tag == host.tags.end() ? "" : tag->second;
            info.tags[by.substr(kTagPrefix.size())] = value;
            attributes.push_back({by, value});
        } else if (const std::string* value = find_attribute(series.attributes, by)) {
            attributes.push_back({by, *value});
        }
    }
    normalise(attributes);
    std::string key = alert_key(rule_, info.host_id, attributes);
    const auto known = groups_.find(key);
    if (known != groups_.end()) return known->second;
    Group& group = groups_.try_emplace(key, group_rule_, *rule_.fleet).first->second;
    group.key = key;
    group.info = std::move(info);
    group.attributes = std::move(attributes);
    if (const auto saved = to_restore_.find(key); saved != to_restore_.end()) {
        group.condition.restore(saved->second.firing);
        group.freshness.restore(saved->second.stale_since_ms);
        to_restore_.erase(saved);
    }
    return group;
}

FleetRule::Member& FleetRule::join(const FleetSamples& samples) {
    const auto known = members_.find(samples.series_id);
    if (known != members_.end()) return known->second;
    Member& member = members_.try_emplace(samples.series_id, rule_.reduction).first->second;
    member.group = &group_of(samples.host, samples.series);
    ++member.group->members;
    return member;
}

void FleetRule::count(Member& member, std::optional<double> value) {
    FleetSum& sum = member.group->sum;
    if (member.counted) sum.remove(*member.counted);
    member.counted = value;
    if (value) sum.add(*value);
}

void FleetRule::on_samples(const FleetSamples& samples) {
    Member& member = join(samples);
    member.offset_ms = samples.offset_ms;
    std::optional<double> value = member.counted;
    bool newer = false;
    for (std::size_t i = 0; i < samples.times_ms.size(); ++i) {
        const std::int64_t time_ms = samples.times_ms[i];
        // Late samples are history; what was judged over them is over.
        if (member.signal.rhythm().newest_ms().value_or(INT64_MIN) >= time_ms) continue;
        value =
            member.signal.add(rule_.reduction, time_ms, samples.values[i], rule_.max_gap.count())
                .value;
        newer = true;
    }
    if (!newer) return;
    member.newest_ms = *member.signal.rhythm().newest_ms() + samples.offset_ms;
    member.silent_after_ms = stale_after_ms(rule_, member.signal.rhythm().interval_ms().value_or(0),
                                            samples.batch_interval_ms);
    count(member, value);
    if (member.missing) {
        member.missing = false;
        member.group->sum.remove_missing();
    }
    if (member.token == 0)
        member.token = deadlines_.add(&member, member.newest_ms + member.silent_after_ms + 1);
}

void FleetRule::leave(std::uint32_t series_id) {
    const auto it = members_.find(series_id);
    if (it == members_.end()) return;
    Member& member = it->second;
    count(member, {});
    if (member.missing) member.group->sum.remove_missing();
    --member.group->members;
    deadlines_.remove(member.token);
    members_.erase(it);
}

std::optional<std::int64_t> FleetRule::on_due(Member& member, std::int64_t now_ms) {
    const std::int64_t fresh_until_ms = member.newest_ms + member.silent_after_ms;
    if (now_ms <= fresh_until_ms) return fresh_until_ms + 1;
    member.token = 0;
    count(member, {});
    member.missing = true;
    member.group->sum.add_missing();
    return {};
}

std::int64_t FleetRule::step_ms() const {
    const std::int64_t step = group_rule_.horizon().count() / kStepsMadeUp;
    return std::clamp(floor_to(step, kStepMinMs), kStepMinMs, kStepMaxMs);
}

void FleetRule::on_tick(std::int64_t now_ms, std::vector<Transition>& out) {
    if (!floor_ms_ || now_ms < *floor_ms_) return;
    deadlines_.run(now_ms, [&](Member& member) { return on_due(member, now_ms); });
    const std::int64_t at_ms = floor_to(now_ms, step_ms());
    if (!primed_) {
        primed_ = true;
        make_up(at_ms, out);
    }
    if (at_ms <= judged_ms_) return;
    judged_ms_ = at_ms;
    for (auto& [key, group] : groups_) {
        const auto value = group.sum.value();
        if (value && at_ms > group.condition.newest_ms()) {
            tell(group, group.condition.on_sample(group_rule_, at_ms, *value, now_ms), "", out);
            if (!group.look_ms) group.look_ms = at_ms;
        }
        if (!group.look_ms || at_ms < *group.look_ms) continue;
        const Freshness::Look look =
            group.freshness.look(group_rule_, group.condition, at_ms, *floor_ms_,
                                 stale_after_ms(rule_, group.condition.interval_ms(), 0));
        group.look_ms = look.next_ms;
        tell(group, look.outcome, look.without_data ? "no data" : "", out);
    }
}

void FleetRule::make_up(std::int64_t now_ms, std::vector<Transition>& out) {
    const std::int64_t from_ms = floor_to(now_ms - group_rule_.horizon().count(), step_ms());
    for (auto& [key, group] : groups_) {
        make_up(group, from_ms, now_ms);
        if (group.condition.newest_ms() == INT64_MIN) continue;
        tell(group, group.condition.settle(group_rule_, now_ms), "", out);
    }
    judged_ms_ = now_ms;
}

// Every step of the past as it would have been judged then, had all samples been there.
void FleetRule::make_up(Group& group, std::int64_t from_ms, std::int64_t to_ms) {
    struct Event {
        std::int64_t time_ms;
        const Member* member;
        std::optional<double> value;  // nullopt: it goes silent
    };
    std::vector<Event> events;
    const std::int64_t step = step_ms();
    const std::int64_t before_ms =
        std::max(rule_.reduction.window.count(), rule_.no_data.stale_after.count());
    for (const auto& [id, of_group] : members_) {
        const Member& member = of_group;  // C++20's lambdas take in no parts of a binding (clang)
        if (member.group != &group) continue;
        Signal signal(rule_.reduction);
        std::int64_t last_ms = INT64_MIN;
        std::optional<double> last;
        // The last one of each step is what the step sees.
        const auto flush = [&](std::int64_t until_ms) {
            if (last_ms == INT64_MIN) return;
            events.push_back({last_ms, &member, last});
            const std::int64_t silent_ms = last_ms + member.silent_after_ms + 1;
            if (until_ms > silent_ms) events.push_back({silent_ms, &member, {}});
        };
        history_->for_each(
            id, from_ms - before_ms - member.offset_ms, to_ms - member.offset_ms,
            [&](std::int64_t t, double value) {
                const std::int64_t time_ms = t + member.offset_ms;
                const auto reduced =
                    signal.add(rule_.reduction, t, value, rule_.max_gap.count()).value;
                if (last_ms != INT64_MIN && (time_ms - 1) / step != (last_ms - 1) / step)
                    flush(time_ms);
                last_ms = time_ms;
                last = reduced;
            });
        flush(to_ms);
    }
    std::sort(events.begin(), events.end(),
              [](const Event& a, const Event& b) { return a.time_ms < b.time_ms; });
    FleetSum sum(*rule_.fleet);
    std::unordered_map<const Member*, double> counted;
    std::set<const Member*> missing;
    group.condition.begin_history(group_rule_);
    auto event = events.begin();
    for (std::int64_t at_ms = from_ms; at_ms <= to_ms; at_ms += step) {
        for (; event != events.end() && event->time_ms <= at_ms; ++event) {
            if (const auto it = counted.find(event->member); it != counted.end()) {
                sum.remove(it->second);
                counted.erase(it);
            }
            if (event->value) {
                sum.add(*event->value);
                counted[event->member] = *event->value;
                if (missing.erase(event->member) > 0) sum.remove_missing();
            } else if (missing.insert(event->member).second) {
                sum.add_missing();
            }
        }
        if (const auto value = sum.value()) group.condition.on_history(group_rule_, at_ms, *value);
    }
}

void FleetRule::tell(const Group& group, const Condition::Outcome& outcome, std::string reason,
                     std::vector<Transition>& out) const {
    if (outcome.change == Change::none) return;
    const Level& level = rule_.levels[outcome.level];
    Transition transition = transition_of(rule_, level, outcome.change);
    transition.key = group.key;
    transition.host = group.info.host_id;
    transition.attributes = group.attributes;
    transition.time_ms = outcome.time_ms;
    transition.since_ms = outcome.since_ms;
    transition.value = outcome.value;
    transition.summary =
        rule_.summary.render({group.info,
                              group.attributes,
                              rule_.id,
                              to_string(level.severity),
                              outcome.value,
                              level.at,
                              rule_.unit,
                              rule_.metric->unit,
                              std::chrono::milliseconds{outcome.time_ms - outcome.since_ms},
                              {}});
    transition.reason = std::move(reason);
    out.push_back(std::move(transition));
}

void FleetRule::resolve(Group& group, std::int64_t now_ms, const std::string& reason,
                        std::vector<Transition>& out) const {
    if (!group.condition.firing()) return;
    tell(group, group.condition.end_without_data(now_ms), reason, out);
}

void FleetRule::end_empty(std::int64_t now_ms, const std::string& reason,
                          std::vector<Transition>& out) {
    for (auto it = groups_.begin(); it != groups_.end();) {
        if (it->second.members > 0) {
            ++it;
            continue;
        }
        resolve(it->second, now_ms, reason, out);
        it = groups_.erase(it);
    }
}

void FleetRule::for_each_group(const std::function<void(const ConditionView&)>& visit) const {
    for (const auto& [key, group] : groups_) {
        visit({key,
               group_rule_,
               group.info.host_id,
               group.attributes,
               group.condition,
               group.freshness.since_ms(),
               {},
               group.sum.members()});
    }
}

std::vector<FiringCondition> FleetRule::firing() const {
    std::vector<FiringCondition> out;
    for (const auto& [key, group] : groups_) {
        if (const auto firing = group.condition.firing())
            out.push_back({key, rule_.fingerprint, *firing, group.freshness.since_ms()});
    }
    for (const auto& [key, condition] : to_restore_)
        out.push_back(condition);
    return out;
}

void FleetRule::restore(const FiringCondition& condition) {
    to_restore_[condition.key] = condition;
}

void FleetRule::reword(const Rule& rule) {
    rule_ = rule;
    group_rule_ = rule_of_groups(rule);
}

}  // namespace ridgeline::collector
