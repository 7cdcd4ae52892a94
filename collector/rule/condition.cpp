#include "collector/rule/condition.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::collector {

namespace {

// Past the threshold on the healthy side. For == and != there is no side; not breaching is clear.
bool past_clear(const Rule& rule, double value, std::size_t level) {
    if (!rule.clear || rule.op == Op::equal || rule.op == Op::not_equal) {
        return !holds(value, rule.op, rule.levels[level].at);
    }
    const double threshold = rule.clear_threshold(level);
    return upward(rule.op) ? value < threshold : value > threshold;
}

std::size_t most_slots(const Rule& rule) {
    std::size_t most = 0;
    for (const Level& level : rule.levels)
        if (level.slots) most = std::max(most, level.slots->n);
    return most;
}

}  // namespace

Condition::Condition(const Rule& rule) : input_(rule), runs_(rule.levels.size()) {
    if (most_slots(rule) > 0) slots_ = std::make_unique<SlotCounter>();
}

void Condition::reset_runs() {
    std::fill(runs_.begin(), runs_.end(), Runs{});
}

void Condition::track(const Rule& rule, const Input::Reading& reading) {
    const auto follow = [&](std::optional<std::int64_t>& start, bool condition) {
        if (!condition)
            start.reset();
        else if (!start)
            start = reading.time_ms;
    };
    const double value = *reading.value;
    std::uint32_t breaches = 0;
    for (std::size_t i = 0; i < rule.levels.size(); ++i) {
        const bool breaching = reading.also && holds(value, rule.op, rule.levels[i].at);
        follow(runs_[i].breach, breaching);
        follow(runs_[i].clear, reading.also_clear || past_clear(rule, value, i));
        breaches |= breaching ? 1U << i : 0U;
    }
    if (slots_) slots_->add(reading.time_ms, breaches, rule.slot.count(), most_slots(rule));
    newest_value_ = value;
    has_value_ = true;
    newest_eta_ = reading.eta;
}

// False when the sample says nothing to decide on.
bool Condition::take(const Rule& rule, const Input::Reading& reading) {
    newest_ms_ = reading.time_ms;
    if (reading.gap.hole) reset_runs();
    if (!reading.value) return false;
    track(rule, reading);
    return true;
}

SlotCounter::Count Condition::count_slots(const Rule& rule, std::size_t level) const {
    const std::int64_t width_ms = rule.slot.count() > 0 ? rule.slot.count() : input_.interval_ms();
    return slots_->count(level, rule.levels[level].slots->n, width_ms);
}

Condition::LevelStanding Condition::standing(const Rule& rule, std::size_t level) const {
    LevelStanding standing{runs_[level].breach, runs_[level].clear, 0, 0};
    if (rule.levels[level].slots) {
        const auto count = count_slots(rule, level);
        standing.slots_breaching = count.breaching;
        standing.slots_filled = count.filled;
    }
    return standing;
}

std::optional<Condition::Open> Condition::gravest_open(const Rule& rule) const {
    for (std::size_t i = rule.levels.size(); i-- > 0;) {
        const Level& level = rule.levels[i];
        if (level.slots) {
            const auto count = count_slots(rule, i);
            const double filled_min =
                std::ceil(rule.reduction.coverage_min * static_cast<double>(level.slots->n));
            if (count.breaching >= level.slots->m &&
                static_cast<double>(count.filled) >= filled_min)
                return Open{i, count.since_ms};
        } else if (runs_[i].breach && newest_ms_ - *runs_[i].breach >= level.sustained.count()) {
            return Open{i, *runs_[i].breach};
        }
    }
    return {};
}

Condition::Outcome Condition::outcome(Change change) const {
    return {change, level_, since_ms_, newest_ms_, newest_value_, newest_eta_};
}

Condition::Outcome Condition::decide_firing(const Rule& rule, std::optional<Open> open) {
    if (open && open->level > level_) {
        level_ = open->level;
        state_ = ConditionState::firing;
        return outcome(Change::raised);
    }
    if (const auto& clear = runs_.front().clear) {
        state_ = ConditionState::clearing;
        // Slots that still hold enough breaches would have it fire again at once.
        if (newest_ms_ - *clear < rule.clear_for.count() || open) return outcome(Change::none);
        state_ = ConditionState::ok;
        return outcome(Change::resolved);
    }
    state_ = ConditionState::firing;
    if (rule.may_lower && open && open->level < level_ && runs_[level_].clear &&
        newest_ms_ - *runs_[level_].clear >= rule.clear_for.count()) {
        level_ = open->level;
        return outcome(Change::lowered);
    }
    return outcome(Change::none);
}

Condition::Outcome Condition::decide(const Rule& rule, std::int64_t received_ms) {
    const auto open = gravest_open(rule);
    const bool live = received_ms - newest_ms_ <= kLiveLagMs;
    Outcome decided;
    if (state_ == ConditionState::firing || state_ == ConditionState::clearing) {
        decided = decide_firing(rule, open);
    } else if (open) {
        state_ = ConditionState::firing;
        level_ = open->level;
        since_ms_ = open->since_ms;
        announced_ = false;
        decided = outcome(Change::none);
    } else {
        const bool breaching = std::any_of(
            runs_.begin(), runs_.end(), [](const Runs& runs) { return runs.breach.has_value(); });
        state_ = breaching ? ConditionState::pending : ConditionState::ok;
        return outcome(Change::none);
    }
    if (announced_) return decided;
    if (decided.change == Change::resolved) {
        decided.change = Change::episode;
        announced_ = true;
    } else if (live && open) {
        // Not while it is on its way out: nobody is paged for a state that is over.
        decided = outcome(Change::fired);
        announced_ = true;
    } else {
        decided.change = Change::none;
    }
    return decided;
}

Condition::Outcome Condition::on_sample(const Rule& rule, std::int64_t time_ms, double value,
                                        std::int64_t received_ms) {
    if (take(rule, input_.on_sample(rule, time_ms, value))) return decide(rule, received_ms);
    return outcome(Change::none);
}

void Condition::on_companion(const Rule& rule, std::size_t companion, std::int64_t time_ms,
                             double value) {
    input_.on_companion(rule, companion, time_ms, value);
}

void Condition::begin_history(const Rule& rule) {
    reset_runs();
    newest_ms_ = INT64_MIN;
    has_value_ = false;
    input_ = Input(rule);
    if (slots_) *slots_ = SlotCounter();
}

void Condition::on_history(const Rule& rule, std::int64_t time_ms, double value) {
    take(rule, input_.on_sample(rule, time_ms, value));
}

Condition::Outcome Condition::settle(const Rule& rule, std::int64_t received_ms) {
    return decide(rule, received_ms);
}

Condition::Outcome Condition::told_of_data(Change change, std::int64_t time_ms) const {
    Outcome told = outcome(announced_ ? change : Change::none);
    told.time_ms = time_ms;
    return told;
}

Condition::Outcome Condition::on_silence(std::int64_t time_ms) {
    if (!firing()) {
        state_ = ConditionState::ok;
        return outcome(Change::none);
    }
    state_ = ConditionState::firing;
    return told_of_data(Change::stale, time_ms);
}

Condition::Outcome Condition::fire_without_data(std::int64_t time_ms) {
    state_ = ConditionState::firing;
    level_ = 0;
    since_ms_ = newest_ms_ == INT64_MIN ? time_ms : newest_ms_;
    announced_ = true;
    return told_of_data(Change::fired, time_ms);
}

Condition::Outcome Condition::end_without_data(std::int64_t time_ms) {
    Outcome end = outcome(announced_ ? Change::resolved : Change::episode);
    end.time_ms = time_ms;
    state_ = ConditionState::ok;
    announced_ = true;
    return end;
}

std::int64_t Condition::breaching_since_ms() const {
    std::int64_t since = 0;
    for (const Runs& runs : runs_) {
        if (runs.breach && (since == 0 || *runs.breach < since)) since = *runs.breach;
    }
    return since;
}

std::optional<Condition::Firing> Condition::firing() const {
    if (!fires()) return {};
    return Firing{level_, since_ms_, announced_};
}

void Condition::restore(const Firing& firing) {
    state_ = ConditionState::firing;
    level_ = std::min(firing.level, runs_.size() - 1);
    since_ms_ = firing.since_ms;
    announced_ = firing.announced;
}

}  // namespace ridgeline::collector
