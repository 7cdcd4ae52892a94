// One stream of samples as a rule hears it: its rhythm, the holes in it, and the value its
// reduction makes of it.
//
// A hole is a gap longer than the rule's max_gap and than two and a half times the rhythm, which is
// the middle one of the last few gaps: one outage, or two samples that happen to be close together,
// do not change it. All of it follows from the samples of the recent past. Pure values; no clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "collector/rule/reduction.h"
#include "collector/rule/sample_window.h"

namespace ridgeline::collector {

class Rhythm {
  public:
    // How many samples it takes to know it as well as it ever will be.
    static constexpr std::size_t kSamples = 6;

    struct Gap {
        std::int64_t ms = 0;  // since the sample before; 0 for the first
        bool hole = false;
    };
    // The next sample's time.
    Gap add(std::int64_t time_ms, std::int64_t max_gap_ms);
    // A gap after the newest sample longer than this is a hole.
    std::int64_t longest_gap_ms(std::int64_t max_gap_ms) const;
    // Between two samples; nullopt before the second one.
    std::optional<std::int64_t> interval_ms() const;
    std::optional<std::int64_t> newest_ms() const { return newest_ms_; }

  private:
    std::optional<std::int64_t> newest_ms_;
    std::array<std::int64_t, kSamples - 1> gaps_{};  // the last ones, in no order
    std::uint8_t count_ = 0;
    std::uint8_t next_ = 0;
};

class Signal {
  public:
    explicit Signal(const Reduction& reduction);

    struct Reading {
        std::optional<double> value;  // nullopt: too little to go by
        Rhythm::Gap gap;
    };
    // Later than all before it.
    Reading add(const Reduction& reduction, std::int64_t time_ms, double value,
                std::int64_t max_gap_ms);
    void on_boot(std::int64_t boot_ms);
    const Rhythm& rhythm() const { return rhythm_; }
    // The latest reading's, if it is no older at `time_ms` than a gap may be.
    std::optional<double> fresh_value(std::int64_t time_ms, std::int64_t max_gap_ms) const;

  private:
    Rhythm rhythm_;
    std::unique_ptr<SampleWindow> window_;  // null when the sample itself is the value
    std::optional<double> value_;
};

}  // namespace ridgeline::collector
