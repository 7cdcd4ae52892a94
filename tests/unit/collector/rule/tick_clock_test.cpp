#include "collector/rule/tick_clock.h"

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using collector::TickClock;
using namespace std::chrono_literals;

namespace {

class Ticker {
  public:
    TickClock::Tick tick() { return ticks_.next(clock.wall_now(), clock.mono_now()); }
    TickClock::Verdict after(std::chrono::milliseconds by) {
        clock.advance(by);
        return tick().verdict;
    }
    test::ManualClock clock;

  private:
    TickClock ticks_;
};

}  // namespace

TEST_CASE("time that goes on as it should", "[tick_clock]") {
    Ticker t;
    CHECK(t.tick().verdict == TickClock::Verdict::restart);  // the start
    for (int i = 0; i < 100; ++i)
        CHECK(t.after(1s) == TickClock::Verdict::run);
    // A leap second that is smeared or stepped, and slewing.
    t.clock.step_wall(1s);
    CHECK(t.after(1s) == TickClock::Verdict::run);
    t.clock.step_wall(-1s);
    CHECK(t.after(1s) == TickClock::Verdict::hold);
    CHECK(t.after(1s) == TickClock::Verdict::run);
}

TEST_CASE("pitfall 23: the clock is set", "[tick_clock]") {
    Ticker t;
    t.tick();
    // Back by a minute: nothing runs until the old time is passed.
    t.clock.step_wall(-60s);
    for (int i = 0; i < 60; ++i)
        CHECK(t.after(1s) == TickClock::Verdict::hold);
    CHECK(t.after(1s) == TickClock::Verdict::run);
    // Back by five: anew from there, and it is said by how much.
    t.clock.step_wall(-5min);
    t.clock.advance(1s);
    const auto back = t.tick();
    CHECK(back.verdict == TickClock::Verdict::restart);
    CHECK(back.back_ms == 299'000);
    CHECK(t.after(1s) == TickClock::Verdict::run);
    // On by an hour.
    t.clock.step_wall(1h);
    t.clock.advance(1s);
    const auto on = t.tick();
    CHECK(on.verdict == TickClock::Verdict::restart);
    CHECK(on.back_ms == 0);
    CHECK(t.after(1s) == TickClock::Verdict::run);
}

TEST_CASE("pitfall 24: suspended or stopped for half an hour is as a restart", "[tick_clock]") {
    Ticker t;
    t.tick();
    t.clock.step_wall(30min);  // suspended: the monotonic clock stood still
    CHECK(t.after(1s) == TickClock::Verdict::restart);
    CHECK(t.after(1s) == TickClock::Verdict::run);
    CHECK(t.after(30min) == TickClock::Verdict::restart);  // SIGSTOP: both went on
    CHECK(t.after(1s) == TickClock::Verdict::run);
}
