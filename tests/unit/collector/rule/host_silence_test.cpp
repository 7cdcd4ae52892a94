// Dead men's switches: one for every host, and the one alert for all of them.
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using collector::Change;
using test::TimedStory;

namespace {

const std::string kRule = R"(
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "45s"
levels = [ { severity = "P1" } ]
mass = { share = 0.2, min_hosts = 5, within = "60s", severity = "P1" }
)";

std::string host_name(int i) {
    return "h" + std::to_string(1000 + i);
}

// `count` hosts that send every 10 s, each at a second of its own, until `stops(i)`.
template <class Stops>
void pass(TimedStory& story, int count, int from, int to, Stops stops) {
    for (int t = from; t <= to; ++t) {
        for (int i = 0; i < count; ++i) {
            if (t % 10 == i % 10 && !stops(i, t)) story.batch(host_name(i), t, 0.1);
        }
        story.tick(t);
    }
}

bool never(int, int) {
    return false;
}

}  // namespace

TEST_CASE("a host that goes silent is told after its time, and its return at once",
          "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    pass(story, 3, 0, 400, [](int i, int t) { return i == 1 && t > 101 && t < 300; });
    // Heard last at 101: silent for more than 45 s at 147.
    CHECK(story.told() == "147:FIRING:P1:host.silent:h1001 301:RESOLVED:P1:host.silent:h1001");
    const auto fired = story.transitions()[0];
    CHECK(fired.value == 46);
    CHECK(fired.threshold == 45);
    CHECK(fired.since_ms == TimedStory::at_ms(101));
    CHECK(fired.summary == "h1001: not heard of for 46s");
    CHECK(story.transitions()[1].key == fired.key);
}

TEST_CASE("any message is a sign of life; samples need not come of it", "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    pass(story, 2, 0, 100, never);
    for (int t = 101; t <= 400; ++t) {
        if (t % 10 == 0) {
            story.alive(host_name(0), t);
            story.alive(host_name(1), t);
        }
        story.tick(t);
    }
    CHECK(story.told().empty());
}

TEST_CASE("one that sends every minute has three minutes; one sample says nothing of its rhythm",
          "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    for (int t = 0; t <= 900; ++t) {
        if (t % 60 == 0 && t <= 300) story.batch("slow", t, 0.1);
        if (t == 5) story.batch("once", t, 0.1);
        story.tick(t);
    }
    CHECK(story.told() == "481:FIRING:P1:host.silent:slow");
}

TEST_CASE("pitfall 14: after a start nobody is silent within the grace", "[host_silence]") {
    TimedStory story(kRule, 90);
    story.start(0);
    pass(story, 50, 0, 200, never);
    story.restart(5000);
    // All are back within a minute, but for two.
    pass(story, 50, 5001, 5060, [](int i, int t) { return t < 5000 + i || i >= 48; });
    pass(story, 50, 5061, 5500, [](int i, int) { return i >= 48; });
    // 5000 + 90 + 45
    CHECK(story.told() == "5136:FIRING:P1:host.silent:h1048 5136:FIRING:P1:host.silent:h1049");
}

TEST_CASE("restart table: what was told is not told again, and resolves when the host is back",
          "[host_silence]") {
    TimedStory story(kRule, 90);
    story.start(0);
    pass(story, 3, 0, 300, [](int i, int t) { return i == 1 && t > 101; });
    REQUIRE(story.told() == "147:FIRING:P1:host.silent:h1001");
    story.restart(400);
    pass(story, 3, 401, 1000, [](int i, int t) { return i == 1 && t < 900; });
    CHECK(story.told() == "147:FIRING:P1:host.silent:h1001 901:RESOLVED:P1:host.silent:h1001");
    // "heartbeat old, agent returns within grace": none.
    story.forget_told();
    story.restart(2000);
    pass(story, 3, 2080, 2400, never);
    CHECK(story.told().empty());
}

TEST_CASE("pitfall 13: many silent at once are one alert, and the rest page when it is over",
          "[host_silence]") {
    // 30 of 100 go within 60 s, 25 come back.
    TimedStory story(kRule);
    story.start(0);
    const auto stops = [](int i, int t) { return i < 30 && t > 200 + 2 * i && (t < 600 || i < 5); };
    pass(story, 100, 0, 599, stops);
    REQUIRE(story.transitions().size() == 1);
    const auto mass = story.transitions()[0];
    CHECK(mass.change == Change::fired);
    CHECK(mass.host.empty());
    CHECK(mass.severity == collector::Severity::p1);
    CHECK(mass.value == 20);  // a fifth of 100
    CHECK(mass.unit == "{host}");
    CHECK(mass.summary ==
          "20 of 100 hosts silent: suspect the network or the collector (h1000, h1001, h1002, "
          "h1003, h1004, h1005, h1006, h1007, h1008, h1009 and 10 more)");
    pass(story, 100, 600, 1000, stops);
    REQUIRE(story.count(Change::fired, "host.silent") == 6);
    CHECK(story.transitions()[1].change == Change::resolved);
    CHECK(story.transitions()[1].key == mass.key);
    for (int i = 0; i < 5; ++i)
        CHECK(story.transitions()[2 + static_cast<std::size_t>(i)].host == host_name(i));
    CHECK(story.engine().firing().size() == 5);
    CHECK(story.transitions().size() == 7);
}

TEST_CASE("a mass loss all come back from pages nobody", "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    // A switch dies for five minutes; hosts come back over 40 s.
    pass(story, 100, 0, 900, [](int i, int t) { return i < 40 && t > 200 && t < 500 + i; });
    CHECK(story.count(Change::fired, "host.silent") == 1);
    CHECK(story.count(Change::resolved, "host.silent") == 1);
    CHECK(story.transitions()[0].value >= 20);
    CHECK(story.engine().firing().empty());
}

TEST_CASE("a few hosts at once are no mass: each is told, at most `within` later",
          "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    pass(story, 100, 0, 500, [](int i, int t) { return i < 6 && t > 200; });
    CHECK(story.count(Change::fired, "host.silent") == 6);
    for (const auto& t : story.transitions()) {
        CHECK_FALSE(t.host.empty());
        // Silent between 45 s and 60 s more.
        CHECK(t.value > 45);
        CHECK(t.value <= 45 + 60 + 2);
    }
    // Small fleets have no mass: told at once.
    TimedStory small(kRule);
    small.start(0);
    pass(small, 4, 0, 500, [](int, int t) { return t > 200; });
    CHECK(small.count(Change::fired, "host.silent") == 4);
    for (const auto& t : small.transitions())
        CHECK(t.value <= 47);
}

TEST_CASE("a mass loss goes on through a restart", "[host_silence]") {
    TimedStory story(kRule, 90);
    story.start(0);
    const auto stops = [](int i, int t) { return i < 30 && t > 200 && t < 2000; };
    pass(story, 100, 0, 500, stops);
    REQUIRE(story.transitions().size() == 1);
    story.restart(600);
    pass(story, 100, 601, 1999, stops);
    CHECK(story.transitions().size() == 1);
    pass(story, 100, 2000, 2200, stops);
    REQUIRE(story.transitions().size() == 2);
    CHECK(story.transitions()[1].change == Change::resolved);
    CHECK(story.transitions()[1].key == story.transitions()[0].key);
    CHECK(story.engine().firing().empty());
}

TEST_CASE("pitfalls 6, 7 and 9: backlogs after an outage page nobody as silent or stale",
          "[host_silence]") {
    TimedStory story(kRule + R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
op = ">"
levels = [ { at = 0.8, for = "60s", severity = "P3" } ]
)",
                     90);
    story.start(0);
    pass(story, 20, 0, 200, never);
    story.restart(7400);
    // Live data first, of 7400 on; between them the backlog of two hours, oldest first, in which
    // the CPU was busy for a while.
    int spooled = 200;
    for (int t = 7401; t <= 7800; ++t) {
        for (int i = 0; i < 20; ++i) {
            if (t % 10 == i % 10) story.batch(host_name(i), t, 0.1);
        }
        for (int n = 0; n < 3 && spooled < 7400; ++n, spooled += 10) {
            const double value = spooled >= 1000 && spooled < 3000 ? 0.95 : 0.1;
            for (int i = 0; i < 20; ++i)
                story.batch(host_name(i), spooled + i % 10, value, t - spooled - i % 10, true);
        }
        story.tick(t);
    }
    CHECK(story.count(Change::fired, "host.silent") == 0);
    CHECK(story.count(Change::fired, "cpu") == 0);
    CHECK(story.engine().firing().empty());
}

TEST_CASE("pitfall 15: a host that is retired while silent resolves, and its switch is gone",
          "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    pass(story, 3, 0, 300, [](int i, int t) { return i == 1 && t > 100; });
    story.retire("h1001", 310);
    CHECK(story.told() == "137:FIRING:P1:host.silent:h1001 310:RESOLVED:P1:host.silent:h1001");
    CHECK(story.transitions()[1].reason == "host retired");
    pass(story, 1, 311, 800, never);
    // The third goes silent by being left out.
    CHECK(story.count(Change::fired, "host.silent") == 2);
}

TEST_CASE("overrides and selectors by tag; a host that gets other tags", "[host_silence]") {
    TimedStory story(R"(
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "45s"
unless = { "tag.role" = "lab" }
[[rule.override]]
tags = { role = "build" }
missing = "10m"
levels = [ { severity = "P4" } ]
)");
    story.host("b1").tags = {{"role", "build"}};
    story.host("l1").tags = {{"role", "lab"}};
    story.host("l2").tags = {{"role", "lab"}};
    story.start(0);
    for (int t = 0; t <= 200; t += 10) {
        if (t == 200) story.host("l2").tags = {{"role", "web"}};
        for (const char* id : {"b1", "l1", "l2", "w1"})
            story.batch(id, t, 0.1);
        story.tick(t);
    }
    story.ticks(201, 1500);
    CHECK(story.told() ==
          "246:FIRING:P1:host.silent:l2 246:FIRING:P1:host.silent:w1 "
          "801:FIRING:P4:host.silent:b1");
}

TEST_CASE("a reload keeps what is told; a rule that is gone resolves it", "[host_silence]") {
    TimedStory story(kRule);
    story.start(0);
    pass(story, 3, 0, 300, [](int i, int t) { return i == 1 && t > 100; });
    story.reload(kRule + "summary = \"other words\"\n");
    std::string longer = kRule;
    longer.replace(longer.find("45s"), 3, "90s");
    story.reload(longer);
    pass(story, 3, 301, 500, [](int i, int) { return i == 1; });
    CHECK(story.told() == "137:FIRING:P1:host.silent:h1001");
    story.reload("");
    CHECK(story.count(Change::resolved, "host.silent") == 1);
    CHECK(story.transitions().back().reason == "rule removed");
    CHECK(story.engine().firing().empty());
    // And a new one begins with the hosts there are.
    story.reload(longer);
    pass(story, 3, 501, 700, [](int, int) { return true; });
    CHECK(story.count(Change::fired, "host.silent") == 4);
}

TEST_CASE("restarts anywhere: a silent host is told once", "[host_silence]") {
    for (unsigned seed = 0; seed < 60; ++seed) {
        std::mt19937 rng(seed);
        TimedStory story(kRule, 90);
        story.start(0);
        const int gone = 200 + static_cast<int>(rng() % 100);
        for (int t = 0; t <= 1500; ++t) {
            if (t > 300 && t < 1200 && rng() % 150 == 0) story.restart(t);
            for (int i = 0; i < 10; ++i) {
                if (t % 10 == i && !(i == 3 && t > gone)) story.batch(host_name(i), t, 0.1);
            }
            story.tick(t);
        }
        INFO("seed " << seed << ": " << story.told());
        CHECK(story.count(Change::fired, "host.silent") == 1);
        CHECK(story.transitions().size() == 1);
    }
}
