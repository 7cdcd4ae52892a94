// When a value that grows will reach what it must not: a straight line through the recent past that
// outliers do not bend (Theil–Sen: the median of the slopes between all pairs of points), and how
// far it may be off.
//
// Since the last fall by more than `reset_on_drop`, since before that something was cleaned up. The
// window is kept as averages of its 128ths, and the line is drawn anew once such a part is full,
// through at most 64 of them; every sample moves the end from which it goes on. Pure values.
#pragma once

#include <cstdint>
#include <optional>

#include "collector/rule/rule.h"
#include "collector/rule/sample_queue.h"
#include "collector/rule/summary.h"

namespace ridgeline::collector {

class Forecast {
  public:
    static constexpr std::int64_t kParts = 128;
    static constexpr std::size_t kPointsMax = 64;
    // As few points as this are no line.
    static constexpr std::size_t kPointsMin = 6;
    // A part's number must fit 32 bits until the year 2200.
    static constexpr std::chrono::milliseconds kWindowMin = std::chrono::minutes{10};

    // The next sample; later than all before it. Nullopt while there are too few samples, or it is
    // not known what is to be reached. What does not grow, or uses too little, never gets there.
    std::optional<Eta> add(const ForecastSettings& settings, std::int64_t time_ms, double value,
                           std::optional<double> target);

  private:
    struct Part {
        std::uint32_t index;  // of its time, since the epoch
        std::uint32_t count;
        double time_sum_ms;  // since the part's start
        double value_sum;
        double peak;
    };
    struct Line {
        double slope;  // a second
        double steepest;
        double flattest;
    };
    void forget_before(std::int64_t first_index);
    void draw(std::int64_t part_ms);

    SampleQueue<Part> parts_;
    std::size_t count_ = 0;  // of the samples in parts_
    double peak_ = 0;        // of parts_ but the last
    std::optional<Line> line_;
};

}  // namespace ridgeline::collector
