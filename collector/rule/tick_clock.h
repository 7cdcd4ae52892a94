// What a tick may believe of the time: whether it goes on, stands still because the clock was set
// back, or has jumped, so that what was waited for must be given its time anew. Sans clock: it is
// told both times.
#pragma once

#include <cstdint>

#include "common/base/clock.h"

namespace ridgeline::collector {

class TickClock {
  public:
    enum class Verdict : std::uint8_t {
        run,      // as expected
        hold,     // the clock was set back a little: wait until it has caught up
        restart,  // the first tick; or suspended, stopped, or set to another time
    };
    struct Tick {
        Verdict verdict = Verdict::restart;
        std::int64_t back_ms = 0;  // how far the clock went back when that is the cause
    };
    // A process that stood still so long has messages waiting that a tick must not overtake.
    static constexpr std::chrono::seconds kStallMax{10};
    // Beyond what slewing and a leap second do within a tick.
    static constexpr std::chrono::seconds kStepMax{5};
    static constexpr std::chrono::seconds kBackMax{60};

    Tick next(WallTime wall, MonoTime mono);

  private:
    bool begun_ = false;
    WallTime wall_{};
    MonoTime mono_{};
    WallTime highest_{};
};

}  // namespace ridgeline::collector
