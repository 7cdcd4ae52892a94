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
levels = [ { at = "80%", severity = "P3" } ]
clear_for = "0s"
summary = "{host} is busy"
  [[rule.override]]
  tags = { role = "web" }
  levels = [ { at = "70%", severity = "P3" }, { at = "90%", severity = "P1" } ]
  [[rule.override]]
  host = "build-*"
  levels = [ { at = "98%", severity = "P4" } ]
  summary = "{host} is busy, as it should be"
  [[rule.override]]
  host = "build-9"
  enabled = false
)";

Story on(const std::string& host, const std::string& role, double value) {
    Story story(kRule);
    story.host().host_id = host;
    if (!role.empty()) story.host().tags["role"] = role;
    story.at(0, value);
    return story;
}

}  // namespace

TEST_CASE("an override is for the hosts it names, and later ones win key by key", "[override]") {
    CHECK(on("db-1", "db", 0.75).told().empty());
    CHECK(on("db-1", "", 0.85).told() == "0:FIRING:P3");
    CHECK(on("web-1", "web", 0.75).told() == "0:FIRING:P3");
    CHECK(on("web-1", "web", 0.95).told() == "0:FIRING:P1");
    CHECK(on("build-1", "", 0.95).told().empty());
    // Both match: the later one's levels and summary.
    const Story both = on("build-1", "web", 0.99);
    CHECK(both.told() == "0:FIRING:P4");
    CHECK(both.transitions()[0].summary == "build-1 is busy, as it should be");
    CHECK(on("web-1", "web", 0.95).transitions()[0].summary == "web-1 is busy");
    CHECK(on("build-9", "web", 0.99).told().empty());
}

TEST_CASE("an override may be for some of a host's identities", "[override]") {
    Story story(R"(
[[rule]]
id = "disk"
metric = "system.filesystem.utilization"
where = { state = "used" }
by = ["mountpoint"]
levels = [ { at = "90%" } ]
clear = "85%"
clear_for = "0s"
  [[rule.override]]
  where = { mountpoint = "/backup*" }
  levels = [ { at = "99%" } ]
  clear = "98%"
)");
    const auto fs = [](const char* mountpoint) {
        return SeriesDescriptor{"system.filesystem.utilization",
                                {{"mountpoint", mountpoint}, {"state", "used"}}};
    };
    story.of(1, fs("/"), 0, 0.95);
    story.of(2, fs("/backup1"), 1, 0.95);
    story.of(2, fs("/backup1"), 2, 0.995);
    story.of(2, fs("/backup1"), 3, 0.975);
    story.of(1, fs("/"), 4, 0.86);
    CHECK(story.told() == "0:FIRING:P4 2:FIRING:P4 3:RESOLVED:P4");
}

TEST_CASE("two overrides that contradict each other leave no dead band", "[override]") {
    Story story(R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
levels = [ { at = "80%" } ]
clear_for = "0s"
  [[rule.override]]
  host = "a*"
  clear = "75%"
  [[rule.override]]
  tags = { role = "web" }
  levels = [ { at = "60%" } ]
)");
    story.host().tags["role"] = "web";
    story.at(0, 0.65);
    story.at(10, 0.59);
    CHECK(story.told() == "0:FIRING:P4 10:RESOLVED:P4");
}

TEST_CASE("tags that change select anew: what fires resolves, or goes on under other levels",
          "[override]") {
    Story story(R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
tags = { watched = "yes" }
levels = [ { at = "80%", for = "30s" } ]
clear_for = "0s"
  [[rule.override]]
  tags = { role = "build" }
  levels = [ { at = "99%", for = "30s" } ]
)");
    story.hold(0, 60, 0.9, 10);
    CHECK(story.told().empty());
    story.host().tags["watched"] = "yes";
    // Its past is looked at as after a restart: the run began long ago.
    story.hold(70, 90, 0.9, 10);
    CHECK(story.told() == "70:FIRING:P4");
    story.host().tags["role"] = "build";
    story.hold(100, 100, 0.9, 10);
    CHECK(story.told() == "70:FIRING:P4 100:RESOLVED:P4");
    CHECK(story.transitions()[1].reason.empty());
    story.hold(110, 160, 1.0, 10);
    CHECK(story.told() == "70:FIRING:P4 100:RESOLVED:P4 140:FIRING:P4");
    story.host().tags.erase("watched");
    story.hold(170, 200, 1.0, 10);
    REQUIRE(story.told() == "70:FIRING:P4 100:RESOLVED:P4 140:FIRING:P4 160:RESOLVED:P4");
    CHECK(story.transitions()[3].reason == "the rule does not select it any more");
    CHECK(story.engine().condition_count() == 0);
}
