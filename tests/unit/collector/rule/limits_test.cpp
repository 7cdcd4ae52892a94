// How many identities a rule may have.
#include "tests/support/catch.h"
#include "tests/support/timed_story.h"

using namespace ridgeline;
using collector::Change;
using test::TimedStory;

namespace {

const std::string kRule =
    "[[rule]]\nid = \"r\"\nmetric = \"system.filesystem.utilization\"\nlevels = [ { at = 0.8, "
    "severity = \"P3\" } ]\nclear_for = \"0s\"\n";

SeriesDescriptor fs(int i) {
    return {"system.filesystem.utilization", {{"mountpoint", "/" + std::to_string(i)}}};
}

}  // namespace

TEST_CASE("pitfall 56: a rule beyond its limit keeps those it has and counts the others",
          "[limits]") {
    TimedStory story(kRule);
    story.limits().identities_per_rule = 10;
    story.make();
    story.start(0);
    for (int i = 0; i < 10; ++i)
        story.batch_of("a1", fs(i), 1, i == 3 ? 0.9 : 0.1);
    CHECK(story.engine().overflowing().empty());
    for (int i = 10; i < 5000; ++i)
        story.batch_of("a1", fs(i), 2, 0.9);
    CHECK(story.engine().condition_count() == 10);
    CHECK(story.engine().overflowing() == std::map<std::string, std::size_t>{{"r", 4990}});
    CHECK(story.told() == "1:FIRING:P3:r:a1");
    // Those it has are judged on.
    story.batch_of("a1", fs(3), 10, 0.1);
    CHECK(story.count(Change::resolved, "r") == 1);
    // The same series again are not counted again.
    story.batch_of("a1", fs(20), 11, 0.9);
    CHECK(story.engine().overflowing().at("r") == 4990);
    // One that goes makes room for one.
    story.engine().forget(0);
    story.batch_of("a1", fs(20), 12, 0.9);
    story.batch_of("a1", fs(21), 12, 0.9);
    CHECK(story.engine().condition_count() == 10);
    CHECK(story.engine().overflowing().at("r") == 4989);
    CHECK(story.count(Change::fired, "r") == 2);
}

TEST_CASE("what fired before a restart has its place after it", "[limits]") {
    TimedStory story(kRule);
    story.limits().identities_per_rule = 1;
    story.make();
    story.start(0);
    story.batch_of("a1", fs(7), 1, 0.9);
    story.restart(10);
    story.batch_of("a1", fs(1), 11, 0.9);
    story.batch_of("a1", fs(7), 11, 0.1);
    CHECK(story.told() == "1:FIRING:P3:r:a1 11:FIRING:P3:r:a1 11:RESOLVED:P3:r:a1");
    CHECK(story.engine().overflowing().empty());
}

TEST_CASE("those without a place are counted anew when the rules change", "[limits]") {
    TimedStory story(kRule);
    story.limits().identities_per_rule = 1;
    story.make();
    story.start(0);
    story.batch_of("a1", fs(1), 1, 0.1);
    story.batch_of("a1", fs(2), 1, 0.1);
    REQUIRE(story.engine().overflowing().at("r") == 1);
    std::string changed = kRule;
    changed.replace(changed.find("0.8"), 3, "0.7");
    story.reload(changed);
    CHECK(story.engine().overflowing().empty());
    story.batch_of("a1", fs(1), 2, 0.1);
    story.batch_of("a1", fs(2), 2, 0.1);
    CHECK(story.engine().overflowing() == std::map<std::string, std::size_t>{{"r", 1}});
}
