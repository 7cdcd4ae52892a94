// How much counters have grown from one sample to the next. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

class CounterBook {
  public:
    // After an outage live samples come first and what lies before them later, oldest first, as
    // backlog. Each lane is a chain of its own: where live samples leave a gap, the backlog goes on
    // from what came before it, and growth in the gap is not counted by both.
    class Counter {
      public:
        // Since the sample before in its lane; a counter that has begun anew has grown by its
        // value. Nothing for the first sample, one after a gap, and one that is not newer than the
        // last.
        std::optional<double> step(WallTime at, double value, bool backlog);
        std::optional<WallTime> last() const;

      private:
        struct Chain {
            WallTime at{};
            double value = 0;
            std::chrono::milliseconds every{0};  // between the last two; zero: not known yet
            bool known = false;
        };
        static bool gap_before(const Chain& chain, WallTime at);

        Chain live_;
        Chain backlog_;
    };

    // Stays where it is until it is forgotten.
    Counter& of(const std::string& host, const SeriesDescriptor& series) {
        return counters_[{host, series}];
    }
    // Those whose last sample is older.
    void forget_before(WallTime at);
    std::size_t size() const { return counters_.size(); }

  private:
    std::map<std::pair<std::string, SeriesDescriptor>, Counter> counters_;
};

}  // namespace ridgeline::collector
