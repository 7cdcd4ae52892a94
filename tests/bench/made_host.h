// A made host of 129 series sampled each second: 66 counters, 48 integer gauges and 15 ratios, of
// which a third stand still. From a fixed seed, so that every run encodes the same bytes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "common/metric/sample_block.h"
#include "common/metric/series.h"

namespace ridgeline::bench {

inline constexpr std::int64_t kStartMs = 1'772'445'600'000;  // 2026-03-02T10:00:00Z

class MadeHost {
  public:
    static constexpr std::size_t kCounters = 66;
    static constexpr std::size_t kGauges = 48;
    static constexpr std::size_t kRatios = 15;
    static constexpr std::size_t kSeries = kCounters + kGauges + kRatios;

    explicit MadeHost(std::uint32_t seed) : random_(seed), values_(kSeries) {
        for (std::size_t s = 0; s < kSeries; ++s)
            values_[s] = s < kCounters + kGauges ? static_cast<double>(random_() % 1'000'000) : 0.3;
    }

    // Names that the packaged rules look at are among them, so that rules have work to do.
    static Schema schema() {
        SchemaGroup group{"host", {}};
        const auto add = [&](std::size_t count, const std::string& metric, const char* key) {
            for (std::size_t i = 0; i < count; ++i)
                group.series.push_back({metric, {{key, "n" + std::to_string(i)}}});
        };
        add(kCounters, "system.network.io", "interface");
        add(kGauges, "system.memory.usage", "state");
        group.series.push_back({"system.cpu.utilization", {{"state", "used"}}});
        group.series.push_back({"system.memory.utilization", {{"state", "used"}}});
        for (const char* mountpoint : {"/", "/boot", "/home", "/var"}) {
            group.series.push_back(
                {"system.filesystem.utilization", {{"mountpoint", mountpoint}, {"state", "used"}}});
        }
        for (const char* interface : {"eth0", "eth1"}) {
            group.series.push_back({"system.network.utilization",
                                    {{"direction", "receive"}, {"interface", interface}}});
        }
        add(kSeries - group.series.size(), "system.cpu.utilization", "cpu");
        for (SeriesDescriptor& series : group.series)
            normalise(series.attributes);
        return {{group}};
    }

    // The next `seconds` seconds.
    SampleBlock next(std::size_t seconds) {
        SampleGroup group;
        group.series_count = kSeries;
        group.values.resize(kSeries * seconds);
        for (std::size_t i = 0; i < seconds; ++i) {
            group.timestamps_ms.push_back(now_ms_);
            now_ms_ += 1000;
            for (std::size_t s = 0; s < kSeries; ++s) {
                advance(s);
                group.values[s * seconds + i] = values_[s];
            }
        }
        return {{std::move(group)}};
    }

  private:
    void advance(std::size_t s) {
        if (s % 3 == 0) return;
        if (s < kCounters) {
            values_[s] += static_cast<double>(random_() % (s % 2 == 0 ? 2000 : 20));
        } else if (s < kCounters + kGauges) {
            values_[s] = std::max(0.0, values_[s] + static_cast<double>(random_() % 41) - 20);
        } else {
            const double moved = values_[s] + (static_cast<double>(random_() % 11) - 5) / 100;
            values_[s] = std::round(std::clamp(moved, 0.0, 1.0) * 100) / 100;
        }
    }

    std::mt19937 random_;
    std::vector<double> values_;
    std::int64_t now_ms_ = kStartMs;
};

}  // namespace ridgeline::bench
