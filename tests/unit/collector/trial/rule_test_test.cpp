#include <sstream>

#include "collector/trial/rule_test_run.h"
#include "collector/trial/test_rules.h"
#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr const char* kRules = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
where = { state = "used" }
levels = [ { at = "80%", for = "1m", severity = "P3" }, { at = "95%", for = "1m", severity = "P2" } ]
clear = "75%"
clear_for = "30s"
summary = "{host}: {value}"
)";

// "10m: state firing / pending", a line for each failure; or the errors of the file.
std::string failures(const std::string& toml, const std::string& of = kRules) {
    auto document = ConfigDocument::parse(toml, "t.toml");
    const RuleTestFile file = read_rule_tests(document, "/");
    if (!document.ok()) return to_string(document.errors());
    const auto rules = test::rules_from(of);
    std::string out;
    for (const RuleTest& test : file.tests) {
        for (const TestFailure& failure : run_rule_test(test, rules).failures) {
            out += failure.at.substr(0, failure.at.find(' ')) + ": " + failure.expected + " / " +
                   failure.got + '\n';
        }
    }
    return out;
}

std::string one_test(const std::string& values, const std::string& expect,
                     const std::string& more = "") {
    return "[[test]]\nname = \"t\"\nrule = \"cpu\"\n" + more +
           "series = [ { host = \"web1\", metric = \"system.cpu.utilization\", attributes = { "
           "state "
           "= \"used\" }, values = \"" +
           values + "\" } ]\nexpect = [ " + expect + " ]\n";
}

}  // namespace

TEST_CASE("every state of an alert can be expected, to the sample") {
    CHECK(failures(one_test("70%x4 85%x6 97%x6 60%x4", R"(
        { at = "45s", state = "ok" },
        { at = "1m", state = "pending" },
        { at = "1m45s", state = "pending", alerts = 0 },
        { at = "2m", state = "firing", severity = "P3", value = "85%", summary = "web1: 85.0%" },
        { at = "3m15s", severity = "P3" },
        { at = "3m30s", severity = "P2", summary = "web1: 97.0%" },
        { at = "4m", state = "clearing" },
        { at = "4m30s", state = "ok", alerts = 1 })")) == "");
}

TEST_CASE("what is not as expected is told with what came instead") {
    CHECK(failures(one_test("70%x4 85%x6", R"(
        { at = "1m", state = "firing" },
        { at = "2m", severity = "P1" },
        { at = "2m", value = "86%" },
        { at = "2m", summary = "no" },
        { at = "2m", alerts = 2 },
        { at = "1m", severity = "P3" })")) ==
          "1m: state firing / pending\n"
          "1m: severity P3 / none; it is pending\n"
          "2m: severity P1 / P3\n"
          "2m: value 86% / 85.0%\n"
          "2m: summary \"no\" / \"web1: 85.0%\"\n"
          "2m: alerts 2 / 1\n");
    CHECK(failures(one_test("85%x6", "", "alerts = 0\n")) == ": alerts 0 / 1\n");
    CHECK(failures(one_test("85%x6", R"({ at = "1m", rule = "mem", state = "ok" })")) ==
          ": rule mem / no such rule is on in the rules that were read\n");
}

TEST_CASE("an outage's samples come together when it is over") {
    const std::string series =
        "alerts = 1\nseries = [ { metric = \"system.cpu.utilization\", attributes = { state = "
        "\"used\" }, values = \"70%x4 85%x200\", held_until = \"20m\" } ]\n";
    CHECK(failures("[[test]]\nname = \"t\"\nrule = \"cpu\"\n" + series +
                   "expect = [ { at = \"19m59s\", state = \"ok\", alerts = 0 }, { at = \"20m\", "
                   "state = \"firing\" } ]\n") == "");
}

TEST_CASE("an expectation that several alerts meet says so") {
    const std::string one =
        "{ host = \"HOST\", metric = \"system.cpu.utilization\", attributes = "
        "{ state = \"used\" }, values = \"85%x6\" }";
    std::string both = one + ", " + one;
    both.replace(both.find("HOST"), 4, "web1");
    both.replace(both.find("HOST"), 4, "web2");
    CHECK(failures("[[test]]\nname = \"t\"\nrule = \"cpu\"\nseries = [ " + both +
                   " ]\nexpect = [ { at = \"1m\", state = \"firing\" }, { at = \"1m\", host = "
                   "\"web2\", state = \"firing\" }, { at = \"1m\", alerts = 2 } ]\n") ==
          "1m: one alert / 2 that match; tell them apart by host or attributes: "
          "web1{state=\"used\"} web2{state=\"used\"}\n");
}

namespace {

// One test of several hosts' series of CPU, a sample every 15 s, each as {host, values, more}.
struct HostSeries {
    std::string host;
    std::string values;
    std::string more;
};
std::string fleet_test(const std::string& rule, const std::vector<HostSeries>& series,
                       const std::string& expect, const std::string& more = "") {
    std::string toml = "[[test]]\nname = \"t\"\nrule = \"" + rule + "\"\n" + more + "series = [";
    for (const HostSeries& one : series) {
        toml += " { host = \"" + one.host +
                "\", metric = \"system.cpu.utilization\", attributes = { state = \"used\" }, "
                "values = \"" +
                one.values + "\"" + one.more + " },";
    }
    return toml + " ]\nexpect = [ " + expect + " ]\n";
}

constexpr const char* kSilent = R"(
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "45s"
levels = [ { severity = "P1" } ]
mass = { share = "50%", min_hosts = 3, within = "60s", severity = "P1" }
summary = "{host}: {value}"
)";

}  // namespace

TEST_CASE("a host that goes silent is told in a test, and its return") {
    const auto test = [](const std::string& expect, const std::string& more = "") {
        return failures(
            fleet_test("host.silent", {{"web1", "1%x5 _x15 1%x5", ""}, {"web2", "1%x25", ""}},
                       expect, more),
            kSilent);
    };
    // Heard of last at 1m; so long as 45 s and the second in which it is seen.
    CHECK(test(R"(
        { at = "1m45s", host = "web1", state = "ok" },
        { at = "1m46s", host = "web1", state = "firing", severity = "P1", summary = "web1: 46s" },
        { at = "4m59s", host = "web1", state = "firing" },
        { at = "5m", host = "web1", state = "ok" },
        { at = "6m", host = "web2", alerts = 0 })",
               "alerts = 1\n") == "");
    CHECK(test(R"({ at = "1m46s", host = "web1", state = "ok" })") == "1m46s: state ok / firing\n");
    // What a failure shows of it, and time that goes on behind the last sample.
    CHECK(test("", "alerts = 1\nuntil = \"6m45s\"\n") == "");
    CHECK(test("", "alerts = 3\nuntil = \"6m46s\"\n") == "");
    // Slow senders have three of their intervals.
    CHECK(failures(fleet_test("host.silent", {{"web1", "1%x5", ", interval = \"1m\""}}, R"(
        { at = "7m", state = "ok" }, { at = "7m1s", state = "firing" })"),
                   kSilent) == "");
    // An outage of the collector's network: what was held comes as backlog, and the host is back.
    CHECK(failures(fleet_test("host.silent", {{"web1", "1%x80", ", held_until = \"10m\""}}, R"(
        { at = "15m", alerts = 0 })"),
                   kSilent) == "");
}

TEST_CASE("many hosts that go silent at once are one alert in a test") {
    std::vector<HostSeries> hosts;
    for (const char* host : {"a", "b", "c", "d"})
        hosts.push_back({host, "1%x5", ""});
    hosts.push_back({"e", "1%x60", ""});
    CHECK(failures(fleet_test("host.silent", hosts, R"(
        { at = "2m", attributes = { scope = "mass" }, state = "firing", severity = "P1" },
        { at = "2m", host = "a", state = "ok" })",
                              "alerts = 1\n"),
                   kSilent) == "");
}

TEST_CASE("data that stay away are judged in a test, by the rule's no_data") {
    const auto rule = [](const std::string& no_data) {
        return std::string(kRules) + "stale_after = \"45s\"\nno_data = \"" + no_data + "\"\n";
    };
    const auto test = [&](const std::string& no_data, const std::string& values,
                          const std::string& expect) {
        return failures(one_test(values, expect), rule(no_data));
    };
    // Of 1m45s is the last sample.
    CHECK(test("hold", "85%x8 _x40 85%", R"(
        { at = "2m30s", state = "firing", stale = false },
        { at = "2m31s", state = "firing", stale = true },
        { at = "11m", state = "firing", stale = true },
        { at = "12m1s", state = "firing", stale = false, alerts = 1 })") == "");
    CHECK(test("hold", "85%x4 _x40", R"(
        { at = "1m30s", state = "pending" }, { at = "1m31s", state = "ok", stale = true })") == "");
    CHECK(test("resolve_after:5m", "85%x8 _x40", R"(
        { at = "7m29s", state = "firing" }, { at = "7m30s", state = "ok", alerts = 1 })") == "");
    CHECK(test("ok", "85%x8 _x40", R"(
        { at = "2m59s", state = "firing" }, { at = "3m", state = "ok" })") == "");
    // Good data, then none: after 45 s and the level's minute.
    CHECK(test("fire", "50%x8 _x40", R"(
        { at = "3m29s", state = "ok" }, { at = "3m30s", state = "firing", severity = "P3" })") ==
          "");
    CHECK(test("hold", "85%x8 _x40", R"({ at = "11m", stale = false })") ==
          "11m: not stale / its data stay away\n");
    CHECK(test("hold", "85%x8", R"({ at = "1m", stale = true })") == "1m: stale / its data come\n");
}

TEST_CASE("a fleet's share is judged in a test, by its group") {
    constexpr const char* kFleet = R"(
[[rule]]
id = "web.busy"
metric = "system.cpu.utilization"
where = { state = "used" }
by = ["tag.role"]
fleet = { agg = "share", over = "80%", min_members = 3 }
levels = [ { at = "40%", for = "1m", severity = "P2" } ]
clear_for = "30s"
)";
    const std::string web = ", tags = { role = \"web\" }";
    CHECK(failures(fleet_test("web.busy",
                              {{"a", "50%x4 90%x8 50%x8", web},
                               {"b", "50%x4 90%x8 50%x8", web},
                               {"c", "50%x20", web},
                               {"d", "90%x20", ", tags = { role = \"db\" }"}},
                              R"(
        { at = "1m", attributes = { "tag.role" = "web" }, state = "pending" },
        { at = "1m59s", attributes = { "tag.role" = "web" }, state = "pending" },
        { at = "2m", attributes = { "tag.role" = "web" }, state = "firing", severity = "P2", value = "66.666666%" },
        { at = "3m", attributes = { "tag.role" = "web" }, state = "clearing" },
        { at = "3m30s", attributes = { "tag.role" = "web" }, state = "ok" })",
                              "alerts = 1\n"),
                   kFleet) == "");
}

TEST_CASE("a wrong test file is refused with the place of every mistake") {
    CHECK(failures("") == "t.toml:1:1: there is no [[test]] in this file\n");
    CHECK(failures("[[test]]\nname = \"t\"\nrule = \"cpu\"\nseries = [ { metric = "
                   "\"system.cpu.utilisation\", values = \"1\" } ]\nalerts = 0\n") ==
          "t.toml:4:23: unknown metric \"system.cpu.utilisation\"; did you mean "
          "\"system.cpu.utilization\"?\n");
    const std::string errors = failures(one_test("70%y3", R"({ at = "1m", stat = "ok" })"));
    CHECK(errors.find("t.toml:4:") == 0);
    CHECK(errors.find("values: \"70%y3\": ") != std::string::npos);
    CHECK(errors.find("unknown key \"stat\"") != std::string::npos);
    CHECK(failures(one_test("1", R"({ at = "1m" })"))
              .find("say what is expected: state, stale, severity, value, summary or alerts") !=
          std::string::npos);
    CHECK(failures("[[test]]\nname = \"t\"\nseries = [ { metric = \"system.uptime\", values = "
                   "\"1\" }, { metric = \"system.uptime\", values = \"2\" } ]\nalerts = 0\n")
              .find("this series of host1 is there twice") != std::string::npos);
}

TEST_CASE("test-rules counts, and its exit code tells failures from mistakes") {
    const test::TempDir dir;
    const auto write = [&](const char* name, const std::string& text) {
        REQUIRE(write_file_atomic(dir.path() / name, text, 0644));
        return dir.path() / name;
    };
    write("rules.toml", kRules);
    const std::string head = "rules = \"rules.toml\"\n";
    const auto good =
        write("good.toml", head + one_test("85%x6", R"({ at = "1m", state = "firing" })"));
    const auto bad = write("bad.toml", head + one_test("85%x6", R"({ at = "1m", state = "ok" })"));
    const auto broken = write("broken.toml", head + "[[test]]\n");
    const auto run = [](TestRulesOptions options) {
        std::ostringstream out, errors;
        const int code = run_test_rules(
            options, [] { return LoadedRules{}; }, out, errors);
        return std::to_string(code) + ' ' + out.str() + errors.str();
    };
    CHECK(run({{good}, {}, false}) == "0 1 passed, 0 failed\n");
    CHECK(run({{good, bad}, {}, false}) ==
          "1 FAILED t\n  " + bad.string() +
              ":6:12: at 1m (2026-03-02T10:01:00Z): expected state ok, got firing\n      web1 "
              "system.cpu.utilization{state=\"used\"}: 85.0%x5 (the newest at 1m)\n1 passed, 1 "
              "failed\n");
    CHECK(run({{broken, good}, {}, false}).starts_with("2 1 passed, 0 failed\n"));
    CHECK(run({{dir.path() / "none.toml"}, {}, false}).starts_with("2 0 passed, 0 failed\n"));
    CHECK(run({{good}, {dir.path() / "none.toml"}, false}).starts_with("2 "));
    CHECK(run({{bad}, {}, true}).find("\"failed\":1,") != std::string::npos);
}
