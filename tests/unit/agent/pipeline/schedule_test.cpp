#include "agent/pipeline/schedule.h"

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kStartMs = 1'772'445'600'000;  // a whole hour

std::vector<std::int64_t> stamps(const std::vector<Schedule::Due>& due) {
    std::vector<std::int64_t> result;
    for (const auto& one : due)
        result.push_back(to_unix_ms(one.at.wall) - kStartMs);
    return result;
}
using Stamps = std::vector<std::int64_t>;

TEST_CASE("ticks lie on the multiples of the interval, whenever the agent was started",
          "[schedule]") {
    test::ManualClock clock(from_unix_ms(kStartMs + 337));
    Schedule schedule(clock);
    schedule.add(1s);
    REQUIRE(schedule.take_due().empty());
    REQUIRE(schedule.next_due() - clock.mono_now() == 663ms);
    clock.advance(662ms);
    REQUIRE(schedule.take_due().empty());
    clock.advance(1ms);
    REQUIRE(stamps(schedule.take_due()) == Stamps{1000});
    REQUIRE(schedule.take_due().empty());
    REQUIRE(schedule.next_due() - clock.mono_now() == 1s);
}

TEST_CASE("a tick keeps its nominal stamp while it is at most 50 ms late", "[schedule]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1050ms);
    REQUIRE(stamps(schedule.take_due()) == Stamps{1000});
    clock.advance(1001ms);  // 51 ms late
    REQUIRE(stamps(schedule.take_due()) == Stamps{2051});
    REQUIRE(schedule.next_due() - clock.mono_now() == 949ms);
    REQUIRE(schedule.ticks_missed() == 0);
}

TEST_CASE("an agent that was held up samples once, counts what it missed and is aligned again",
          "[schedule][TIM-07]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 1);
    clock.advance(4300ms);  // 2, 3, 4 passed; 5 is 300 ms late
    REQUIRE(stamps(schedule.take_due()) == Stamps{5300});
    REQUIRE(schedule.ticks_missed() == 3);
    REQUIRE(schedule.take_due().empty());
    clock.advance(700ms);
    REQUIRE(stamps(schedule.take_due()) == Stamps{6000});
}

TEST_CASE("how late ticks are taken is measured", "[schedule]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 1);
    (void)schedule.take_lateness();
    clock.advance(1003ms);
    REQUIRE(schedule.take_due().size() == 1);
    clock.advance(1009ms);  // 3 + 9 after 1 s more than the last one's instant
    REQUIRE(schedule.take_due().size() == 1);
    const Lateness lateness = schedule.take_lateness();
    REQUIRE(lateness.ticks == 2);
    REQUIRE(lateness.max == 12ms);
    REQUIRE(lateness.sum == 15ms);
    REQUIRE(schedule.take_lateness().ticks == 0);
}

TEST_CASE("an interval that is changed holds from the next tick on", "[schedule]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 1);
    schedule.set_interval(0, 4s);
    clock.advance(2s);
    REQUIRE(schedule.take_due().empty());
    clock.advance(1s);
    REQUIRE(stamps(schedule.take_due()) == Stamps{4000});
}

TEST_CASE("a wall clock that steps neither stops the ticks nor bunches them",
          "[schedule][TIM-01][TIM-04]") {
    const std::int64_t step_ms =
        GENERATE(-315'360'000'000, -3'600'000, -1500, 1500, 3'600'000, 315'360'000'000);
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 1);
    clock.advance(400ms);
    clock.step_wall(std::chrono::milliseconds{step_ms});
    std::size_t ticks = schedule.take_due().size();
    for (int i = 0; i < 100; ++i) {
        clock.advance(100ms);
        for (const auto& due : schedule.take_due()) {
            ++ticks;
            REQUIRE(to_unix_ms(due.at.wall) % 1000 == 0);
            REQUIRE(due.at.wall == clock.wall_now());
        }
    }
    REQUIRE(ticks == 10);
    REQUIRE(schedule.wall_steps() == 1);
    REQUIRE(schedule.ticks_missed() == 0);
}

TEST_CASE("a suspend is a step of the wall clock, not a row of missed ticks",
          "[schedule][TIM-02]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 1);
    clock.step_wall(3h);  // the monotonic clock stands still while suspended
    clock.advance(1s);
    REQUIRE(stamps(schedule.take_due()) == Stamps{3 * 3'600'000 + 2000});
    REQUIRE(schedule.ticks_missed() == 0);
}

TEST_CASE("the ticks follow a slewing wall clock", "[schedule]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    for (int second = 1; second <= 600; ++second) {
        clock.advance(995ms);
        if (second % 2 == 0) clock.step_wall(1ms);  // 500 ppm
        schedule.take_due();
        clock.advance(
            std::chrono::ceil<std::chrono::milliseconds>(schedule.next_due() - clock.mono_now()));
        REQUIRE(stamps(schedule.take_due()) == Stamps{second * 1000});
    }
    REQUIRE(schedule.wall_steps() == 0);
}

TEST_CASE("an entry in flight is not begun a second time; its overruns are counted",
          "[schedule][TIM-07]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    const std::size_t slow = schedule.add(1s);
    const std::size_t quick = schedule.add(1s);
    schedule.begin(slow);
    for (int i = 0; i < 3; ++i) {
        clock.advance(1s);
        REQUIRE(schedule.take_due().size() == 1);
        REQUIRE(schedule.take_due().empty());
    }
    REQUIRE(schedule.overruns(slow) == 3);
    REQUIRE(schedule.overruns(quick) == 0);
    schedule.end(slow);
    clock.advance(1s);
    REQUIRE(schedule.take_due().size() == 2);
}

TEST_CASE("entries of different intervals tick together where their multiples meet", "[schedule]") {
    test::ManualClock clock;
    Schedule schedule(clock);
    schedule.add(1s);
    schedule.add(10s);
    std::size_t together = 0;
    for (int i = 0; i < 30; ++i) {
        clock.advance(1s);
        const auto& due = schedule.take_due();
        if (due.size() == 2) {
            ++together;
            REQUIRE(due[0].at.wall == due[1].at.wall);
        }
    }
    REQUIRE(together == 4);  // the first round, and the multiples of ten
}

TEST_CASE("what is looked at once an hour is looked at in the first second too", "[schedule]") {
    test::ManualClock clock(from_unix_ms(1'772'445'600'000 + 1'234'567));
    Schedule schedule(clock);
    schedule.add(1h);
    clock.advance(433ms);
    const auto& due = schedule.take_due();
    REQUIRE(due.size() == 1);
    REQUIRE(to_unix_ms(due[0].at.wall) % 1000 == 0);
    clock.advance(schedule.next_due() - clock.mono_now() > 0ns
                      ? std::chrono::duration_cast<std::chrono::milliseconds>(schedule.next_due() -
                                                                              clock.mono_now())
                      : 0ms);
    REQUIRE(to_unix_ms(clock.wall_now()) % 3'600'000 == 0);
}

TEST_CASE("a clock that is slewed as fast as chrony does it has not stepped", "[schedule]") {
    test::ManualClock clock(from_unix_ms(kStartMs + 337));
    Schedule schedule(clock);
    schedule.add(1s);
    int ticks = 0;
    for (int ms = 0; ms < 60'000; ++ms) {
        clock.advance(1ms);
        if (ms % 12 == 0) clock.step_wall(-1ms);  // maxslewrate: 83333 ppm
        if (clock.mono_now() < schedule.next_due()) continue;
        for (const auto stamp : stamps(schedule.take_due())) {
            ++ticks;
            CHECK(stamp % 1000 == 0);
        }
    }
    CHECK(schedule.wall_steps() == 0);
    CHECK(std::abs(ticks - 55) <= 1);  // 55 seconds by the wall
}

}  // namespace
}  // namespace ridgeline::agent
