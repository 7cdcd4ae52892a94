// When the samples of a window were taken and what time each of them covers, by runs of those that
// are one step apart: of a series with a rhythm, whatever its window, a few dozen bytes.
//
// Pure values; no clock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collector/rule/sample_queue.h"

namespace ridgeline::collector {

class SampleTimes {
  public:
    bool empty() const { return count_ == 0; }
    std::size_t size() const { return count_; }
    // Later than all before it. `covers_ms`: the time since the one before, or 0.
    void push_back(std::int64_t time_ms, std::int64_t covers_ms);
    void pop_front();
    std::int64_t front_ms() const { return runs_.front().first_ms; }
    std::int64_t front_covers_ms() const { return runs_.front().first_covers_ms; }
    // From the newest to the oldest as long as `visit(index, time_ms, covers_ms)` says so.
    template <class Visit>
    void each_from_back(Visit visit) const {
        std::size_t index = count_;
        for (std::size_t r = runs_.size(); r-- > 0;) {
            const Run& run = runs_[r];
            for (std::uint32_t i = run.count; i-- > 0;) {
                const std::int64_t time_ms = run.first_ms + std::int64_t{i} * run.step_ms;
                if (!visit(--index, time_ms, i == 0 ? run.first_covers_ms : run.step_ms)) return;
            }
        }
    }
    // It covers nothing any more.
    void uncover(std::size_t index);

  private:
    struct Run {
        std::int64_t first_ms;
        std::int64_t first_covers_ms;  // the others cover the step
        std::uint32_t step_ms;         // means nothing while there is but one
        std::uint32_t count;
        std::int64_t last_ms() const { return first_ms + std::int64_t{count - 1} * step_ms; }
    };

    SampleQueue<Run> runs_;  // none empty
    std::size_t count_ = 0;
};

}  // namespace ridgeline::collector
