// The alert semantics as stories: threshold > 0.80, clear < 0.75, for 300 s, clear_for 60 s,
// samples every 15 s. The times are those at which a sample decided.
#include <string>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using test::Story;

namespace {

const std::string kRule = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
where = { state = "used" }
op = ">"
levels = [ { at = "80%", for = "300s", severity = "P3" } ]
clear = "75%"
clear_for = "60s"
)";

Story fired_at_300() {
    Story story(kRule);
    story.hold(0, 330, 0.85);
    return story;
}

}  // namespace

TEST_CASE("S1 a breach that is sustained fires once, when it has lasted", "[condition]") {
    Story story(kRule);
    story.hold(0, 1200, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S2 a breach that ends a sample too early does not fire", "[condition]") {
    Story story(kRule);
    story.hold(0, 285, 0.85);
    story.hold(300, 900, 0.79);
    CHECK(story.told().empty());
}

TEST_CASE("S3 the dead band keeps what fires firing", "[condition]") {
    Story story = fired_at_300();
    story.hold(345, 3600, 0.78);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S4 a clear run that is broken does not resolve", "[condition]") {
    Story story = fired_at_300();
    story.hold(345, 375, 0.74);
    story.hold(390, 900, 0.76);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S5 a clear run that lasts resolves", "[condition]") {
    Story story = fired_at_300();
    story.hold(345, 600, 0.74);
    CHECK(story.told() == "300:FIRING:P3 405:RESOLVED:P3");
}

TEST_CASE("S6 one lost sample does not break a run", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 400; t += 15) {
        if (t != 150) story.at(t, 0.85);
    }
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S7 a hole longer than the rhythm allows starts the run anew", "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    story.hold(210, 600, 0.85);
    CHECK(story.told() == "510:FIRING:P3");
}

TEST_CASE("S9 data that stops while firing and comes back bad changes nothing", "[condition]") {
    Story story = fired_at_300();
    story.hold(900, 1200, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S10 data that stops while firing and comes back good resolves by real samples",
          "[condition]") {
    Story story = fired_at_300();
    story.hold(900, 1200, 0.60);
    CHECK(story.told() == "300:FIRING:P3 960:RESOLVED:P3");
}

TEST_CASE("S11 a replayed outage whose breach lasts until now is told when the data is live",
          "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    for (int t = 150; t <= 900; t += 15)
        story.at(t, 0.85, 900 - t);
    REQUIRE(story.transitions().size() == 1);
    CHECK(story.transitions()[0].time_ms >= Story::kStartMs + 780'000);
    CHECK(story.transitions()[0].since_ms == Story::kStartMs);
}

TEST_CASE("S12 a replayed outage whose breach is over does not page; the episode is recorded",
          "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    for (int t = 150; t <= 600; t += 15)
        story.at(t, 0.85, 900 - t);
    for (int t = 615; t <= 900; t += 15)
        story.at(t, 0.60, 900 - t);
    CHECK(story.told() == "675:EPISODE:P3");
}

TEST_CASE("S13 without the lost samples the run starts at the first new one", "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    story.hold(900, 1300, 0.85);
    CHECK(story.told() == "1200:FIRING:P3");
}

TEST_CASE("S14 a value that ingest refuses (NaN) is a lost sample", "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    story.hold(165, 600, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S15 a late sample that was not breaching moves the run's start", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 195; t += 15) {
        if (t != 120) story.at(t, 0.85);
    }
    story.at(120, 0.50, 80);
    story.hold(210, 600, 0.85);
    CHECK(story.told() == "435:FIRING:P3");
}

TEST_CASE("S16 a late sample after firing changes nothing", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 390; t += 15) {
        if (t != 120) story.at(t, 0.85);
    }
    story.at(120, 0.50, 280);
    story.hold(405, 600, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S17 of two values for the same time the first stays", "[condition]") {
    Story story(kRule);
    story.hold(0, 150, 0.85);
    story.at(150, 0.50, 10);
    story.hold(165, 600, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S18 a frozen agent that sends its last sample for ever gains nothing", "[condition]") {
    Story story(kRule);
    story.hold(0, 150, 0.85);
    for (int t = 165; t <= 3600; t += 15)
        story.at(150, 0.85, t - 150);
    CHECK(story.told().empty());
    CHECK(story.engine().pending().size() == 1);
}

TEST_CASE("late samples that fill a hole join the run to what came before it", "[condition]") {
    Story story(kRule);
    story.hold(0, 135, 0.85);
    story.hold(300, 330, 0.85);  // live data came first
    CHECK(story.told().empty());
    for (int t = 150; t <= 285; t += 15)
        story.at(t, 0.85, 330 - t);
    CHECK(story.told() == "330:FIRING:P3");
}

TEST_CASE("S19 a restart while firing tells nothing and forgets nothing", "[condition]") {
    Story story = fired_at_300();
    story.restart();
    story.hold(345, 600, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
    story.restart();
    story.hold(615, 640, 0.60);
    story.restart();
    story.hold(645, 720, 0.60);
    CHECK(story.told() == "300:FIRING:P3 675:RESOLVED:P3");
}

TEST_CASE("a restart while pending keeps the run", "[condition]") {
    Story story(kRule);
    story.hold(0, 270, 0.85);
    story.restart();
    story.hold(285, 600, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
}

TEST_CASE("S20 a breach of two hours ago does not page", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 330; t += 15)
        story.at(t, 0.85, 7500 - t);
    story.at(7500, 0.60);
    story.hold(7515, 7700, 0.60);
    CHECK(story.told() == "7560:EPISODE:P3");
}

TEST_CASE("S21 values that alternate never fire", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 7200; t += 15)
        story.at(t, t % 30 == 0 ? 0.85 : 0.60);
    CHECK(story.told().empty());
}

TEST_CASE("S22 for = 0 fires with the first sample", "[condition]") {
    std::string rule = kRule;
    rule.replace(rule.find("300s"), 4, "0s");
    Story story(rule);
    story.at(0, 0.85);
    story.hold(15, 200, 0.60);
    CHECK(story.told() == "0:FIRING:P3 75:RESOLVED:P3");
}

TEST_CASE("the threshold itself is on the side the operator says", "[condition]") {
    const auto fires = [](const std::string& op, double value) {
        Story story("[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nop = \"" + op +
                    "\"\nlevels = [ { at = 0.8 } ]\n");
        story.at(0, value);
        return !story.told().empty();
    };
    CHECK_FALSE(fires(">", 0.8));
    CHECK(fires(">=", 0.8));
    CHECK_FALSE(fires("<", 0.8));
    CHECK(fires("<=", 0.8));
    CHECK(fires("==", 0.8));
    CHECK_FALSE(fires("!=", 0.8));
    CHECK(fires("!=", 0.7));
}

TEST_CASE("severity rises on the same alert and is lowered only past the dead band",
          "[condition]") {
    Story story(R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
op = ">"
levels = [ { at = "80%", for = "60s", severity = "P3" }, { at = "95%", for = "60s", severity = "P2" } ]
clear = "75%"
clear_for = "60s"
)");
    story.hold(0, 90, 0.85);
    story.hold(105, 195, 0.97);
    story.hold(210, 300, 0.93);  // below 95 but within its dead band (90)
    story.hold(315, 420, 0.85);
    story.hold(435, 540, 0.50);
    CHECK(story.told() == "60:FIRING:P3 165:RAISED:P2 375:LOWERED:P3 495:RESOLVED:P3");
    for (const auto& transition : story.transitions())
        CHECK(transition.key == story.transitions()[0].key);
}

TEST_CASE("lower_severity = never: a severity rises and ends, but does not fall", "[condition]") {
    Story story(R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
levels = [ { at = "80%", severity = "P3" }, { at = "95%", severity = "P2" } ]
clear_for = "60s"
lower_severity = "never"
)");
    story.hold(0, 90, 0.97);
    story.hold(105, 600, 0.85);
    story.hold(615, 700, 0.50);
    CHECK(story.told() == "0:FIRING:P2 675:RESOLVED:P2");
}

TEST_CASE("44 a certificate nears its end; its server shows old and new in turn", "[condition]") {
    Story story(R"(
[[rule]]
id = "cert"
metric = "tls.certificate.remaining_time"
by = ["endpoint"]
op = "<="
levels = [ { at = "30d", severity = "P4" }, { at = "14d", severity = "P3" }, { at = "7d", severity = "P2" }, { at = "0s", severity = "P1" } ]
lower_severity = "never"
clear_for = "2h"
)");
    constexpr double kDay = 86'400;
    const auto cert = [](const char* serial) {
        return SeriesDescriptor{"tls.certificate.remaining_time",
                                {{"endpoint", "a:443"}, {"serial", serial}}};
    };
    // Once an hour, from 31 days before its end to an hour after.
    double t = 0;
    for (; t <= 31 * kDay + 3600; t += 3600)
        story.of(1, cert("aa"), t, 31 * kDay - t);
    CHECK(story.told() == "86400:FIRING:P4 1468800:RAISED:P3 2073600:RAISED:P2 2678400:RAISED:P1");
    // Renewed, but not on all servers behind the balancer.
    for (int i = 0; i < 12; ++i, t += 3600)
        i % 2 == 0 ? story.of(2, cert("bb"), t, 90 * kDay) : story.of(1, cert("aa"), t, -7200);
    CHECK(story.transitions().size() == 4);
    const double last_old = t - 3600;
    for (; t <= last_old + 5 * 3600; t += 3600)
        story.of(2, cert("bb"), t, 90 * kDay);
    REQUIRE(story.transitions().size() == 5);
    CHECK(story.transitions()[4].change == collector::Change::resolved);
    CHECK(story.transitions()[4].time_ms ==
          Story::kStartMs + static_cast<std::int64_t>(1000 * (last_old + 3 * 3600)));
    for (const auto& transition : story.transitions())
        CHECK(transition.key == story.transitions()[0].key);
}

TEST_CASE("28, 29 the dead band keeps, and values that alternate never fire", "[condition]") {
    Story band = fired_at_300();
    for (int t = 345; t <= 3600; t += 15)
        band.at(t, t % 30 == 0 ? 0.76 : 0.79);
    CHECK(band.told() == "300:FIRING:P3");
}

TEST_CASE("26 a sample a minute under a rule of seconds", "[condition]") {
    Story story(kRule);
    for (int t = 0; t <= 600; t += 60)
        story.at(t, 0.85);
    CHECK(story.told() == "300:FIRING:P3");
    // Two and a half times its rhythm breaks a run; less does not.
    Story held(kRule), broken(kRule);
    for (int t = 0; t <= 180; t += 60) {
        held.at(t, 0.85);
        broken.at(t, 0.85);
    }
    held.at(330, 0.85);
    broken.at(331, 0.85);
    CHECK(held.told() == "330:FIRING:P3");
    CHECK(broken.told().empty());
}

TEST_CASE("a windowed average needs most of its window, and rides over a spike", "[condition]") {
    const std::string rule = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
window = "60s"
agg = "avg"
op = ">"
levels = [ { at = "80%" } ]
)";
    Story spike(rule);
    for (int t = 0; t < 300; ++t)
        spike.at(t, t == 150 ? 1.0 : 0.5);
    CHECK(spike.told().empty());
    Story sustained(rule);
    for (int t = 0; t < 60; ++t)
        sustained.at(t, 0.5);
    for (int t = 60; t < 200; ++t)
        sustained.at(t, 1.0);
    REQUIRE(sustained.transitions().size() == 1);
    // 0.5·(60−n) + n > 0.8·60 from n = 37 on.
    CHECK(sustained.told() == "96:FIRING:P4");
    Story young(rule);
    for (int t = 0; t < 40; ++t)
        young.at(t, 1.0);
    CHECK(young.told().empty());  // 40 of 60 samples are not 70 %
}

TEST_CASE("a slow series is judged by its own rhythm", "[condition]") {
    std::string rule = kRule;
    rule.replace(rule.find("300s"), 4, "3h");
    Story story(rule);
    for (int hour = 0; hour <= 6; ++hour)
        story.at(hour * 3600, 0.9);
    CHECK(story.told() == "10800:FIRING:P3");
}

TEST_CASE("an average goes on after the rhythm slows, or two samples came close together",
          "[condition]") {
    const std::string rule = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
window = "60s"
agg = "avg"
op = ">"
levels = [ { at = "80%" } ]
)";
    Story slower(rule);
    slower.hold(0, 99, 0.5, 1);
    slower.hold(100, 300, 1.0, 10);
    CHECK_FALSE(slower.told().empty());
    Story close(rule);
    close.hold(0, 99, 0.5, 1);
    close.at(99.003, 0.5);
    close.hold(100, 300, 1.0, 1);
    CHECK_FALSE(close.told().empty());
}

TEST_CASE("the average of samples that are at the threshold is the threshold", "[condition]") {
    for (const char* at : {"0.95", "0.9", "0.8", "0.7", "0.35", "0.1"}) {
        test::Story story(std::string(R"([[rule]]
id = "r"
metric = "system.cpu.utilization"
window = "1m"
agg = "avg"
levels = [ { at = )") + at +
                          ", severity = \"P3\" } ]\n");
        for (const double step : {6.0, 10.0, 15.0}) {
            INFO(at << " every " << step << " s");
            story.hold(step * 1000, step * 1000 + 600, std::stod(at), step);
            CHECK(story.told() == "");
        }
    }
}
