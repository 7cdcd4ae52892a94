// The condition of one alert identity: OK, pending, firing, clearing — decided by samples and their
// own times.
//
// "Sustained" is counted from sample to sample, so a frozen sender gains nothing and a restart or
// replay changes nothing. A hole longer than the series' own rhythm allows breaks a run. Missing
// data holds the state: a resolve needs a real clear sample. Samples that come in long after their
// time (a replayed outage) move the condition, but are announced only if it still holds when the
// data is live again. Pure values; no clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "collector/rule/input.h"
#include "collector/rule/rule.h"
#include "collector/rule/slot_counter.h"

namespace ridgeline::collector {

enum class ConditionState : std::uint8_t { ok, pending, firing, clearing };

// What a sample brought about.
enum class Change : std::uint8_t {
    none,
    fired,
    raised,
    lowered,
    resolved,
    episode,  // fired and ended in data that came too late for anybody to act on
    stale,    // goes on firing without data; nobody is told, it is recorded
    fresh,    // its data are back
};

class Condition {
  public:
    // How far a sample's time may lie behind the moment it was received and still count as live.
    static constexpr std::int64_t kLiveLagMs = 120'000;

    explicit Condition(const Rule& rule);

    struct Outcome {
        Change change = Change::none;
        std::size_t level =
            0;  // the level meant (for resolved and episode: the one that was firing)
        std::int64_t since_ms = 0;  // the run's first sample
        std::int64_t time_ms = 0;   // of the deciding sample
        double value = 0;           // reduced
        std::optional<Eta> eta;     // of a forecast
    };
    // One sample, later than all before it.
    Outcome on_sample(const Rule& rule, std::int64_t time_ms, double value,
                      std::int64_t received_ms);
    // One of a companion, no earlier than those before it. Matters to the samples that follow.
    void on_companion(const Rule& rule, std::size_t companion, std::int64_t time_ms, double value);

    // When the samples before the newest one are not known yet (a restart) or have changed (late
    // data): forget the runs, feed the samples of the horizon with on_history and on_companion,
    // then go on with on_sample or ask settle() what holds.
    void begin_history(const Rule& rule);
    void on_history(const Rule& rule, std::int64_t time_ms, double value);
    Outcome settle(const Rule& rule, std::int64_t received_ms);

    // Its samples stay away: it is not pending any more, and not on its way out. When they come
    // late after all, without a hole, their runs go on: what an outage held up comes to the same
    // end. Change stale when it fires and people know.
    Outcome on_silence(std::int64_t time_ms);
    // Fires at the mildest level, or ends, by the rule's no_data.
    Outcome fire_without_data(std::int64_t time_ms);
    Outcome end_without_data(std::int64_t time_ms);
    // `change` at `time_ms` if people know of the alert, else none.
    Outcome told_of_data(Change change, std::int64_t time_ms) const;
    std::int64_t interval_ms() const { return input_.interval_ms(); }

    ConditionState state() const { return state_; }
    bool idle() const { return state_ == ConditionState::ok; }
    std::size_t level() const { return level_; }
    std::int64_t newest_ms() const { return newest_ms_; }
    double newest_value() const { return newest_value_; }  // reduced
    // Whether there has been one: a window may not be covered yet.
    bool has_value() const { return has_value_; }
    // How it stands with one level.
    struct LevelStanding {
        std::optional<std::int64_t> breaching_since_ms, clear_since_ms;
        std::size_t slots_breaching = 0, slots_filled = 0;  // of a level that counts slots
    };
    LevelStanding standing(const Rule& rule, std::size_t level) const;
    // Of the earliest running breach; 0 when there is none.
    std::int64_t breaching_since_ms() const;

    // What must outlive a restart: that it fires. Everything else follows from the stored samples
    // (begin_history).
    struct Firing {
        std::size_t level = 0;
        std::int64_t since_ms = 0;
        bool announced = true;
        bool operator==(const Firing&) const = default;
    };
    std::optional<Firing> firing() const;
    bool fires() const {
        return state_ == ConditionState::firing || state_ == ConditionState::clearing;
    }
    void restore(const Firing& firing);

  private:
    struct Open {
        std::size_t level;
        std::int64_t since_ms;
    };
    bool take(const Rule& rule, const Input::Reading& reading);
    void track(const Rule& rule, const Input::Reading& reading);
    Outcome outcome(Change change) const;
    Outcome decide(const Rule& rule, std::int64_t received_ms);
    Outcome decide_firing(const Rule& rule, std::optional<Open> open);
    std::optional<Open> gravest_open(const Rule& rule) const;
    SlotCounter::Count count_slots(const Rule& rule, std::size_t level) const;
    void reset_runs();

    Input input_;
    ConditionState state_ = ConditionState::ok;
    std::size_t level_ = 0;
    std::int64_t newest_ms_ = INT64_MIN;
    double newest_value_ = 0;
    std::optional<Eta> newest_eta_;
    std::int64_t since_ms_ = 0;
    bool announced_ = true;
    bool has_value_ = false;
    struct Runs {
        std::optional<std::int64_t> breach;  // beyond the level since
        std::optional<std::int64_t> clear;   // past the level's dead band since
    };
    std::vector<Runs> runs_;              // per level
    std::unique_ptr<SlotCounter> slots_;  // null when no level counts slots
};

}  // namespace ridgeline::collector
