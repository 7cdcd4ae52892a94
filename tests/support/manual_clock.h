// A clock that stands still until it is told.
#pragma once

#include "common/base/clock.h"

namespace ridgeline::test {

class ManualClock final : public Clock {
  public:
    explicit ManualClock(WallTime start = from_unix_ms(1'772'445'600'000))
        : wall_(start) {}  // 2026-03-02T10:00:00Z

    WallTime wall_now() const override { return wall_; }
    MonoTime mono_now() const override { return mono_; }

    void advance(std::chrono::milliseconds by) {
        wall_ += by;
        mono_ += by;
    }
    void step_wall(std::chrono::milliseconds by) {
        wall_ += by;
    }  // the monotonic clock does not move

  private:
    WallTime wall_;
    MonoTime mono_{std::chrono::hours{1}};
};

}  // namespace ridgeline::test
