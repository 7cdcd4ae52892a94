// How sources round, so that values travel as small integers instead of doubles with random tails.
#pragma once

#include <cmath>

namespace ridgeline::agent {

// Ratios to a hundredth of a percent: finer than the counters they come from.
inline double round_ratio(double ratio) {
    return std::round(ratio * 1e4) / 1e4;
}
inline double round_milliseconds(double seconds) {
    return std::round(seconds * 1e3) / 1e3;
}
inline double round_microseconds(double seconds) {
    return std::round(seconds * 1e6) / 1e6;
}

}  // namespace ridgeline::agent
