// How fast requests may go: a pause after failures that doubles, and fewer at once after
// throttling. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>

#include "common/base/clock.h"

namespace ridgeline::collector {

// Uniform in [0, 1).
using Rng = std::function<double()>;

class Pace {
  public:
    Pace(std::size_t in_flight_max, std::chrono::milliseconds pause_max, Rng rng)
        : in_flight_max_(in_flight_max),
          in_flight_allowed_(in_flight_max),
          pause_max_(pause_max),
          rng_(std::move(rng)) {}

    bool pausing(MonoTime now) const { return now < not_before_; }
    std::size_t in_flight_allowed() const { return in_flight_allowed_; }

    void succeeded() {
        failures_ = 0;
        in_flight_allowed_ = std::min(in_flight_allowed_ + 1, in_flight_max_);
    }
    void throttled() { in_flight_allowed_ = 1; }

    // Pauses for `first`, doubled for each failure before in a row, up to the larger of `first` and
    // pause_max. Requests that fail together count as one failure.
    void failed(MonoTime now, std::chrono::milliseconds first) {
        if (!pausing(now) || failures_ == 0) ++failures_;
        const auto most = static_cast<double>(std::max(first, pause_max_).count());
        const double doubled =
            static_cast<double>(first.count()) * std::exp2(std::min(failures_ - 1, 20U));
        // Half of it fixed, half of it chance, so that collectors do not come back together.
        const std::chrono::duration<double, std::milli> pause(std::min(doubled, most) *
                                                              (0.5 + rng_() / 2));
        not_before_ = std::max(not_before_,
                               now + std::chrono::duration_cast<std::chrono::nanoseconds>(pause));
    }

  private:
    std::size_t in_flight_max_;
    std::size_t in_flight_allowed_;
    std::chrono::milliseconds pause_max_;
    Rng rng_;
    unsigned failures_ = 0;  // in a row
    MonoTime not_before_{};
};

}  // namespace ridgeline::collector
