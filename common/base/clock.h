// Wall and monotonic time as two types that do not mix, and the clock that everything is given.
//
// Intervals, rates and deadlines use MonoTime; WallTime stamps samples and is shown to people. Only
// the composition roots (agent.cpp, collector.cpp, ctl) name SystemClock; everything else takes a
// Clock&, so that tests decide what time it is.
#pragma once

#include <chrono>
#include <cstdint>

namespace ridgeline {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

class Clock {
  public:
    virtual ~Clock() = default;
    virtual WallTime wall_now() const = 0;
    virtual MonoTime mono_now() const = 0;
};

class SystemClock final : public Clock {
  public:
    WallTime wall_now() const override;
    MonoTime mono_now() const override;
};

inline std::int64_t to_unix_ms(WallTime t) {
    return t.time_since_epoch().count();
}
inline WallTime from_unix_ms(std::int64_t ms) {
    return WallTime{std::chrono::milliseconds{ms}};
}

}  // namespace ridgeline
