// The samples of one host over one batch interval, in memory: columns in schema order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace ridgeline {

// "No value at this instant" (a device that was away, a source that failed). NaN is never a value:
// sources do not produce it and ingest refuses it.
inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();
inline bool has_value(double v) {
    return !std::isnan(v);
}

struct SampleGroup {
    std::vector<std::int64_t> timestamps_ms;  // Unix milliseconds, never decreasing
    std::size_t series_count = 0;
    std::vector<double>
        values;  // column-major: series_count × timestamps_ms.size(); kNoValue where absent

    std::span<const double> column(std::size_t series) const {
        return std::span(values).subspan(series * timestamps_ms.size(), timestamps_ms.size());
    }
    std::span<double> column(std::size_t series) {
        return std::span(values).subspan(series * timestamps_ms.size(), timestamps_ms.size());
    }
};

struct SampleBlock {
    std::vector<SampleGroup>
        groups;  // one per schema group, in order; a group may have no timestamps

    // Values present, kNoValue not counted.
    std::size_t sample_count() const;
};

}  // namespace ridgeline
