#include "collector/rule/rule_parser.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "common/base/file.h"
#include "tests/support/catch.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

std::string errors_of(const std::string& toml) {
    auto document = ConfigDocument::parse(toml, "r.toml");
    (void)read_rules(document);
    return to_string(document.errors());
}

const std::filesystem::path kPackaged =
    std::filesystem::path(RIDGELINE_FIXTURES) / "../../packaging/rules";

}  // namespace

TEST_CASE("what a rule cannot mean is refused with its place and what was meant", "[rule_parser]") {
    CHECK(errors_of("[[rule]]\nid = \"a\"\nmetric = \"system.cpu.utilisation\"\n") ==
          "r.toml:3:10: unknown metric \"system.cpu.utilisation\"; did you mean "
          "\"system.cpu.utilization\"?\n");
    const std::string head = "[[rule]]\nid = \"a\"\nmetric = \"system.cpu.utilization\"\n";
    const std::string levels = "levels = [ { at = \"80%\" } ]\n";
    CHECK(
        errors_of(head + levels + "where = { stat = \"used\" }\n") ==
        "r.toml:5:18: system.cpu.utilization has no attribute \"stat\"; did you mean \"state\"?\n");
    CHECK(errors_of(head + "levels = [ { at = \"80GiB\" } ]\n") ==
          "r.toml:4:19: at: \"80GiB\" is not a number in the metric's unit (1); write for example "
          "\"80%\"\n");
    CHECK(errors_of(head + levels + "summry = \"x\"\n") ==
          "r.toml:5:1: unknown key \"summry\"; did you mean \"summary\"?\n");
    CHECK(errors_of(head + levels + "clear = \"90%\"\n") ==
          "r.toml:5:9: clear lies on the firing side of the mildest level; it would never clear\n");
    CHECK(errors_of(head + levels + "baseline = { season = \"1w\" }\n") ==
          "r.toml:5:12: baseline is not supported by this version; take it out, or set enabled = "
          "false\n");
    CHECK(errors_of(head + levels + "host = \"~web[\"\n").find("is not a regular expression") !=
          std::string::npos);
    CHECK(errors_of(head + levels + "op = \"=>\"\n").find("op must be one of") !=
          std::string::npos);
    CHECK(errors_of(head + "levels = [ { at = \"80%\", severity = \"P2\" }, { at = \"95%\", "
                           "severity = \"P3\" } ]\n") ==
          "r.toml:4:10: P2 is reached before P3; a graver level needs a threshold further out\n");
    CHECK(errors_of(head).find("every rule needs levels") != std::string::npos);
    CHECK(
        errors_of(head + levels + head + levels).find("there is another rule \"a\" in this file") !=
        std::string::npos);
    CHECK(errors_of(head + levels).empty());
}

namespace {

// One key too many, or wrong, in line 4 of an otherwise good rule.
std::string error_of(const std::string& line, const std::string& metric = "system.cpu.utilization",
                     const std::string& levels = "levels = [ { at = 1 } ]\n") {
    return errors_of("[[rule]]\nid = \"a\"\nmetric = \"" + metric + "\"\n" + line + "\n" + levels);
}

}  // namespace

TEST_CASE("what a window cannot be is said with its place", "[rule_parser]") {
    CHECK(error_of("agg = \"p95\"") ==
          "r.toml:4:7: agg = \"p95\" needs a window, such as window = \"1m\"\n");
    CHECK(error_of("agg = \"p96\"\nwindow = \"1m\"").find("r.toml:4:7: agg must be one of") == 0);
    CHECK(error_of("window = \"1m\"\nagg = \"last\"") ==
          "r.toml:4:10: agg = \"last\" looks at one sample; a window needs another agg, such as "
          "\"avg\"\n");
    CHECK(error_of("window = \"48h\"") == "r.toml:4:10: window must be from 1s to 1d\n");
    CHECK(error_of("min_coverage = 1.5") == "r.toml:4:16: min_coverage must be from 0 to 1\n");
    CHECK(error_of("counter_bits = 32") ==
          "r.toml:4:16: counter_bits is for agg = \"rate\" or \"delta\" of a metric that counts\n");
    CHECK(error_of("agg = \"rate\"\nwindow = \"1m\"\ncounter_bits = 48", "system.network.io") ==
          "r.toml:6:16: counter_bits must be 32 or 64\n");
    CHECK(error_of("rate = \"2m\"") ==
          "r.toml:4:8: for a rate, write agg = \"rate\" and a window\n");
    CHECK(error_of("agg = \"rate\"\nwindow = \"1m\"", "system.network.io",
                   "levels = [ { at = \"10MiB\" } ]\n")
              .empty());
    CHECK(error_of("agg = \"rate\"\nwindow = \"1m\"", "system.cpu.time",
                   "levels = [ { at = \"80%\" } ]\n")
              .empty());
}

TEST_CASE("a unit nobody knows is refused with the one that was meant", "[rule_parser]") {
    CHECK(error_of("window = \"5mins\"") ==
          "r.toml:4:10: window: \"5mins\" is not a duration; write for example \"250ms\", \"10s\", "
          "\"5m\" or \"30d\"; did you mean \"5m\"?\n");
    const auto at = [](const std::string& value, const std::string& metric) {
        return error_of("", metric, "levels = [ { at = \"" + value + "\" } ]\n");
    };
    CHECK(at("80Gb", "system.filesystem.usage") ==
          "r.toml:5:19: at: \"80Gb\" is not a size; write for example \"64KiB\", \"256MiB\" or "
          "\"8GiB\"; did you mean \"80GB\"?\n");
    CHECK_THAT(at("1h30min", "system.uptime"),
               Catch::Matchers::Contains("did you mean \"1h30m\"?"));
    CHECK_THAT(at("80G", "system.filesystem.usage"),
               Catch::Matchers::Contains("did you mean \"80GiB\"?"));
    CHECK_THAT(
        at("80%", "system.filesystem.usage"),
        Catch::Matchers::Contains("a percentage needs a ratio metric; this one's unit is By"));
    // A function, and what it cannot be near to.
    CHECK_THAT(error_of("agg = \"p96\"\nwindow = \"1m\""),
               Catch::Matchers::Contains("r.toml:4:7: agg must be one of") &&
                   Catch::Matchers::Contains("did you mean \"p9"));
    CHECK_THAT(at("3months", "system.uptime"), !Catch::Matchers::Contains("did you mean"));
    CHECK_THAT(at("12xyz", "system.filesystem.usage"), !Catch::Matchers::Contains("did you mean"));
}

TEST_CASE("what a level cannot be is said with its place", "[rule_parser]") {
    const auto level = [](const std::string& text) {
        return error_of("", "system.cpu.utilization", "levels = [ { " + text + " } ]\n");
    };
    CHECK(level("at = 1, m_of_n = [3, 5]").empty());
    CHECK(level("at = 1, m_of_n = [6, 5]") ==
          "r.toml:5:31: m_of_n is how many of how many, such as [3, 5]; at most of 100\n");
    CHECK(level("at = 1, m_of_n = [1, 101]").find("at most of 100") != std::string::npos);
    CHECK(level("at = 1, m_of_n = [1]").find("such as [3, 5]") != std::string::npos);
    CHECK(level("at = 1, m_of_n = \"3/5\"").find("must be an array of integers") !=
          std::string::npos);
    CHECK(level("at = 1, m_of_n = [3, 5], for = \"5m\"") ==
          "r.toml:5:45: a level has m_of_n or for, not both\n");
    std::string many;
    for (int i = 0; i < 9; ++i)
        many += "{ at = " + std::to_string(i) + " }, ";
    CHECK(error_of("", "system.uptime", "levels = [ " + many + "]\n") ==
          "r.toml:5:10: a rule has at most 8 levels\n");
    CHECK(error_of("lower_severity = \"nevr\"").find("did you mean \"never\"?") !=
          std::string::npos);
    CHECK(error_of("was = \"a\"") == "r.toml:4:7: was is the rule's own id\n");
    CHECK(error_of("was = \"a b\"").find("r.toml:4:7: was is the id the rule had before") == 0);
}

TEST_CASE("what another metric cannot be is said with its place", "[rule_parser]") {
    CHECK(error_of("and = { metric = \"system.memory.utilisation\", value = 1 }") ==
          "r.toml:4:18: unknown metric \"system.memory.utilisation\"; did you mean "
          "\"system.memory.utilization\"?\n");
    CHECK(error_of("and = { value = 1 }") == "r.toml:4:7: metric must name a metric\n");
    CHECK(error_of("and = { metric = \"system.network.link.up\", value = 1 }") ==
          "r.toml:4:7: system.network.link.up has the attribute \"interface\", which "
          "system.cpu.utilization has not; say "
          "which is meant, such as where = { interface = \"…\" }\n");
    CHECK(error_of("and = { metric = \"system.memory.utilization\" }") ==
          "r.toml:4:7: and needs a value, such as value = \"50GiB\"\n");
    CHECK(
        error_of(
            "and = { metric = \"system.memory.utilization\", value = \"80%\", clear = \"90%\" }") ==
        "r.toml:4:70: clear lies on the side where the condition holds\n");
    CHECK(error_of("and = { metric = \"system.memory.utilization\", value = \"80%\", at = 1 }")
              .find("unknown key \"at\"") != std::string::npos);
    CHECK(error_of("and = { metric = \"system.memory.utilization\", where = { stat = \"used\" }, "
                   "value = 1 }")
              .find("did you mean \"state\"?") != std::string::npos);
    CHECK(error_of("divide_by = { metric = \"system.memory.limits\" }")
              .find("did you mean \"system.memory.limit\"?") != std::string::npos);
    CHECK(error_of("divide_by = { metric = \"system.memory.limit\" }", "system.memory.usage",
                   "levels = [ { at = \"80%\" } ]\n")
              .empty());
    CHECK(error_of("unless = { kind = \"x\" }") ==
          "r.toml:4:19: system.cpu.utilization has no attribute \"kind\"\n");
    CHECK(error_of("unless = { state = \"~(\" }").find("is not a regular expression") !=
          std::string::npos);
}

TEST_CASE("what a forecast cannot be is said with its place", "[rule_parser]") {
    const auto forecast = [](const std::string& text,
                             const std::string& levels = "levels = [ { for = \"5m\" } ]\n") {
        return error_of("forecast = { " + text + " }", "system.filesystem.usage", levels);
    };
    CHECK(forecast("reaches = \"system.filesystem.limit\", within = \"4h\"").empty());
    CHECK(forecast("reaches = \"100GiB\", within = \"4h\"").empty());
    CHECK(forecast("reaches = \"100GiB\"", "levels = [ { at = \"4h\" } ]\n").empty());
    CHECK(
        forecast("within = \"4h\"") ==
        "r.toml:4:12: forecast needs what is reached: a value such as \"95%\", or a metric such as "
        "\"system.filesystem.limit\"\n");
    CHECK(forecast("reaches = \"system.filesystem.limt\", within = \"4h\"") ==
          "r.toml:4:24: unknown metric \"system.filesystem.limt\"; did you mean "
          "\"system.filesystem.limit\"?\n");
    CHECK(forecast("reaches = \"system.uptime\", within = \"4h\"") ==
          "r.toml:4:24: system.filesystem.usage is in By, system.uptime in s\n");
    CHECK(
        forecast("reaches = \"90%\", within = \"4h\"").find("a percentage needs a ratio metric") !=
        std::string::npos);
    CHECK(forecast("reaches = 0, within = \"4h\"") ==
          "r.toml:4:24: what is reached must be more than 0\n");
    CHECK(forecast("reaches = 1") ==
          "r.toml:5:12: every level needs a time, such as at = \"4h\", or forecast needs within\n");
    CHECK(forecast("reaches = 1, within = \"4h\", window = \"1m\"") ==
          "r.toml:4:51: window must be from 10m to 1d\n");
    CHECK(forecast("reaches = 1, within = \"4h\", min_used = \"101%\"") ==
          "r.toml:4:53: min_used must be from 0% to 100%\n");
    CHECK(forecast("reaches = 1, within = \"4h\", min_points = 3")
              .find("min_points must be from 8") != std::string::npos);
    CHECK(forecast("reaches = 1, within = \"4h\" }\nop = \">\"\nunless = { ") ==
          "r.toml:5:6: a forecast is the time left; its op can be \"<\" or \"<=\"\n");
    CHECK(forecast("reaches = 1, within = \"4h\" }\nagg = \"avg\"\nunless = { ") ==
          "r.toml:5:7: agg cannot stand beside forecast\n");
}

TEST_CASE("what an override cannot be is said with its place", "[rule_parser]") {
    const std::string head =
        "[[rule]]\nid = \"a\"\nmetric = \"system.cpu.utilization\"\nwhere = { state = \"used\" "
        "}\nlevels = [ { at = "
        "\"80%\" } ]\nclear = \"75%\"\n[[rule.override]]\n";
    CHECK(errors_of(head + "host = \"a\"\nlevels = [ { at = \"90%\" } ]\n").empty());
    CHECK(errors_of(head + "clear = \"70%\"\n") ==
          "r.toml:7:1: an override needs host, tags or where to say whom it is for\n");
    CHECK(errors_of(head + "host = \"a\"\nlevels = [ { at = \"70%\" } ]\n") ==
          "r.toml:7:1: clear lies on the firing side of the mildest level; it would never clear\n");
    CHECK(errors_of(head + "where = { state = \"idle\" }\n") ==
          "r.toml:8:9: alerts of this rule are not told apart by state; put it into by\n");
    CHECK(errors_of(head + "host = \"a\"\nwindow = \"5m\"\n").find("unknown key \"window\"") !=
          std::string::npos);
    CHECK(errors_of(head + "host = \"a\"\nsummary = \"{hots}\"\n") ==
          "r.toml:9:11: summary: {hots} is not known; did you mean {host}?\n");
    std::string many = head + "host = \"a\"\n";
    for (int i = 0; i < 32; ++i)
        many += "[[rule.override]]\nhost = \"a\"\n";
    CHECK(errors_of(many).find("a rule has at most 32 overrides") != std::string::npos);
}

TEST_CASE("a file's defaults are for all its rules that do not say otherwise", "[rule_parser]") {
    auto document = ConfigDocument::parse(
        "[defaults]\nmax_gap = \"2m\"\nclear_for = \"5m\"\nmin_coverage = 0.5\n"
        "[[rule]]\nid = \"a\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n"
        "[[rule]]\nid = \"b\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\nmax_gap = "
        "\"3m\"\nclear_for = "
        "\"0s\"\nmin_coverage = 0.9\n",
        "r.toml");
    const auto rules = read_rules(document);
    REQUIRE(to_string(document.errors()).empty());
    CHECK(rules[0].max_gap == std::chrono::minutes{2});
    CHECK(rules[0].clear_for == std::chrono::minutes{5});
    CHECK(rules[0].reduction.coverage_min == 0.5);
    CHECK(rules[1].max_gap == std::chrono::minutes{3});
    CHECK(rules[1].clear_for == std::chrono::minutes{0});
    CHECK(rules[1].reduction.coverage_min == 0.9);
    CHECK(errors_of("[defaults]\nmax_gp = \"2m\"\n") ==
          "r.toml:2:1: unknown key \"max_gp\"; did you mean \"max_gap\"?\n");
}

TEST_CASE("fingerprints differ where rules behave differently, and only there", "[rule_parser]") {
    const auto fingerprint = [](const std::string& more) {
        auto document = ConfigDocument::parse(
            "[[rule]]\nid = \"a\"\nmetric = \"system.network.errors\"\nlevels = [ { at = 1 } ]\n" +
                more,
            "r.toml");
        const auto rules = read_rules(document);
        REQUIRE(to_string(document.errors()) == "");
        return rules[0].fingerprint;
    };
    const std::string plain = fingerprint("");
    for (const char* same :
         {"summary = \"x\"\n", "runbook = \"x\"\n", "was = \"b\"\n", "op = \">\"\n"})
        CHECK(fingerprint(same) == plain);
    const std::vector<std::string> others = {
        "op = \">=\"\n",
        "host = \"a\"\n",
        "tags = { a = \"b\" }\n",
        "where = { interface = \"a\" }\n",
        "unless = { interface = \"a\" }\n",
        "by = []\n",
        "by = [\"interface\"]\n",
        "clear = 0.5\n",
        "clear_for = \"2m\"\n",
        "max_gap = \"2m\"\n",
        "lower_severity = \"never\"\n",
        "slot = \"1m\"\n",
        "window = \"1m\"\n",
        "window = \"2m\"\n",
        "window = \"1m\"\nagg = \"max\"\n",
        "window = \"1m\"\nmin_coverage = 0.1\n",
        "window = \"1m\"\nagg = \"rate\"\n",
        "window = \"1m\"\nagg = \"rate\"\ncounter_bits = 32\n",
        "divide_by = { metric = \"system.network.packets\" }\n",
        "and = { metric = \"system.network.packets\", value = 1 }\n",
        "and = { metric = \"system.network.packets\", value = 2 }\n",
        "and = { metric = \"system.network.packets\", op = \"<\", value = 1 }\n",
        "forecast = { reaches = 10 }\n",
        "forecast = { reaches = 11 }\n",
        "forecast = { reaches = 10, min_used = 0.5 }\n",
        "[[rule.override]]\nhost = \"a\"\nclear = 0.5\n",
        "[[rule.override]]\nhost = \"b\"\nclear = 0.5\n",
        "[[rule.override]]\nhost = \"a\"\nmax_gap = \"5m\"\n",
        "[[rule.override]]\nhost = \"a\"\nenabled = false\n"};
    std::set<std::string> seen = {plain};
    for (const std::string& more : others) {
        INFO(more);
        CHECK(seen.insert(fingerprint(more)).second);
    }
}

TEST_CASE("a rule of one's own replaces the packaged one, or turns it off", "[rule_parser]") {
    const test::TempDir packaged, own;
    const std::string rule =
        "[[rule]]\nid = \"a\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n";
    std::ofstream(packaged.path() / "host.toml")
        << rule << "[[rule]]\nid = \"b\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n";
    std::ofstream(own.path() / "mine.toml")
        << "[[rule]]\nid = \"a\"\nmetric = \"system.uptime\"\nlevels = [ { at = 2 } ]\n"
        << "[[rule]]\nid = \"b\"\nenabled = false\n";
    const LoadedRules loaded = load_rules(packaged.path(), own.path());
    CHECK(to_string(loaded.errors).empty());
    REQUIRE(loaded.rules.size() == 1);
    CHECK(loaded.rules[0].id == "a");
    CHECK(loaded.rules[0].levels[0].at == 2);
}

TEST_CASE("every example of the rules' description is one that loads", "[rule_parser]") {
    const std::string text =
        read_file(std::filesystem::path(RIDGELINE_FIXTURES) / "../../collector/rule/RULES.md")
            .value();
    const std::string fence = "```toml\n";
    int examples = 0;
    for (std::size_t at = text.find(fence); at != std::string::npos;
         at = text.find(fence, at + 1)) {
        const std::size_t begin = at + fence.size();
        const std::string example = text.substr(begin, text.find("```", begin) - begin);
        INFO(example);
        CHECK(errors_of(example) == "");
        ++examples;
    }
    CHECK(examples == 10);
}

TEST_CASE("one bad file does not keep the others from being used", "[rule_parser]") {
    const test::TempDir own;
    std::ofstream(own.path() / "bad.toml") << "[[rule]]\nid = \"x\"\nmetric = \"nonsense\"\n";
    std::ofstream(own.path() / "good.toml")
        << "[[rule]]\nid = \"y\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n";
    const LoadedRules loaded = load_rules("/nonexistent", own.path());
    CHECK(loaded.errors.size() == 1);
    REQUIRE(loaded.rules.size() == 1);
    CHECK(loaded.rules[0].id == "y");
}

TEST_CASE("the packaged rules load and hold the maintenance plan's numbers", "[rule_parser]") {
    const LoadedRules loaded = load_rules(kPackaged, "/nonexistent");
    CHECK(to_string(loaded.errors).empty());
    REQUIRE(loaded.rules.size() >= 7);

    test::Story cpu(read_file(kPackaged / "host.toml").value());
    for (int t = 0; t <= 420; ++t)
        cpu.at(t, 0.81);
    REQUIRE(cpu.transitions().size() == 1);
    CHECK(cpu.transitions()[0].rule == "cpu.sustained");
    CHECK(cpu.transitions()[0].severity == Severity::p3);
    const double fired_s =
        static_cast<double>(cpu.transitions()[0].time_ms - test::Story::kStartMs) / 1000;
    CHECK(fired_s >= 300);
    CHECK(fired_s <= 360);  // 5 minutes of a 1-minute average

    test::Story disk(read_file(kPackaged / "host.toml").value());
    const SeriesDescriptor fs{
        "system.filesystem.utilization",
        {{"device", "/dev/sda1"}, {"mountpoint", "/"}, {"state", "used"}, {"type", "ext4"}}};
    for (int t = 0; t <= 400; t += 10)
        disk.of(1, fs, t, 0.91);
    CHECK(disk.told() == "300:FIRING:P3");
    CHECK(disk.transitions()[0].summary == "a1: / is 91.0% full");
}
