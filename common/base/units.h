// Reading and printing the quantities people write: "10s", "256MiB", "80%".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline {

// "250ms" "10s" "5m" "4h" "30d" "2w", also compound "1h30m". Never negative; at most 100 years.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "90s" -> "1m30s"; "0s" for zero.
std::string format_duration(std::chrono::milliseconds duration);

// "4096", "64KiB", "256MiB", "2GiB", "1TiB", "10MB" (decimal). Bytes.
Result<std::uint64_t> parse_size(std::string_view text);
// 1536 -> "1.5 KiB"
std::string format_size(double bytes);

// A value in a metric's unit as people write it: "80%" for ratios (-> 0.8), sizes for By, durations
// for s
// (-> seconds), plain numbers for anything.
Result<double> parse_quantity(std::string_view text, std::string_view unit);
// The reverse, for people: 0.8 with unit "1" -> "80.0%", By -> "1.5 GiB", s -> "9d23h".
std::string format_quantity(double value, std::string_view unit);

// "2026-11-23T13:05:09Z" and with milliseconds "…09.120Z". Years 1970–9999.
std::string format_rfc3339(std::chrono::sys_time<std::chrono::milliseconds> t,
                           bool with_milliseconds = false);
Result<std::chrono::sys_time<std::chrono::milliseconds>> parse_rfc3339(std::string_view text);

}  // namespace ridgeline
