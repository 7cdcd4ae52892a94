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
std::string failures(const std::string& toml) {
    auto document = ConfigDocument::parse(toml, "t.toml");
    const RuleTestFile file = read_rule_tests(document, "/");
    if (!document.ok()) return to_string(document.errors());
    const auto rules = test::rules_from(kRules);
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
              .find("say what is expected: state, severity, value, summary or alerts") !=
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
