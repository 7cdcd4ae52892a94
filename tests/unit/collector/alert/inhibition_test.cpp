#include "collector/alert/inhibition.h"

#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using test::TimedStory;

namespace {

const std::string kRules = R"(
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "45s"
inhibits = ["*"]
mass = { share = 0.5, min_hosts = 5 }

[[rule]]
id = "disk.full"
metric = "system.filesystem.utilization"
levels = [ { at = "90%", severity = "P2" } ]

[[rule]]
id = "disk.full_soon"
metric = "system.filesystem.utilization"
levels = [ { at = "50%", severity = "P3" } ]
inhibited_by = ["disk.full"]

[[rule]]
id = "fleet"
metric = "system.filesystem.utilization"
by = ["tag.role"]
fleet = { agg = "max" }
levels = [ { at = "99%" } ]
)";

SeriesDescriptor fs(const char* mountpoint) {
    return {"system.filesystem.utilization", {{"mountpoint", mountpoint}}};
}

std::string held_by(TimedStory& story, const std::string& rule, const std::string& host,
                    const char* mountpoint = "/") {
    Alert alert;
    alert.rule = rule;
    alert.host = host;
    alert.attributes = fs(mountpoint).attributes;
    return Inhibition(story.engine()).suppressed(alert, WallTime{}).value_or("");
}

}  // namespace

TEST_CASE("pitfall 11: a silent host holds back its other alerts, which go on as they were",
          "[inhibition]") {
    TimedStory story(kRules);
    story.start(0);
    for (int t = 0; t <= 100; t += 10) {
        story.batch_of("a1", fs("/"), t, 0.6);
        story.batch_of("a2", fs("/"), t, 0.6);
        story.tick(t);
    }
    CHECK(held_by(story, "disk.full_soon", "a1").empty());
    for (int t = 101; t <= 200; ++t) {
        if (t % 10 == 0) story.batch_of("a2", fs("/"), t, 0.6);
        story.tick(t);
    }
    CHECK(held_by(story, "disk.full_soon", "a1") == "host.silent fires for this host");
    CHECK(held_by(story, "disk.full_soon", "a2").empty());
    CHECK(held_by(story, "host.silent", "a1").empty());
    CHECK(held_by(story, "fleet", "").empty());
    // One page for the host. Back and fine: each resolves by its own samples.
    CHECK(story.count(Change::resolved, "disk.full_soon") == 0);
    for (int t = 201; t <= 300; ++t) {
        if (t % 10 == 0) story.batch_of("a1", fs("/"), t, 0.1);
        story.tick(t);
    }
    CHECK(held_by(story, "disk.full_soon", "a1").empty());
    CHECK(story.count(Change::fired, "host.silent") == 2);  // a2 is not heard of any more
    CHECK(story.count(Change::resolved, "host.silent") == 1);
    CHECK(story.count(Change::resolved, "disk.full_soon") == 1);
}

TEST_CASE("a rule holds back another for the same filesystem, not for all of the host",
          "[inhibition]") {
    TimedStory story(kRules);
    story.start(0);
    for (int t = 0; t <= 20; t += 10) {
        story.batch_of("a1", fs("/"), t, 0.95);
        story.batch_of("a1", fs("/var"), t, 0.6);
        story.tick(t);
    }
    CHECK(held_by(story, "disk.full_soon", "a1", "/") == "disk.full fires for this host");
    CHECK(held_by(story, "disk.full_soon", "a1", "/var").empty());
    CHECK(held_by(story, "disk.full", "a1", "/").empty());
    for (int t = 30; t <= 100; t += 10) {
        story.batch_of("a1", fs("/"), t, 0.6);
        story.tick(t);
    }
    CHECK(held_by(story, "disk.full_soon", "a1", "/").empty());
}

TEST_CASE("pitfall 5: after a restart nothing is sent before what may hold it back was judged",
          "[inhibition]") {
    TimedStory story(kRules, 90);
    story.start(0);
    for (int t = 0; t <= 400; ++t) {
        if (t % 10 == 0 && t <= 200) story.batch_of("a1", fs("/"), t, 0.6);
        if (t % 10 == 0) story.batch_of("a2", fs("/"), t, 0.6);
        if (t % 10 == 0) story.batch_of("a3", fs("/"), t, 0.6);
        story.tick(t);
    }
    REQUIRE(story.count(Change::fired, "host.silent") == 1);
    story.restart(500);
    // The silent one is known to be so; of the others nothing is known before they are heard.
    CHECK(held_by(story, "disk.full_soon", "a1") == "host.silent fires for this host");
    CHECK(held_by(story, "disk.full_soon", "a2") ==
          "host.silent is not judged yet since the start");
    story.alive("a2", 501);
    CHECK(held_by(story, "disk.full_soon", "a2").empty());
    story.ticks(501, 640);
    CHECK(held_by(story, "disk.full_soon", "a3") == "host.silent fires for this host");
}

TEST_CASE("while the log is read nothing that could be held back is sent", "[inhibition]") {
    TimedStory story(kRules, 90);
    story.batch_of("a1", fs("/"), 0, 0.6);
    CHECK(held_by(story, "disk.full_soon", "a1") ==
          "host.silent is not judged yet since the start");
    story.start(1);
    CHECK(held_by(story, "disk.full_soon", "a1").empty());
}

TEST_CASE("hosts held by a mass loss hold back their alerts too", "[inhibition]") {
    TimedStory story(kRules);
    story.start(0);
    for (int t = 0; t <= 300; ++t) {
        for (int i = 0; i < 8; ++i) {
            if (t % 10 == i && (i < 2 || t < 100))
                story.batch_of("h" + std::to_string(i), fs("/"), t, 0.6);
        }
        story.tick(t);
    }
    CHECK(story.count(Change::fired, "host.silent") == 1);
    CHECK(held_by(story, "disk.full_soon", "h5") == "host.silent fires for this host");
    CHECK(held_by(story, "disk.full_soon", "h1").empty());
}

TEST_CASE("two rules that hold back each other are both heard of", "[inhibition]") {
    TimedStory story(R"(
[[rule]]
id = "a"
metric = "system.filesystem.utilization"
levels = [ { at = 0.5 } ]
inhibits = ["b"]
[[rule]]
id = "b"
metric = "system.filesystem.utilization"
levels = [ { at = 0.5 } ]
inhibits = ["*"]
)");
    story.start(0);
    story.batch_of("a1", fs("/"), 0, 0.9);
    CHECK(held_by(story, "a", "a1").empty());
    CHECK(held_by(story, "b", "a1").empty());
}
