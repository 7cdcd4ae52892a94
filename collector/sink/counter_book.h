// How much counters have grown from one sample to the next. Pure.
#pragma once

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
    struct Counter {
        WallTime at{};
        double value = 0;
        bool known = false;
        // Since the sample before; a counter that has begun anew has grown by its value. Nothing
        // for the first sample, nor for one that is not newer than the last.
        std::optional<double> step(WallTime sampled_at, double sampled);
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
