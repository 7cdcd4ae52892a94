// Machines without a battery for their clock start in 1970 and learn the time later, from the
// network. What is sampled meanwhile is stamped by the wall clock as it is, and stamped anew when
// that is set: the monotonic clock, which goes on, tells by how much. Pure.
#pragma once

#include <chrono>
#include <optional>

#include "common/base/clock.h"

namespace ridgeline::agent {

// 2000-01-01: an earlier time is that of a clock that nobody has set since the machine was switched
// on, and the collector refuses it.
inline constexpr std::chrono::milliseconds kClockUnsetBefore{946'684'800'000};  // Unix time

// Wall clock − monotonic clock. Comparable within one boot of the machine.
using ClockOffset = std::chrono::milliseconds;
ClockOffset clock_offset(const Clock& clock);
// That, or nullopt while nobody has set the wall clock.
std::optional<ClockOffset> set_clock_offset(const Clock& clock);
// By how much stamps have to be moved. Whole seconds, downwards: they keep their grid and stay in
// the past.
std::chrono::milliseconds stamp_shift(ClockOffset unset, ClockOffset now);

// Watches for the moment at which the clock is set.
class ClockWatch {
  public:
    enum class News { none, is_unset, is_set };
    // To be called at least once between any two batches.
    News look(const Clock& clock);
    // As of the last look while the clock was not set; nullopt while it is.
    const std::optional<ClockOffset>& unset() const { return unset_; }
    // After News::is_set.
    std::chrono::milliseconds shift() const { return shift_; }
    // What a round is stamped with that was sampled at that instant: one that took long may be of
    // the time before the clock was set.
    WallTime stamp_of(WallTime wall, MonoTime mono, const Clock& clock) const;

  private:
    std::optional<ClockOffset> unset_;
    std::chrono::milliseconds shift_{};
};

}  // namespace ridgeline::agent
