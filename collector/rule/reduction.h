// How the samples of one series become the value that is compared: themselves, or their window's
// minimum, average, 95th percentile, rate …
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/metric/catalog.h"

namespace ridgeline::collector {

enum class Agg : std::uint8_t {
    last,
    avg,
    min,
    max,
    sum,
    count,
    p50,
    p90,
    p95,
    p99,
    rate,   // increase a second
    delta,  // increase
};
inline constexpr std::size_t kAggCount = 12;
std::string_view to_string(Agg agg);
// Of the differences between neighbours rather than of the values.
bool of_increases(Agg agg);
// 0.95 for p95; nullopt for what is no percentile.
std::optional<double> percentile(Agg agg);

// A hole this long breaks every run, unless the series is a slow one.
inline constexpr std::chrono::milliseconds kMaxGapDefault{40'000};
// A windowed value stands on at least this share of its window.
inline constexpr double kCoverageDefault = 0.7;

struct Reduction {
    Agg agg = Agg::last;
    std::chrono::milliseconds window{};  // zero with `last` alone: the sample itself
    double coverage_min = kCoverageDefault;
    bool counter = false;       // a fall is a reset
    unsigned counter_bits = 0;  // 32: a counter that begins anew at 2^32; 0: one that never does
};

// The unit of what a reduction makes of values of `unit`: "By/s" for the rate of "By".
std::string unit_of(Agg agg, std::string_view unit);
// Of one divided by the other: "1" where both are the same, or mere counts.
std::string unit_of_ratio(std::string_view unit, std::string_view divisor);

}  // namespace ridgeline::collector
