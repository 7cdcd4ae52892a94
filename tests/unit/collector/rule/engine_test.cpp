#include "collector/rule/engine.h"

#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using test::Story;

namespace {

std::string simple_rule(const std::string& metric, const std::string& more = "") {
    return "[[rule]]\nid = \"r\"\nmetric = \"" + metric +
           "\"\nop = \">\"\nlevels = [ { at = 0.8, severity = \"P3\" } ]\nclear_for = \"0s\"\n" +
           more;
}

}  // namespace

TEST_CASE("each filesystem has an alert of its own", "[engine]") {
    Story story(simple_rule("system.filesystem.utilization", "where = { state = \"used\" }\n"));
    const auto fs = [](const char* mountpoint) {
        return SeriesDescriptor{"system.filesystem.utilization",
                                {{"mountpoint", mountpoint}, {"state", "used"}}};
    };
    story.of(1, fs("/"), 0, 0.9);
    story.of(2, fs("/var"), 1, 0.95);
    story.of(1, fs("/"), 10, 0.5);
    CHECK(story.told() == "0:FIRING:P3 1:FIRING:P3 10:RESOLVED:P3");
    CHECK(story.transitions()[0].key != story.transitions()[1].key);
    CHECK(story.transitions()[0].key == story.transitions()[2].key);
}

TEST_CASE("an empty pattern selects the series without the attribute", "[engine]") {
    Story story(
        simple_rule("system.cpu.utilization", "where = { state = \"used\", cpu = \"\" }\n"));
    story.of(1, {"system.cpu.utilization", {{"cpu", "3"}, {"state", "used"}}}, 0, 1.0);
    CHECK(story.told().empty());
    story.of(2, {"system.cpu.utilization", {{"state", "used"}}}, 0, 1.0);
    CHECK(story.told() == "0:FIRING:P3");
}

TEST_CASE("hosts and tags select, by glob, list and expression", "[engine]") {
    const auto fires = [](const std::string& selector) {
        Story story(simple_rule("system.cpu.utilization", selector));
        story.host().host_id = "web-17";
        story.host().tags = {{"role", "web"}, {"env", "prod"}};
        story.at(0, 1.0);
        return !story.told().empty();
    };
    CHECK(fires("host = \"web-*\"\n"));
    CHECK_FALSE(fires("host = \"db-*\"\n"));
    CHECK(fires("host = [\"db-*\", \"~web-[0-9]+\"]\n"));
    CHECK_FALSE(fires("host = \"~web-[a-z]+\"\n"));
    CHECK(fires("tags = { role = \"web\", env = [\"prod\", \"stage\"] }\n"));
    CHECK_FALSE(fires("tags = { role = \"web\", team = \"x\" }\n"));
}

TEST_CASE("a renewed certificate clears the alert of the one it replaced", "[engine]") {
    Story story(R"(
[[rule]]
id = "certificate.expiry"
metric = "tls.certificate.remaining_time"
by = ["path", "position"]
op = "<"
levels = [ { at = "30d", severity = "P4" }, { at = "7d", severity = "P2" } ]
clear_for = "0s"
summary = "{path} expires in {value}"
)");
    const auto cert = [](const char* serial) {
        return SeriesDescriptor{"tls.certificate.remaining_time",
                                {{"path", "/c.pem"}, {"position", "0"}, {"serial", serial}}};
    };
    story.of(1, cert("aa"), 0, 10 * 86400.0);
    story.of(1, cert("aa"), 4 * 86400.0, 6 * 86400.0);
    story.of(2, cert("bb"), 4 * 86400.0 + 3600, 90 * 86400.0);
    CHECK(story.told() == "0:FIRING:P4 345600:RAISED:P2 349200:RESOLVED:P2");
    CHECK(story.transitions()[0].summary == "/c.pem expires in 10d");
}

TEST_CASE(
    "a reload keeps unchanged rules, judges changed ones by new samples and resolves removed ones",
    "[engine]") {
    const std::string rule = simple_rule("system.cpu.utilization");
    Story kept(rule);
    kept.at(0, 0.9);
    kept.reload(rule + "summary = \"other words\"\n");
    kept.at(15, 0.9);
    CHECK(kept.told() == "0:FIRING:P3");

    Story changed(rule);
    changed.at(0, 0.9);
    std::string higher = rule;
    higher.replace(higher.find("0.8"), 3, "0.95");
    changed.reload(higher);
    CHECK(changed.told() == "0:FIRING:P3");
    changed.at(15, 0.9);
    CHECK(changed.told() == "0:FIRING:P3 15:RESOLVED:P3");

    Story removed(rule);
    removed.at(0, 0.9);
    removed.reload("");
    CHECK(removed.told() == "0:FIRING:P3 0:RESOLVED:P3");
    CHECK(removed.transitions()[1].reason == "rule removed");
}

TEST_CASE("57 a rule that is edited while it fires does not resolve and fire again", "[engine]") {
    std::string rule = simple_rule("system.cpu.utilization");
    Story story(rule);
    story.hold(0, 60, 0.9);
    std::string other = rule;
    other.replace(other.find("0.8"), 3, "0.7");
    story.reload(other);
    story.hold(75, 120, 0.9);
    story.hold(135, 150, 0.75);
    CHECK(story.told() == "0:FIRING:P3");
    story.at(165, 0.6);
    CHECK(story.told() == "0:FIRING:P3 165:RESOLVED:P3");
}

TEST_CASE("series that are one stream count as the one nearest to firing, in whatever order",
          "[engine]") {
    const std::string rule =
        "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\nby = []\nwindow = \"40s\"\nagg "
        "= \"min\"\n"
        "min_coverage = 0.5\nlevels = [ { at = 0.8, for = \"20s\" } ]\nclear_for = \"0s\"\n";
    const auto run = [&](bool turned) {
        Story story(rule);
        const auto core = [](const char* cpu) {
            return SeriesDescriptor{"system.cpu.utilization", {{"cpu", cpu}, {"state", "used"}}};
        };
        for (int t = 0; t <= 300; t += 10) {
            // One of the two is busy at each time.
            std::vector<Story::Given> batch = {{1, core("0"), double(t), t % 20 == 0 ? 0.9 : 0.1},
                                               {2, core("1"), double(t), t % 20 == 0 ? 0.1 : 0.9}};
            if (turned) std::swap(batch[0], batch[1]);
            story.batch(batch);
        }
        for (int t = 310; t <= 400; t += 10)
            story.batch({{1, core("0"), double(t), 0.1}, {2, core("1"), double(t), 0.1}});
        return story.told();
    };
    CHECK(run(false) == "40:FIRING:P4 310:RESOLVED:P4");
    CHECK(run(true) == "40:FIRING:P4 310:RESOLVED:P4");
}

TEST_CASE("an unchanged rule keeps its timers through a reload, a changed one starts afresh",
          "[engine]") {
    std::string rule = simple_rule("system.cpu.utilization");
    rule.replace(rule.find("at = 0.8"), 8, "at = 0.8, for = \"60s\"");
    // The history is gone, so that only what the engine keeps can count.
    Story kept(rule);
    kept.hold(0, 45, 0.9);
    kept.lose_history();
    kept.reload(rule + "runbook = \"elsewhere\"\n");
    kept.at(60, 0.9);
    CHECK(kept.told() == "60:FIRING:P3");
    Story changed(rule);
    changed.hold(0, 45, 0.9);
    changed.lose_history();
    changed.reload(rule + "max_gap = \"41s\"\n");
    changed.hold(60, 120, 0.9);
    CHECK(changed.told() == "120:FIRING:P3");
}

TEST_CASE("58 a rule that is renamed keeps its alert and its timers", "[engine]") {
    std::string rule = simple_rule("system.cpu.utilization");
    std::string named = rule;
    named.replace(named.find("\"r\""), 3, "\"cpu.busy\"\nwas = \"r\"");
    Story story(rule);
    story.at(0, 0.9);
    auto renamed = story.reload(named);
    REQUIRE(renamed.size() == 1);
    CHECK(renamed[0].from_key == story.transitions()[0].key);
    CHECK(renamed[0].rule == "cpu.busy");
    story.at(15, 0.5);
    REQUIRE(story.told() == "0:FIRING:P3 15:RESOLVED:P3");
    CHECK(story.transitions()[1].key == renamed[0].to_key);
    CHECK(story.transitions()[1].rule == "cpu.busy");
    // The host was silent since a restart; and a second reload renames nothing.
    story.at(30, 0.9);
    story.restart();
    CHECK(story.reload(named).empty());
    CHECK(story.engine().firing().size() == 1);

    Story silent(rule);
    silent.at(0, 0.9);
    silent.restart();
    CHECK(silent.reload(named).size() == 1);
    silent.at(15, 0.5);
    CHECK(silent.told() == "0:FIRING:P3 15:RESOLVED:P3");
    // Under the new id it fires already: the old one's alert ends.
    std::string beside = rule;
    beside.replace(beside.find("\"r\""), 3, "\"cpu.busy\"");
    Story both(rule + beside);
    both.at(0, 0.9);
    CHECK(both.reload(named).empty());
    REQUIRE(both.told() == "0:FIRING:P3 0:FIRING:P3 0:RESOLVED:P3");
    CHECK(both.transitions()[2].rule == "r");
    CHECK(both.transitions()[2].reason == "rule removed");
    // The old id in use by another rule: that one has the alert.
    Story taken(rule);
    taken.at(0, 0.9);
    CHECK(taken.reload(rule + named).empty());
}

TEST_CASE("what fires is kept through a restart even when its host stays silent", "[engine]") {
    Story story(simple_rule("system.cpu.utilization"));
    story.at(0, 0.9);
    story.restart();
    REQUIRE(story.engine().firing().size() == 1);
    story.restart();
    CHECK(story.engine().firing().size() == 1);
}

TEST_CASE("a removed rule resolves what fires even when its host stays silent since a restart",
          "[engine]") {
    Story story(simple_rule("system.cpu.utilization"));
    story.at(0, 0.9);
    story.restart();
    story.reload("");
    REQUIRE(story.transitions().size() == 2);
    const auto& gone = story.transitions()[1];
    CHECK(gone.change == collector::Change::resolved);
    CHECK(gone.key == story.transitions()[0].key);
    CHECK(gone.rule == "r");
    CHECK(gone.host == "a1");
    CHECK(gone.reason == "rule removed");
    CHECK(gone.time_ms == Story::kStartMs);  // the last thing known of it
    CHECK(story.engine().firing().empty());
}

TEST_CASE("restarts anywhere give the transitions of a run without one", "[engine]") {
    const std::string rule = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
op = ">"
levels = [ { at = 0.8, for = "60s", severity = "P3" }, { at = 0.9, for = "120s", severity = "P1" } ]
clear = 0.7
clear_for = "45s"
)";
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937 rng(seed);
        struct Sample {
            double t, value, lag;
        };
        std::vector<Sample> samples;
        double t = 0;
        double value = 0.5;
        for (int i = 0; i < 200; ++i) {
            t += rng() % 40 == 0 ? 90 : 15;
            if (rng() % 8 == 0) value = 0.6 + 0.05 * static_cast<double>(rng() % 8);
            samples.push_back({t, value, rng() % 50 == 0 ? 300.0 : 0.0});
        }
        Story whole(rule);
        Story cut(rule);
        for (const Sample& sample : samples) {
            whole.at(sample.t, sample.value, sample.lag);
            if (rng() % 10 == 0) cut.restart();
            cut.at(sample.t, sample.value, sample.lag);
        }
        INFO("seed " << seed);
        CHECK(cut.told() == whole.told());
    }
}

TEST_CASE("what a series that is no more kept in view goes with it, but not its alert",
          "[engine]") {
    Story story(simple_rule("system.filesystem.utilization", "where = { state = \"used\" }\n"));
    const auto fs = [](const char* mountpoint) {
        return SeriesDescriptor{"system.filesystem.utilization",
                                {{"mountpoint", mountpoint}, {"state", "used"}}};
    };
    story.of(1, fs("/calm"), 0, 0.1);
    story.of(2, fs("/full"), 0, 0.9);
    story.of(3, fs("/stays"), 0, 0.1);
    REQUIRE(story.engine().condition_count() == 3);
    story.engine().forget(1);
    story.engine().forget(2);
    story.engine().forget(77);
    CHECK(story.engine().condition_count() == 2);
    REQUIRE(story.engine().firing().size() == 1);
    // Both come back under other ids; the alert goes on where it was.
    story.of(4, fs("/calm"), 100, 0.9);
    story.of(5, fs("/full"), 101, 0.1);
    story.of(3, fs("/stays"), 102, 0.9);
    CHECK(story.told() == "0:FIRING:P3 100:FIRING:P3 101:RESOLVED:P3 102:FIRING:P3");
}

TEST_CASE("a condition that two series lead to lives as long as one of them", "[engine]") {
    Story story(simple_rule("system.filesystem.utilization",
                            "where = { state = \"used\" }\nby = [\"mountpoint\"]\n"));
    const auto fs = [](const char* type) {
        return SeriesDescriptor{"system.filesystem.utilization",
                                {{"mountpoint", "/"}, {"state", "used"}, {"type", type}}};
    };
    story.of(1, fs("ext4"), 0, 0.1);
    story.of(2, fs("xfs"), 1, 0.1);
    REQUIRE(story.engine().condition_count() == 1);
    story.engine().forget(1);
    story.of(2, fs("xfs"), 2, 0.9);
    CHECK(story.told() == "2:FIRING:P3");
    story.of(2, fs("xfs"), 3, 0.1);
    story.engine().forget(2);
    CHECK(story.engine().condition_count() == 0);
}
