#include "collector/rule/cloudwatch_fit.h"

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

std::string refused(const std::string& rest, const std::string& metric = "system.cpu.utilization") {
    auto document = ConfigDocument::parse(
        "[[rule]]\nid = \"a\"\nmetric = \"" + metric + "\"\ncloudwatch_alarm = true\n" + rest,
        "r.toml");
    (void)read_rules(document);
    return to_string(document.errors());
}

const std::string kLevels = "levels = [ { at = \"80%\", for = \"5m\" } ]\n";

}  // namespace

TEST_CASE("a rule that CloudWatch has no alarm for is refused with its place and why",
          "[cloudwatch_fit]") {
    CHECK(refused(kLevels).empty());
    CHECK(refused(
              "forecast = { reaches = \"100%\", within = \"4h\" }\nlevels = [ { for = \"5m\" } ]\n")
              .find("r.toml:5:12: cloudwatch_alarm: CloudWatch draws no such line") == 0);
    CHECK(
        refused(kLevels + "fleet = { agg = \"avg\" }\n")
            .find("r.toml:6:9: cloudwatch_alarm: an alarm of CloudWatch's looks at the metrics of "
                  "one host") == 0);
    CHECK(refused(kLevels + "and = { metric = \"system.uptime\", value = 5 }\n")
              .find("r.toml:6:7: cloudwatch_alarm: an alarm of CloudWatch's looks at one value") ==
          0);
    CHECK(refused("levels = [ { at = 1 } ]\nop = \"!=\"\n").find("r.toml:6:6: ") == 0);
    CHECK(refused(kLevels + "window = \"90s\"\nagg = \"count\"\n").find("whole minutes") !=
          std::string::npos);
    CHECK(refused("levels = [ { at = \"80%\", for = \"8d\" } ]\n").find("a week at most, not 8d") !=
          std::string::npos);
    CHECK(refused("levels = [ { at = \"80%\", for = \"2d\" } ]\n").empty());
    CHECK(refused("window = \"1m\"\nlevels = [ { at = \"80%\", for = \"2d\" } ]\n")
              .find("windows shorter than an hour") != std::string::npos);
    CHECK(refused("levels = [ { at = \"80%\", m_of_n = [3, 5] } ]\n").find("give slot") !=
          std::string::npos);
    CHECK(refused("slot = \"1m\"\nlevels = [ { at = \"80%\", m_of_n = [3, 5] } ]\n").empty());
}

TEST_CASE("a counter's rate may rise, not fall; a gauge has none", "[cloudwatch_fit]") {
    const std::string rate = "agg = \"rate\"\nwindow = \"2m\"\nlevels = [ { at = 10 } ]\n";
    CHECK(refused(rate, "system.network.errors").empty());
    CHECK(refused(rate + "op = \"<\"\n", "system.network.errors").find("look like a fall") !=
          std::string::npos);
    CHECK(refused(rate, "system.uptime").find("no rate and no delta") != std::string::npos);
}

TEST_CASE("an override is held to the same", "[cloudwatch_fit]") {
    const std::string longer =
        kLevels + "[[rule.override]]\nhost = \"a\"\nlevels = [ { at = 0.9, for = \"30d\" } ]\n";
    CHECK(refused(longer).find("levels of an override") != std::string::npos);
}

TEST_CASE("the mark says where it stands, and changes nothing of how the rule behaves",
          "[cloudwatch_fit]") {
    const std::string plain =
        "[[rule]]\nid = \"a\"\nmetric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n";
    const auto without = test::rules_from(plain);
    const auto with = test::rules_from(plain + "cloudwatch_alarm = true\n");
    CHECK(without[0].cloudwatch_alarm.empty());
    CHECK(with[0].cloudwatch_alarm == "rules.toml:5:20");
    CHECK(with[0].fingerprint == without[0].fingerprint);
}
