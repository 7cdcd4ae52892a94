// Whether a condition's samples still come, and what its rule's no_data makes of it when they do
// not.
//
// While they stay away nothing is decided by time: a pending run is dropped, what fires goes on
// firing (flagged stale), unless the rule says otherwise. Pure values; no clock.
#pragma once

#include <cstdint>
#include <optional>

#include "collector/rule/condition.h"

namespace ridgeline::collector {

class Freshness {
  public:
    struct Look {
        Condition::Outcome outcome;           // change none: nothing to tell
        bool without_data = false;            // it fired or ended for want of data
        std::optional<std::int64_t> next_ms;  // when to look again, if no sample comes
    };
    // The condition at `now_ms`, by its samples' clock. Silence counts from `floor_ms` at the
    // earliest; `stale_after_ms` is the rule's or more.
    Look look(const Rule& rule, Condition& condition, std::int64_t now_ms, std::int64_t floor_ms,
              std::int64_t stale_after_ms);

    bool stale() const { return since_ms_ != 0; }
    std::int64_t since_ms() const { return since_ms_; }  // 0: fresh
    void restore(std::int64_t since_ms) { since_ms_ = since_ms; }

  private:
    Look while_stale(const Rule& rule, Condition& condition, std::int64_t now_ms);

    std::int64_t since_ms_ = 0;
};

// How long a silence of a stream with these intervals may last: the rule's stale_after, or three
// intervals between its samples or its sender's batches.
std::int64_t stale_after_ms(const Rule& rule, std::int64_t sample_interval_ms,
                            std::int64_t batch_interval_ms);

}  // namespace ridgeline::collector
