// std::nearbyint without a call, for what rounds in each of a program's rounds.
#pragma once

#include <cmath>

namespace ridgeline {

// The integer next to `value`, of two as near the even one. Infinities, NaN and what is too large
// to have a fraction are as they were. Until SSE4.1 x86-64 has no instruction for it, and the call
// into libm keeps a hundred kilobytes of that resident. The sum has no bits for a fraction, so the
// processor rounds it (IEEE 754, round to nearest, which nothing here changes).
inline double nearest_integer(double value) {
    constexpr double kFractionless = 0x1p52;
    if (!(std::abs(value) < kFractionless)) return value;
    const double shift = std::copysign(kFractionless, value);
    return std::copysign((value + shift) - shift, value);
}

}  // namespace ridgeline
