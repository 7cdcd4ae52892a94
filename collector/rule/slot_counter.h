// M of N: how many of the last N slots hold a breach, and how many hold data at all.
//
// A slot is as wide as the rule says, counted from the epoch, or else holds the samples nearest to
// a whole number of intervals before the newest one. A slot breaches when one of its samples does;
// one without samples counts as neither breaching nor clear. Pure values.
#pragma once

#include <cstdint>

#include "collector/rule/sample_queue.h"

namespace ridgeline::collector {

class SlotCounter {
  public:
    // The next sample. Bit i of `breaches`: it breaches level i. `width_ms`: of a slot; zero when
    // slots are not of a fixed width. `slots`: how many the caller will ask for at most.
    void add(std::int64_t time_ms, std::uint32_t breaches, std::int64_t width_ms,
             std::size_t slots);

    struct Count {
        std::size_t breaching = 0;
        std::size_t filled = 0;
        std::int64_t since_ms = 0;  // the first breach in them
    };
    // Of the last `slots` slots. `interval_ms`: a slot's width; 0 when there is but one sample.
    Count count(std::size_t level, std::size_t slots, std::int64_t interval_ms) const;

  private:
    struct Entry {
        std::int64_t time_ms;  // the first breaching sample's
        std::int64_t place;    // the slot's start, or the sample's time
        std::uint32_t breaches;
    };
    // Two samples close together now and then leave room for the others.
    static constexpr std::size_t kEntriesPerSlot = 4;

    SampleQueue<Entry> entries_;
};

}  // namespace ridgeline::collector
