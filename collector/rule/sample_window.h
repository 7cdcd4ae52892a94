// A window of one series' samples as one value: minimum, average, 95th percentile, rate …
//
// What it says depends on the samples in the window alone, never on those that were in it before:
// after a restart it says the same. A sample costs the same whatever the window holds (of a
// percentile, see SortedBag). Pure values; no clock.
#pragma once

#include <cstdint>
#include <optional>

#include "collector/rule/exact_sum.h"
#include "collector/rule/reduction.h"
#include "collector/rule/sample_queue.h"
#include "collector/rule/sample_times.h"
#include "collector/rule/sorted_bag.h"

namespace ridgeline::collector {

class SampleWindow {
  public:
    // A day at a sample a second. Of more, the oldest leave the window, and what they covered with
    // them.
    static constexpr std::size_t kSamplesMax = 100'000;

    // The next sample. `covers_ms`: the time since the one before it; 0 when there was none, or a
    // hole between them. Nullopt while the samples cover too little of the window.
    std::optional<double> add(const Reduction& reduction, std::int64_t time_ms, double value,
                              std::int64_t covers_ms);
    // The host booted then: counters began anew, whatever they say.
    void on_boot(std::int64_t boot_ms);

  private:
    struct Extreme {
        std::uint64_t number;
        double value;
    };
    bool crosses_boot(std::int64_t from_ms, std::int64_t to_ms) const;
    std::optional<double> increase(const Reduction& reduction, double value) const;
    // `covers_ms`: what it counts for; of an increase that is none, 0. `value`: or the increase
    // since the sample before it.
    void put(const Reduction& reduction, std::int64_t time_ms, std::int64_t covers_ms,
             double value);
    void drop_oldest(const Reduction& reduction);
    std::optional<double> result(const Reduction& reduction) const;

    SampleTimes times_;
    SampleQueue<double> values_;  // as many, where the aggregate takes them out again
    double newest_value_ = 0;
    std::uint64_t first_number_ = 0;  // of times_' front, counted from the first ever
    std::int64_t covered_ms_ = 0;
    std::size_t increases_ = 0;
    ExactSum sum_;                   // for avg, sum, rate, delta
    SampleQueue<Extreme> extremes_;  // for min and max: those that can still become the extreme
    SortedBag sorted_;               // for percentiles
    std::optional<double> previous_;
    std::optional<std::int64_t> boot_ms_;
};

}  // namespace ridgeline::collector
