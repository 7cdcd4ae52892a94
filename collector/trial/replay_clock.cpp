#include "collector/trial/replay_clock.h"

#include <algorithm>

#include "collector/rule/tick_clock.h"

namespace ridgeline::collector {

namespace {

// Live data come first after an outage, and backlogs at a bounded rate beside them.
constexpr std::chrono::milliseconds kLookAhead = std::chrono::seconds{60};
constexpr std::size_t kLookAheadBatchesMax = 1000;

bool has_sample_between(const LogBatch& batch, std::int64_t from_ms, std::int64_t to_ms) {
    return std::any_of(batch.block.groups.begin(), batch.block.groups.end(),
                       [&](const SampleGroup& group) {
                           const auto& times = group.timestamps_ms;
                           const auto it = std::upper_bound(times.begin(), times.end(), from_ms);
                           return it != times.end() && *it < to_ms;
                       });
}

}  // namespace

Result<std::optional<LogBatch>> ReplayInput::next() {
    if (ahead_.empty()) return log_->next();
    std::optional<LogBatch> batch = std::move(ahead_.front());
    ahead_.pop_front();
    return batch;
}

Result<bool> ReplayInput::sampled_unheard(WallTime from, WallTime to) {
    const auto tells = [&](const LogBatch& batch) {
        return batch.backlog && has_sample_between(batch, to_unix_ms(from), to_unix_ms(to));
    };
    for (std::size_t i = 0; i < kLookAheadBatchesMax; ++i) {
        if (i == ahead_.size()) {
            RL_ASSIGN_OR_RETURN(auto batch, log_->next());
            if (!batch) return false;
            ahead_.push_back(std::move(*batch));
        }
        if (tells(ahead_[i])) return true;
        if (ahead_[i].received > to + kLookAhead) return false;
    }
    return false;
}

void ReplayClock::start(WallTime now) {
    run_->start_ticks(to_unix_ms(now), kGrace.count());
    next_tick_ms_ = to_unix_ms(now) + RuleRun::kTickMs;
}

void ReplayClock::pass(WallTime now, std::vector<std::vector<Transition>>& out) {
    for (; next_tick_ms_ < to_unix_ms(now); next_tick_ms_ += RuleRun::kTickMs)
        run_->tick(next_tick_ms_, out);
}

Result<void> ReplayClock::advance(WallTime now, ReplayInput& input,
                                  std::vector<std::vector<Transition>>& out) {
    if (!last_) {
        start(now);
    } else if (now < *last_ - TickClock::kBackMax) {
        start(now);
        last_ = now;
    } else if (now > *last_ + kQuiet) {
        RL_ASSIGN_OR_RETURN(const bool away, input.sampled_unheard(*last_, now));
        const WallTime silent_until = *last_ + kGapMax;
        if (away) {
            absences_.push_back({*last_, now});
            start(now);
        } else if (now > silent_until) {
            pass(silent_until, out);
            absences_.push_back({silent_until, now});
            start(now);
        }
    }
    pass(now, out);
    // Times may go back a little.
    last_ = std::max(now, last_.value_or(now));
    return {};
}

void ReplayClock::finish(WallTime end, std::vector<std::vector<Transition>>& out) {
    if (last_) pass(std::min(end, *last_ + kGapMax) + std::chrono::milliseconds{1}, out);
}

}  // namespace ridgeline::collector
