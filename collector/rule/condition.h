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
#include <deque>
#include <optional>
#include <vector>

#include "collector/rule/rule.h"

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
};

class Condition {
  public:
    // How far a sample's time may lie behind the moment it was received and still count as live.
    static constexpr std::int64_t kLiveLagMs = 120'000;
    static constexpr std::int64_t kMaxGapFloorMs = 40'000;

    explicit Condition(const Rule& rule) : breach_start_(rule.levels.size()) {}

    struct Outcome {
        Change change = Change::none;
        std::size_t level =
            0;  // the level meant (for resolved and episode: the one that was firing)
        std::int64_t since_ms = 0;  // the run's first sample
        std::int64_t time_ms = 0;   // of the deciding sample
        double value = 0;           // aggregated
    };
    // One sample, later than all before it.
    Outcome on_sample(const Rule& rule, std::int64_t time_ms, double value,
                      std::int64_t received_ms);

    // When the samples before the newest one are not known yet (a restart) or have changed (late
    // data): forget the runs, feed the samples of the horizon with on_history, then go on with
    // on_sample or ask settle() what holds.
    // `rhythm_ms`: the smallest gap among those samples, 0 when there are fewer than two.
    void begin_history(std::int64_t rhythm_ms);
    void on_history(const Rule& rule, std::int64_t time_ms, double value);
    Outcome settle(const Rule& rule, std::int64_t received_ms);

    // How far back samples can matter to the present state.
    static std::int64_t horizon_ms(const Rule& rule);

    ConditionState state() const { return state_; }
    bool idle() const { return state_ == ConditionState::ok; }
    std::size_t level() const { return level_; }
    std::int64_t newest_ms() const { return newest_ms_; }
    double newest_value() const { return newest_value_; }  // aggregated
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
    void restore(const Firing& firing);

  private:
    std::optional<double> aggregate(const Rule& rule, std::int64_t time_ms, double value,
                                    std::int64_t covers_ms);
    std::int64_t observe_gap(std::int64_t time_ms);
    void track(const Rule& rule, std::int64_t time_ms, double value);
    Outcome decide(const Rule& rule, std::int64_t received_ms);
    Outcome decide_firing(const Rule& rule, std::optional<std::size_t> open);
    std::optional<std::size_t> gravest_open(const Rule& rule) const;
    void reset_runs();

    ConditionState state_ = ConditionState::ok;
    std::size_t level_ = 0;
    std::int64_t newest_ms_ = INT64_MIN;
    double newest_value_ = 0;
    std::int64_t since_ms_ = 0;
    std::int64_t interval_ms_ = 0;  // the series' rhythm as observed
    bool announced_ = true;
    std::vector<std::optional<std::int64_t>> breach_start_;  // per level
    std::optional<std::int64_t> clear_start_;
    std::optional<std::int64_t> lower_start_;  // past the firing level's own clear threshold since
    struct Sample {
        std::int64_t time_ms;
        double value;
        std::int64_t covers_ms;  // the gap before it; 0 when that is not known or was a hole
    };
    std::deque<Sample> window_;  // for avg
};

}  // namespace ridgeline::collector
