#include "collector/rule/rule_parser.h"

#include <filesystem>
#include <fstream>
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
          "r.toml:4:19: at: \"80GiB\" is not a number in the metric's unit (1)\n");
    CHECK(errors_of(head + levels + "summry = \"x\"\n") ==
          "r.toml:5:1: unknown key \"summry\"; did you mean \"summary\"?\n");
    CHECK(errors_of(head + levels + "clear = \"90%\"\n") ==
          "r.toml:5:9: clear lies on the firing side of the mildest level; it would never clear\n");
    CHECK(errors_of(head + levels + "no_data = \"fire\"\n") ==
          "r.toml:5:11: no_data = \"fire\" is not supported by this version; only \"hold\" is\n");
    CHECK(errors_of(head + levels + "forecast = { within = \"4h\" }\n") ==
          "r.toml:5:12: forecast is not supported by this version; take it out, or set enabled = "
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
