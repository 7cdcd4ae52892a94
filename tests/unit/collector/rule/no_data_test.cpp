// Samples that stay away: the vectors of missing data, and what no_data makes of it.
#include <string>

#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using collector::Change;
using collector::ConditionState;
using test::TimedStory;

namespace {

// Threshold > 80, clear < 75, for 300 s, clear_for 60 s, stale 45 s, max_gap 40 s.
std::string rule(const std::string& more = "") {
    return "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nop = \">\"\nlevels = [ { at "
           "= 0.80, for = \"300s\", severity = \"P3\" } ]\nclear = 0.75\nclear_for = \"60s\"\n" +
           more;
}

// A sample every 15 s as `values` says (NaN: none), a tick with each, and the states that came of
// it: "0:PENDING 300:FIRING". From a restart at `down_to` nothing is heard or judged after
// `down_from`.
class Vector {
  public:
    explicit Vector(const std::string& toml = rule()) : story(toml) { story.start(0); }

    void step(double t, std::optional<double> percent) {
        if (percent) story.batch("a1", t, *percent / 100);
        look(t);
    }
    void look(double t) {
        story.tick(t);
        const std::string now = state();
        if (now == last_) return;
        last_ = now;
        text += (text.empty() ? "" : " ") + std::to_string(static_cast<int>(t)) + ':' + now;
    }
    template <class ValueAt>
    std::string run(double to, ValueAt value_at) {
        for (double t = 0; t <= to; t += 15)
            step(t, value_at(t));
        return text;
    }
    std::string state() {
        const auto standing = story.engine().standing(
            collector::alert_key(story.engine().rules()[0], "a1", {{"state", "used"}}));
        if (!standing) return "NODATA";
        const bool stale = standing->stale_since_ms != 0;
        switch (standing->state) {
            case ConditionState::ok:
                return stale ? "NODATA" : "OK";
            case ConditionState::pending:
                return "PENDING";
            case ConditionState::firing:
                return stale ? "FIRING*" : "FIRING";
            case ConditionState::clearing:
                return "CLEARING";
        }
        return "?";
    }

    TimedStory story;
    std::string text;

  private:
    std::string last_;
};

std::optional<double> none() {
    return {};
}

}  // namespace

TEST_CASE("S7: samples lost while pending, longer than stale_after", "[no_data]") {
    Vector v;
    CHECK(v.run(600, [](double t) { return t >= 150 && t <= 195 ? none() : 85.0; }) ==
          "0:PENDING 195:NODATA 210:PENDING 510:FIRING");
}

TEST_CASE("S8: data stops while pending", "[no_data]") {
    Vector v;
    CHECK(v.run(3600, [](double t) { return t > 150 ? none() : 85.0; }) == "0:PENDING 210:NODATA");
    CHECK(v.story.told().empty());
}

TEST_CASE("S9: data stops while firing and comes back breaching", "[no_data]") {
    Vector v;
    CHECK(v.run(1500, [](double t) { return t > 330 && t < 900 ? none() : 85.0; }) ==
          "0:PENDING 300:FIRING 390:FIRING* 900:FIRING");
    CHECK(v.story.told() == "300:FIRING:P3:r:a1 390:STALE:P3:r:a1 900:FRESH:P3:r:a1");
}

TEST_CASE("S10: data stops while firing and comes back clear", "[no_data]") {
    Vector v;
    CHECK(v.run(1200, [](double t) {
        if (t > 330 && t < 900) return none();
        return std::optional(t < 900 ? 85.0 : 60.0);
    }) == "0:PENDING 300:FIRING 390:FIRING* 900:CLEARING 960:OK");
    CHECK(v.story.count(Change::resolved, "r") == 1);
}

TEST_CASE("S13: the collector is down and what was sent meanwhile is lost", "[no_data]") {
    Vector v;
    for (double t = 0; t <= 150; t += 15)
        v.step(t, 85.0);
    v.story.restart(900);
    for (double t = 900; t <= 1500; t += 15)
        v.step(t, 85.0);
    CHECK(v.text == "0:PENDING 1200:FIRING");
}

TEST_CASE("S18 (pitfall 25): a frozen agent sends its last sample again and again", "[no_data]") {
    Vector v;
    for (double t = 0; t <= 3600; t += 15) {
        // Received now, taken at 150.
        if (t > 150) v.story.batch("a1", 150, 0.85, t - 150);
        v.step(t, t <= 150 ? std::optional(85.0) : none());
    }
    CHECK(v.text == "0:PENDING 210:NODATA");
    CHECK(v.story.told().empty());
}

TEST_CASE("pitfall 10: what fires does not resolve for want of data, ever", "[no_data]") {
    Vector v;
    v.run(300, [](double) { return 85.0; });
    v.story.ticks(315, 86'400.0 * 30, 3600);
    CHECK(v.state() == "FIRING*");
    CHECK(v.story.count(Change::resolved, "r") == 0);
    CHECK(v.story.count(Change::stale, "r") == 1);
}

TEST_CASE("pitfall 12: one of a host's series ends, the others go on", "[no_data]") {
    TimedStory story(rule() +
                     "[[rule]]\nid = \"host.silent\"\nkind = \"heartbeat\"\nmissing = \"45s\"\n");
    story.start(0);
    const SeriesDescriptor other{"system.cpu.utilization", {{"state", "user"}}};
    for (double t = 0; t <= 900; t += 15) {
        story.batch("a1", t, 0.5);
        if (t <= 300) story.batch_of("a1", other, t, 0.85);
        story.tick(t);
    }
    CHECK(story.told() == "300:FIRING:P3:r:a1 360:STALE:P3:r:a1");
}

TEST_CASE("pitfall 26: slow series and slow senders have three of their intervals", "[no_data]") {
    Vector v(rule("stale_after = \"45s\"\nmax_gap = \"40s\"\n"));
    for (double t = 0; t <= 600; t += 1) {
        if (static_cast<int>(t) % 60 == 0) v.story.batch("a1", t, 0.85);
        v.look(t);
    }
    CHECK(v.text == "0:PENDING 46:NODATA 60:PENDING 300:FIRING");
    for (double t = 601; t <= 900; t += 1)
        v.look(t);
    // The last sample is of 600, and fresh for 180 s.
    CHECK(v.text == "0:PENDING 46:NODATA 60:PENDING 300:FIRING 781:FIRING*");
}

TEST_CASE("no_data = ok resolves after clear_for, resolve_after after its time", "[no_data]") {
    for (const auto& [policy, wait] : {std::pair("ok", 60), std::pair("resolve_after:10m", 600)}) {
        Vector v(rule("no_data = \"" + std::string(policy) + "\"\n"));
        v.run(330, [](double) { return 85.0; });
        v.story.ticks(331, 2000);
        // The last sample is of 330, stale after 375.
        CHECK(v.story.told() == "300:FIRING:P3:r:a1 376:STALE:P3:r:a1 " +
                                    std::to_string(375 + wait) + ":RESOLVED:P3:r:a1");
        CHECK(v.story.transitions().back().reason == "no data");
        v.step(2010, 85.0);
        CHECK(v.state() == "PENDING");
    }
}

TEST_CASE("resolve_after counts through a restart", "[no_data]") {
    Vector v(rule("no_data = \"resolve_after:10m\"\n"));
    v.run(330, [](double) { return 85.0; });
    v.story.ticks(331, 500);
    v.story.restart(520);
    v.story.ticks(521, 2000);
    CHECK(v.story.told() == "300:FIRING:P3:r:a1 376:STALE:P3:r:a1 975:RESOLVED:P3:r:a1");
}

TEST_CASE("what comes first after a restart may be late, and resolves nothing", "[no_data]") {
    const std::string with_second =
        "and = { metric = \"system.memory.utilization\", op = \">\", value = 0.5 }\n";
    for (const std::string& more : {std::string(), with_second}) {
        INFO(more);
        Vector v(rule(more));
        const auto both = [&](double t, double percent, double lag) {
            v.story.batch_of("a1", {"system.memory.utilization", {{"state", "used"}}}, t, 0.9, lag);
            v.story.batch("a1", t, percent / 100, lag);
        };
        for (double t = 0; t <= 510; t += 15)
            if (t < 60 || t > 120) both(t, t < 135 ? 50 : 85, 0);
        REQUIRE(v.story.told() == "435:FIRING:P3:r:a1");
        v.story.restart(511);
        for (double t = 60; t <= 120; t += 15)
            both(t, 50, 520 - t);
        CHECK(v.state() == "FIRING");
        for (double t = 525; t <= 900; t += 15)
            both(t, 85, 0);
        CHECK(v.story.told() == "435:FIRING:P3:r:a1");
    }
}

TEST_CASE("no_data = fire fires after the level's time and ends by samples", "[no_data]") {
    Vector v(rule("no_data = \"fire\"\n"));
    v.run(60, [](double) { return 50.0; });
    v.story.ticks(61, 900);
    // Stale after 105, then 300 s.
    CHECK(v.story.told() == "405:FIRING:P3:r:a1");
    CHECK(v.story.transitions()[0].reason == "no data");
    for (double t = 1000; t <= 1100; t += 15)
        v.step(t, 50.0);
    CHECK(v.story.told() == "405:FIRING:P3:r:a1 1000:FRESH:P3:r:a1 1060:RESOLVED:P3:r:a1");
}

TEST_CASE("nothing is missing before the start's grace is over", "[no_data]") {
    TimedStory story(rule("no_data = \"fire\"\n"), 90);
    for (double t = 0; t <= 60; t += 15)
        story.batch("a1", t, 0.5);
    story.ticks(1000, 1100);  // not started: the log is still being read
    CHECK(story.told().empty());
    story.start(1100);
    story.ticks(1101, 1489);
    CHECK(story.told().empty());
    story.ticks(1490, 1491);  // 1100 + 90 + 300
    CHECK(story.told() == "1490:FIRING:P3:r:a1");
}

TEST_CASE("a host whose clock is far off is judged by its own clock", "[no_data]") {
    for (const double skew : {-97'200.0, -3600.0, 60.0, 600.0}) {
        TimedStory story(rule());
        story.start(0);
        for (double t = 0; t <= 330; t += 15) {
            story.batch("a1", t + skew, 0.85, -skew);
            story.tick(t);
        }
        INFO("skew " << skew);
        REQUIRE(story.transitions().size() == 1);
        CHECK(story.transitions()[0].time_ms == TimedStory::at_ms(300 + skew));
        story.ticks(331, 375);
        CHECK(story.transitions().size() == 1);
        story.tick(376);
        CHECK(story.count(Change::stale, "r") == 1);
    }
}

TEST_CASE("pitfall 15: a host that is retired takes its alerts with it, with the reason",
          "[no_data]") {
    for (const bool restarted : {false, true}) {
        Vector v;
        v.run(330, [](double) { return 85.0; });
        if (restarted) v.story.restart(340);
        v.story.retire("a1", 350);
        CHECK(v.story.told() == "300:FIRING:P3:r:a1 350:RESOLVED:P3:r:a1");
        CHECK(v.story.transitions().back().reason == "host retired");
        v.story.ticks(351, 2000);
        CHECK(v.story.transitions().size() == 2);
        CHECK(v.story.engine().firing().empty());
        CHECK(v.story.engine().condition_count() == 0);
        // What it had sent before is still in the log: it is not judged.
        v.story.batch("a1", 345, 0.99, 1);
        CHECK(v.story.engine().condition_count() == 0);
        CHECK(v.story.engine().known_hosts().all().empty());
    }
}

TEST_CASE("ticks cost what is due: 100,000 conditions that are fresh are looked at once in 45 s",
          "[no_data]") {
    collector::Deadlines<int> deadlines;
    std::vector<int> watched(100'000);
    for (int& each : watched)
        deadlines.add(&each, 0);
    std::size_t looks = 0;
    for (std::int64_t now_ms = 0; now_ms < 45'000; now_ms += 1000) {
        deadlines.run(now_ms, [&](int&) -> std::optional<std::int64_t> {
            ++looks;
            return now_ms + 45'000;
        });
    }
    CHECK(looks == 100'000);
    deadlines.clear();
    CHECK(deadlines.size() == 0);
}
