#include "agent/pipeline/unset_clock.h"

#include <utility>

namespace ridgeline::agent {

using std::chrono::milliseconds;

namespace {

ClockOffset offset_of(WallTime wall, MonoTime mono) {
    return wall.time_since_epoch() - std::chrono::floor<milliseconds>(mono.time_since_epoch());
}

}  // namespace

ClockOffset clock_offset(const Clock& clock) {
    return offset_of(clock.wall_now(), clock.mono_now());
}

std::optional<ClockOffset> set_clock_offset(const Clock& clock) {
    if (to_unix_ms(clock.wall_now()) < kClockUnsetBefore.count()) return std::nullopt;
    return clock_offset(clock);
}

milliseconds stamp_shift(ClockOffset unset, ClockOffset now) {
    return std::chrono::floor<std::chrono::seconds>(now - unset);
}

WallTime ClockWatch::stamp_of(WallTime wall, MonoTime mono, const Clock& clock) const {
    const auto now = set_clock_offset(clock);
    if (!now || to_unix_ms(wall) >= kClockUnsetBefore.count()) return wall;
    return wall + stamp_shift(offset_of(wall, mono), *now);
}

ClockWatch::News ClockWatch::look(const Clock& clock) {
    if (const auto now = set_clock_offset(clock)) {
        const auto before = std::exchange(unset_, std::nullopt);
        if (!before) return News::none;
        shift_ = stamp_shift(*before, *now);
        return News::is_set;
    }
    const bool known = unset_.has_value();
    unset_ = clock_offset(clock);
    return known ? News::none : News::is_unset;
}

}  // namespace ridgeline::agent
