// What the other tests of rules do not show: rows of SEMANTICS.md, by the engine as a whole.
// Threshold > 80 %, clear < 75 %, for 300 s, clear_for 60 s, stale 45 s, a sample every 15 s.
#include <limits>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using collector::Change;
using test::TimedStory;

namespace {

const std::string kRule =
    "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nop = \">\"\nlevels = [ { at = "
    "0.80, "
    "for = \"300s\", severity = \"P3\" } ]\nclear = 0.75\nclear_for = \"60s\"\n";

void hold(TimedStory& story, double from, double to, double value, double lag = 0) {
    for (double t = from; t <= to; t += 15) {
        story.batch("a1", t, value, lag);
        story.tick(t + lag);
    }
}

}  // namespace

TEST_CASE("restart while clearing: the clear run goes on, and ends no sooner", "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    hold(story, 0, 330, 0.85);
    hold(story, 345, 375, 0.60);
    story.restart(380);
    hold(story, 390, 900, 0.60);
    CHECK(story.told() == "300:FIRING:P3:r:a1 405:RESOLVED:P3:r:a1");
}

TEST_CASE("restart with the end of the alert in the backlog: it resolves once", "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    hold(story, 0, 330, 0.85);
    story.restart(1000);
    for (double t = 345; t <= 990; t += 15)
        story.batch("a1", t, 0.60, 1000 - t, true);
    hold(story, 1005, 1500, 0.60);
    CHECK(story.told() == "300:FIRING:P3:r:a1 405:RESOLVED:P3:r:a1");
}

TEST_CASE("restart with 10,000 alerts that fire: nothing is told", "[semantics]") {
    TimedStory story(
        "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nlevels = [ { at = 0.80 } ]\n",
        90);
    story.start(0);
    const auto all = [&](double t) {
        for (int i = 0; i < 10'000; ++i)
            story.batch("h" + std::to_string(i), t, 0.85);
        story.tick(t);
    };
    all(0);
    all(15);
    REQUIRE(story.count(Change::fired, "r") == 10'000);
    story.forget_told();
    story.restart(20);
    story.ticks(21, 29);
    all(30);
    all(45);
    CHECK(story.transitions().empty());
    CHECK(story.engine().firing().size() == 10'000);
}

TEST_CASE("a backlog of a breach that lasts, oldest first: one page, when its data are live",
          "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    hold(story, 0, 60, 0.50);
    // Two hours without the collector; then a batch for every minute and a bit.
    for (double t = 75; t <= 7275; t += 15)
        story.batch("a1", t, 0.85, 7280 - t, true);
    const std::size_t in_backlog = story.count(Change::fired, "r");
    hold(story, 7290, 7800, 0.85);
    REQUIRE(story.count(Change::fired, "r") == 1);
    CHECK(in_backlog <= 1);
    // Samples are live up to two minutes after their time.
    CHECK(story.transitions()[0].time_ms >= TimedStory::at_ms(7280 - 120));
    CHECK(story.transitions()[0].since_ms == TimedStory::at_ms(75));
}

TEST_CASE("data that stop while clearing: the clear run begins anew when they are back",
          "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    hold(story, 0, 330, 0.85);
    hold(story, 345, 375, 0.60);
    story.ticks(376, 899);
    hold(story, 900, 1200, 0.60);
    CHECK(story.told() ==
          "300:FIRING:P3:r:a1 421:STALE:P3:r:a1 900:FRESH:P3:r:a1 960:RESOLVED:P3:r:a1");
}

TEST_CASE("values at the ends of what a double holds, and minus zero", "[semantics]") {
    const auto fires = [](const std::string& op, const std::string& at, double value) {
        TimedStory story("[[rule]]\nid = \"r\"\nmetric = \"system.memory.usage\"\nop = \"" + op +
                         "\"\nlevels = [ { at = " + at + " } ]\nclear_for = \"0s\"\n");
        story.series() = {"system.memory.usage", {{"state", "used"}}};
        story.start(0);
        story.batch("a1", 0, value);
        return story.count(Change::fired, "r") == 1;
    };
    using Limits = std::numeric_limits<double>;
    CHECK_FALSE(fires(">", "1e-300", Limits::denorm_min()));
    CHECK(fires(">", "0", Limits::denorm_min()));
    CHECK(fires(">", "1e307", Limits::max()));
    CHECK(fires("<", "0", Limits::lowest()));
    CHECK_FALSE(fires("<", "0", -0.0));
    CHECK(fires("==", "0", -0.0));
}

TEST_CASE("a host whose clock is off fires when it would with a clock that is right",
          "[semantics]") {
    // Behind by seconds and by 27 hours, ahead by as much as is taken in.
    for (const double lag : {6.0, 97'200.0, -6.0, -7'000.0}) {
        INFO(lag);
        TimedStory story(kRule);
        story.start(lag);
        hold(story, 0, 600, 0.85, lag);
        CHECK(story.told() == "300:FIRING:P3:r:a1");
    }
}

TEST_CASE("a host whose clock drifts fires when it would with a clock that is right",
          "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    for (double t = 0; t <= 36'000; t += 15) {
        const double lag = t / 3600;  // a second an hour
        story.batch("a1", t, t < 32'400 ? 0.5 : 0.85, lag);
        story.tick(t + lag);
    }
    CHECK(story.told() == "32700:FIRING:P3:r:a1");
}

TEST_CASE("a clock that is set back fires and resolves nothing, and is judged on from where it was",
          "[semantics]") {
    TimedStory story(kRule);
    story.start(0);
    // An hour ahead, then right.
    hold(story, 3600, 3750, 0.85, -3600);
    hold(story, 165, 3000, 0.85);
    CHECK(story.told().empty());
    hold(story, 3015, 4200, 0.85);
    CHECK(story.count(Change::fired, "r") == 1);
    CHECK(story.count(Change::resolved, "r") == 0);
}
