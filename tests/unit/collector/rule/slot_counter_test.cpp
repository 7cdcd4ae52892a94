#include "collector/rule/slot_counter.h"

#include <string>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using test::Story;

namespace {

// M = 3 of N = 5, coverage 0.6: 'X' breach, '0' clear, '-' none; the newest right. A calm past
// before, so that the rhythm is known.
bool opens(const std::string& slots) {
    Story story(R"(
[[rule]]
id = "r"
metric = "system.cpu.utilization"
min_coverage = 0.6
levels = [ { at = "80%", m_of_n = [3, 5] } ]
)");
    double t = 0;
    for (; t < 300; t += 15)
        story.at(t, 0.5);
    // The past is out of the five slots.
    t += 5 * 15;
    for (const char slot : slots) {
        if (slot != '-') story.at(t, slot == 'X' ? 0.9 : 0.5);
        t += 15;
    }
    return !story.told().empty();
}

std::string rule(const std::string& more) {
    return "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nclear_for = \"60s\"\n" +
           more;
}

}  // namespace

TEST_CASE("the vectors of M of N", "[slot_counter]") {
    CHECK(opens("XX0X0"));
    CHECK(opens("X-X-X"));
    CHECK_FALSE(opens("X---X"));
    CHECK(opens("--XXX"));
    CHECK_FALSE(opens("-----"));
    CHECK_FALSE(opens("0-X-X"));
    CHECK(
        opens("XXX--"));  // when its newest sample comes; whether that is fresh is for ticks to say
}

TEST_CASE("slots that are out of view do not count", "[slot_counter]") {
    CHECK_FALSE(opens("XX000X0"));
    CHECK(opens("0000000X0X0X"));
}

TEST_CASE("samples that come a little early or late have slots of their own", "[slot_counter]") {
    SlotCounter counter;
    for (const std::int64_t t : {0, 15'020, 29'990, 45'010, 60'000})
        counter.add(t, 1, 0, 5);
    CHECK(counter.count(0, 5, 15'000).filled == 5);
    CHECK(counter.count(0, 5, 15'000).breaching == 5);
    CHECK(counter.count(0, 5, 15'000).since_ms == 0);
    CHECK(counter.count(1, 5, 15'000).breaching == 0);
}

TEST_CASE("slots of a fixed width hold many samples, and one of them breaching is enough",
          "[slot_counter]") {
    Story story(rule("slot = \"1m\"\nlevels = [ { at = \"80%\", m_of_n = [3, 4] } ]\n"));
    // One bad second in each of the minutes 1, 2 and 4; the story begins at a whole minute.
    for (int t = 0; t < 600; ++t)
        story.at(t, t == 70 || t == 130 || t == 250 ? 0.9 : 0.5);
    REQUIRE(story.transitions().size() == 2);
    CHECK(story.told() == "250:FIRING:P4 311:RESOLVED:P4");
    CHECK(story.transitions()[0].since_ms == Story::kStartMs + 70'000);
}

TEST_CASE("what clears while its slots still hold enough breaches does not resolve yet",
          "[slot_counter]") {
    Story story(rule("levels = [ { at = \"80%\", m_of_n = [3, 10] } ]\n"));
    for (int t = 0; t < 150; t += 15)
        story.at(t, t >= 120 || t == 0 ? 0.9 : 0.5);
    CHECK(story.told() == "135:FIRING:P4");
    for (int t = 150; t < 600; t += 15)
        story.at(t, 0.5);
    // Clear from 150 and for long enough at 210; by then only two of the ten are left: the first
    // one went at 150.
    CHECK(story.told() == "135:FIRING:P4 210:RESOLVED:P4");
    Story wide(rule("levels = [ { at = \"80%\", m_of_n = [3, 20] } ]\n"));
    for (int t = 0; t < 300; t += 15)
        wide.at(t, t >= 255 ? 0.9 : 0.5);
    for (int t = 300; t < 900; t += 15)
        wide.at(t, 0.5);
    // Clear for 60 s at 360, but three breaches remain in view until the first of them is 20 slots
    // old.
    CHECK(wide.told() == "285:FIRING:P4 555:RESOLVED:P4");
}

TEST_CASE("levels count slots each for itself", "[slot_counter]") {
    Story story(
        rule("levels = [ { at = \"85%\", m_of_n = [8, 10], severity = \"P3\" }, { at = \"95%\", "
             "m_of_n = [4, 5], severity = "
             "\"P2\" } ]\nclear = \"80%\"\n"));
    for (int t = 0; t < 600; t += 15)
        story.at(t, t < 150 ? (t % 75 == 0 ? 0.5 : 0.9) : t < 300 ? 0.97 : 0.5);
    CHECK(story.told() == "135:FIRING:P3 195:RAISED:P2 360:RESOLVED:P2");
}
