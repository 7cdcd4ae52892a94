// What rules may say of time, fleets and each other, and what they are told when they say it wrong.
#include <fstream>
#include <string>

#include "collector/rule/rule_parser.h"
#include "tests/support/catch.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

std::string errors_of(const std::string& toml) {
    auto document = ConfigDocument::parse(toml, "r.toml");
    read_rules(document);
    return to_string(document.errors());
}

const std::string kHead = "[[rule]]\nid = \"r\"\nmetric = \"system.cpu.utilization\"\n";
const std::string kLevels = "levels = [ { at = 0.8 } ]\n";

}  // namespace

TEST_CASE("no_data and stale_after are read, from the rule or the file's defaults", "[rules]") {
    const auto rules =
        test::rules_from("[defaults]\nno_data = \"ok\"\nstale_after = \"2m\"\n" + kHead + kLevels +
                         "[[rule]]\nid = \"s\"\nmetric = \"system.uptime\"\n" + kLevels +
                         "no_data = \"resolve_after:1h\"\n");
    CHECK(rules[0].no_data.policy == NoData::Policy::ok);
    CHECK(rules[0].no_data.stale_after == 2min);
    CHECK(rules[1].no_data.policy == NoData::Policy::resolve_after);
    CHECK(rules[1].no_data.after == 1h);
    CHECK(rules[0].fingerprint != test::rules_from(kHead + kLevels)[0].fingerprint);
}

TEST_CASE("mistakes in them have their place", "[rules]") {
    CHECK(errors_of(kHead + kLevels + "no_data = \"page\"\n") ==
          "r.toml:5:11: no_data = \"page\" is not known; it is \"hold\", \"ok\", \"fire\" or "
          "\"resolve_after:30m\"\n");
    CHECK(errors_of(kHead + kLevels + "no_data = \"resolve_after:soon\"\n")
              .starts_with("r.toml:5:11: no_data: "));
    CHECK(errors_of(kHead + kLevels + "by = [\"tag.role\"]\n") ==
          "r.toml:5:6: by = [\"tag.role\"] makes one alert of many hosts; say how, such as fleet = "
          "{ agg = \"share\", over = \"80%\" }\n");
    CHECK(errors_of(kHead + kLevels + "fleet = { agg = \"share\" }\n") ==
          "r.toml:5:17: agg = \"share\" needs what is counted: over or under, such as over = "
          "\"80%\"\n");
    CHECK(errors_of(kHead + kLevels + "fleet = { agg = \"mean\" }\n").find("r.toml:5:17: ") == 0);
    CHECK(errors_of(kHead + kLevels + "fleet = { agg = \"avg\", over = \"80%\" }\n") ==
          "r.toml:5:24: unknown key \"over\"; known here are agg min_members missing\n");
    CHECK(errors_of(kHead + kLevels + "fleet = { agg = \"avg\", missing = \"breach\" }\n") ==
          "r.toml:5:34: missing = \"breach\" is for agg = \"share\" or \"count\"\n");
    CHECK(errors_of(kHead + kLevels + "inhibits = [\"r\"]\n") ==
          "r.toml:5:12: a rule does not hold back itself\n");
    CHECK(errors_of(kHead + kLevels + "missing = \"45s\"\n") ==
          "r.toml:5:11: missing is for kind = \"heartbeat\"\n");
    CHECK(errors_of("[[rule]]\nid = \"h\"\nkind = \"heartbeat\"\nmetric = \"system.uptime\"\n") ==
          "r.toml:4:10: metric cannot stand beside kind = \"heartbeat\"\n");
    CHECK(errors_of("[[rule]]\nid = \"h\"\nkind = \"heartbeat\"\nmass = { share = 0 }\n") ==
          "r.toml:4:18: share must be more than 0% and at most 100%\n");
    CHECK(errors_of("[[rule]]\nid = \"h\"\nkind = \"heartbeat\"\nlevels = [ { severity = \"P1\" }, "
                    "{ severity = \"P2\" } ]\n") ==
          "r.toml:4:10: a heartbeat rule has one level, which says the severity\n");
    CHECK(errors_of("[[rule]]\nid = \"collector.x\"\nmetric = \"system.uptime\"\n" + kLevels) ==
          "r.toml:2:6: ids that begin with \"collector.\" are the collector's own alerts\n");
    CHECK(errors_of("[[rule]]\nid = \"h\"\nkind = \"heartbaet\"\n").find("heartbeat") !=
          std::string::npos);
}

TEST_CASE("pitfall 59: a file that turns bad keeps its old rules; the others change", "[rules]") {
    test::TempDir dir;
    const auto write = [&](const char* name, const std::string& text) {
        std::ofstream(dir.path() / name) << text;
    };
    const auto rule = [](const std::string& id, const char* at) {
        return "[[rule]]\nid = \"" + id +
               "\"\nmetric = \"system.uptime\"\nlevels = [ { at = " + at + " } ]\n";
    };
    write("a.toml", rule("a1", "1") + rule("a2", "1"));
    write("b.toml", rule("b", "1"));
    const auto before = load_rules(dir.path() / "none", dir.path());
    REQUIRE(before.rules.size() == 3);

    write("a.toml", rule("a1", "\"half"));
    write("b.toml", rule("b", "2") + rule("a2", "3"));
    auto after = load_rules(dir.path() / "none", dir.path());
    REQUIRE(after.bad_files.size() == 1);
    keep_rules_of_bad_files(after, before.rules, before.disabled, dir.path());
    std::map<std::string, double> at;
    for (const Rule& r : after.rules)
        at[r.id] = r.levels[0].at;
    // a1 as it was, a2 as the good file has it.
    CHECK(at == std::map<std::string, double>{{"a1", 1}, {"a2", 3}, {"b", 2}});
}

TEST_CASE("pitfall 59: what a bad file had replaced or switched off does not come back",
          "[rules]") {
    test::TempDir packaged, own;
    const auto write = [](const test::TempDir& dir, const std::string& text) {
        std::ofstream(dir.path() / "r.toml") << text;
    };
    const auto rule = [](const std::string& id, const char* at, const char* enabled = "true") {
        return "[[rule]]\nid = \"" + id + "\"\nmetric = \"system.uptime\"\nenabled = " + enabled +
               "\nlevels = [ { at = " + at + " } ]\n";
    };
    write(packaged, rule("limit", "1") + rule("off", "1") + rule("other", "1"));
    write(own, rule("limit", "2") + rule("off", "2", "false"));
    const auto before = load_rules(packaged.path(), own.path());
    REQUIRE(before.rules.size() == 2);
    write(own, "[[rule]]\nid = 7\n");
    auto after = load_rules(packaged.path(), own.path());
    REQUIRE(after.rules.size() == 3);
    keep_rules_of_bad_files(after, before.rules, before.disabled, own.path());
    std::map<std::string, double> at;
    for (const Rule& r : after.rules)
        at[r.id] = r.levels[0].at;
    CHECK(at == std::map<std::string, double>{{"limit", 2}, {"other", 1}});
    REQUIRE(after.disabled.size() == 1);
    CHECK(after.disabled[0].id == "off");
}
