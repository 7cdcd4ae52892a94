// How sources round, so that values travel as small integers instead of doubles with random tails.
#pragma once

#include "common/base/nearest_integer.h"

namespace ridgeline::agent {

// Ratios to a hundredth of a percent: finer than the counters they come from.
inline double round_ratio(double ratio) {
    return nearest_integer(ratio * 1e4) / 1e4;
}
inline double round_milliseconds(double seconds) {
    return nearest_integer(seconds * 1e3) / 1e3;
}
inline double round_microseconds(double seconds) {
    return nearest_integer(seconds * 1e6) / 1e6;
}

}  // namespace ridgeline::agent
