#include "collector/rule/tick_clock.h"

namespace ridgeline::collector {

TickClock::Tick TickClock::next(WallTime wall, MonoTime mono) {
    using std::chrono::milliseconds;
    const auto by_wall = wall - wall_;
    const auto by_mono = std::chrono::duration_cast<milliseconds>(mono - mono_);
    const bool begun = begun_;
    begun_ = true;
    wall_ = wall;
    mono_ = mono;
    const auto anew = [&](milliseconds back) {
        highest_ = wall;
        return Tick{Verdict::restart, back.count()};
    };
    if (!begun) return anew({});
    if (highest_ - wall > kBackMax) return anew(highest_ - wall);
    if (by_mono > kStallMax || by_wall - by_mono > kStepMax) return anew({});
    if (wall <= highest_) return {Verdict::hold, 0};
    highest_ = wall;
    return {Verdict::run, 0};
}

}  // namespace ridgeline::collector
