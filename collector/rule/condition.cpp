#include "collector/rule/condition.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

// A windowed value stands on at least this share of its window.
constexpr double kCoverageMin = 0.7;

bool upward(Op op) {
    return op == Op::greater || op == Op::greater_equal;
}

// Past the threshold on the healthy side. For == and != there is no side; not breaching is clear.
bool clears(const Rule& rule, double value, std::size_t level) {
    if (!rule.clear || rule.op == Op::equal || rule.op == Op::not_equal) {
        return !holds(value, rule.op, rule.levels[level].at);
    }
    const double threshold = rule.clear_threshold(level);
    return upward(rule.op) ? value < threshold : value > threshold;
}

}  // namespace

std::int64_t Condition::horizon_ms(const Rule& rule) {
    std::int64_t longest = std::max(rule.window.count(), rule.clear_for.count());
    for (const Level& level : rule.levels)
        longest = std::max(longest, level.sustained.count());
    return 2 * std::max<std::int64_t>(longest, 60'000);
}

void Condition::reset_runs() {
    std::fill(breach_start_.begin(), breach_start_.end(), std::nullopt);
    clear_start_.reset();
    lower_start_.reset();
}

// A hole breaks every run. What counts as one follows the series' own rhythm, which is learned from
// the gaps seen: a shorter gap is believed at once, a longer one by doubling, so that one outage
// does not make the series "slow". Returns the time the sample covers: the gap, 0 after a hole.
std::int64_t Condition::observe_gap(std::int64_t time_ms) {
    if (newest_ms_ == INT64_MIN) return 0;
    const std::int64_t gap = time_ms - newest_ms_;
    if (interval_ms_ == 0 || gap < interval_ms_) interval_ms_ = gap;
    if (gap > std::max(kMaxGapFloorMs, interval_ms_ * 5 / 2)) {
        interval_ms_ = std::min(gap, interval_ms_ * 2);
        reset_runs();
        window_.clear();
        return 0;
    }
    return gap;
}

// Judged by the time the samples cover, not by their number: a rhythm that slows down, or two
// samples that happen to be close together, must not leave the window "too empty" for good. Each
// sample covers the gap before it.
std::optional<double> Condition::aggregate(const Rule& rule, std::int64_t time_ms, double value,
                                           std::int64_t covers_ms) {
    if (rule.window.count() == 0 || rule.agg == Agg::last) return value;
    window_.push_back({time_ms, value, covers_ms});
    while (window_.front().time_ms <= time_ms - rule.window.count())
        window_.pop_front();
    const std::int64_t covered_ms = time_ms - window_.front().time_ms + window_.front().covers_ms;
    if (static_cast<double>(covered_ms) < kCoverageMin * static_cast<double>(rule.window.count()))
        return {};
    // Summed anew rather than kept as a running sum, which would drift over days.
    double sum = 0;
    for (const Sample& sample : window_)
        sum += sample.value;
    return sum / static_cast<double>(window_.size());
}

void Condition::track(const Rule& rule, std::int64_t time_ms, double value) {
    const auto follow = [&](std::optional<std::int64_t>& start, bool condition) {
        if (!condition)
            start.reset();
        else if (!start)
            start = time_ms;
    };
    for (std::size_t i = 0; i < rule.levels.size(); ++i) {
        follow(breach_start_[i], holds(value, rule.op, rule.levels[i].at));
    }
    follow(clear_start_, clears(rule, value, 0));
    follow(lower_start_, clears(rule, value, level_));
    newest_value_ = value;
}

std::optional<std::size_t> Condition::gravest_open(const Rule& rule) const {
    for (std::size_t i = rule.levels.size(); i-- > 0;) {
        if (breach_start_[i] && newest_ms_ - *breach_start_[i] >= rule.levels[i].sustained.count())
            return i;
    }
    return {};
}

Condition::Outcome Condition::decide_firing(const Rule& rule, std::optional<std::size_t> open) {
    Outcome outcome{Change::none, level_, since_ms_, newest_ms_, newest_value_};
    if (open && *open > level_) {
        level_ = *open;
        outcome.level = level_;
        outcome.change = Change::raised;
        state_ = ConditionState::firing;
        return outcome;
    }
    if (clear_start_) {
        state_ = ConditionState::clearing;
        if (newest_ms_ - *clear_start_ < rule.clear_for.count()) return outcome;
        outcome.change = Change::resolved;
        state_ = ConditionState::ok;
        return outcome;
    }
    state_ = ConditionState::firing;
    if (open && *open < level_ && lower_start_ &&
        newest_ms_ - *lower_start_ >= rule.clear_for.count()) {
        level_ = *open;
        lower_start_.reset();
        outcome.level = level_;
        outcome.change = Change::lowered;
    }
    return outcome;
}

Condition::Outcome Condition::decide(const Rule& rule, std::int64_t received_ms) {
    const auto open = gravest_open(rule);
    const bool live = received_ms - newest_ms_ <= kLiveLagMs;
    Outcome outcome{Change::none, level_, since_ms_, newest_ms_, newest_value_};
    if (state_ == ConditionState::firing || state_ == ConditionState::clearing) {
        outcome = decide_firing(rule, open);
    } else if (open) {
        state_ = ConditionState::firing;
        level_ = *open;
        since_ms_ = *breach_start_[*open];
        lower_start_.reset();
        announced_ = false;
    } else {
        const bool breaching = std::any_of(breach_start_.begin(), breach_start_.end(),
                                           [](const auto& s) { return s.has_value(); });
        state_ = breaching ? ConditionState::pending : ConditionState::ok;
        return outcome;
    }
    if (announced_) return outcome;
    if (outcome.change == Change::resolved) {
        outcome.change = Change::episode;
        announced_ = true;
    } else if (live && open) {
        // Not while it is on its way out: nobody is paged for a state that is over.
        outcome = {Change::fired, level_, since_ms_, newest_ms_, newest_value_};
        announced_ = true;
    } else {
        outcome.change = Change::none;
    }
    return outcome;
}

Condition::Outcome Condition::on_sample(const Rule& rule, std::int64_t time_ms, double value,
                                        std::int64_t received_ms) {
    const std::int64_t covers_ms = observe_gap(time_ms);
    newest_ms_ = time_ms;
    const auto aggregated = aggregate(rule, time_ms, value, covers_ms);
    if (!aggregated) return {Change::none, level_, since_ms_, time_ms, value};
    track(rule, time_ms, *aggregated);
    return decide(rule, received_ms);
}

void Condition::begin_history(std::int64_t rhythm_ms) {
    reset_runs();
    window_.clear();
    newest_ms_ = INT64_MIN;
    interval_ms_ = rhythm_ms;
}

void Condition::on_history(const Rule& rule, std::int64_t time_ms, double value) {
    const std::int64_t covers_ms = observe_gap(time_ms);
    newest_ms_ = time_ms;
    if (const auto aggregated = aggregate(rule, time_ms, value, covers_ms))
        track(rule, time_ms, *aggregated);
}

Condition::Outcome Condition::settle(const Rule& rule, std::int64_t received_ms) {
    return decide(rule, received_ms);
}

std::int64_t Condition::breaching_since_ms() const {
    std::int64_t since = 0;
    for (const auto& start : breach_start_) {
        if (start && (since == 0 || *start < since)) since = *start;
    }
    return since;
}

std::optional<Condition::Firing> Condition::firing() const {
    if (state_ != ConditionState::firing && state_ != ConditionState::clearing) return {};
    return Firing{level_, since_ms_, announced_};
}

void Condition::restore(const Firing& firing) {
    state_ = ConditionState::firing;
    level_ = std::min(firing.level, breach_start_.size() - 1);
    since_ms_ = firing.since_ms;
    announced_ = firing.announced;
}

}  // namespace ridgeline::collector
