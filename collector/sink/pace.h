// How fast requests may go: a pause after failures that doubles, a window of requests in flight and
// a rate that both halve with throttling and grow back slowly. Pure.
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
        : in_flight_max_(static_cast<double>(in_flight_max)),
          window_(in_flight_max_),
          pause_max_(pause_max),
          rng_(std::move(rng)) {}

    bool pausing(MonoTime now) const { return now < not_before_; }
    std::size_t in_flight_allowed() const { return static_cast<std::size_t>(window_); }

    // One request more at once for each window's worth of successes.
    void succeeded() {
        failures_ = 0;
        window_ = std::min(window_ + 1 / std::floor(window_), in_flight_max_);
    }
    // Half as many at once. Requests of one window that are throttled together count once.
    void throttled(MonoTime now) {
        if (!pausing(now)) window_ = std::max(window_ / 2, 1.0);
    }

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
    double in_flight_max_;
    double window_;
    std::chrono::milliseconds pause_max_;
    Rng rng_;
    unsigned failures_ = 0;  // in a row
    MonoTime not_before_{};
};

// Requests a second: a bucket of a second's worth. Halves when AWS throttles and grows by one a
// second for every second of successes, up to where it began.
class RequestRate {
  public:
    explicit RequestRate(double per_second_max)
        : per_second_max_(per_second_max),
          per_second_(per_second_max),
          tokens_(std::max(per_second_max, 1.0)) {}

    double per_second() const { return per_second_; }
    bool may_send(MonoTime now) {
        refill(now);
        return tokens_ >= 1;
    }
    void sent() { tokens_ -= 1; }
    void succeeded() { per_second_ = std::min(per_second_ + 1 / per_second_, per_second_max_); }
    void throttled() { per_second_ = std::max(per_second_ / 2, std::min(kLeast, per_second_max_)); }

  private:
    static constexpr double kLeast = 0.5;

    void refill(MonoTime now) {
        const double most = std::max(per_second_, 1.0);
        const std::chrono::duration<double> since =
            std::max(now - filled_at_, MonoTime::duration{});
        tokens_ = std::min(tokens_ + since.count() * per_second_, most);
        filled_at_ = now;
    }

    double per_second_max_;
    double per_second_;
    double tokens_;  // full at first
    MonoTime filled_at_{};
};

}  // namespace ridgeline::collector
