#include "collector/cloudwatch/control_config.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

CloudWatchControlConfig read(const std::string& text, const std::string& errors = "") {
    auto document = ConfigDocument::parse("[cloudwatch]\n" + text, "c.toml");
    ConfigTable root = document.root();
    ConfigTable table = root.table("cloudwatch");
    CloudWatchControlConfig config = read_cloudwatch_control_config(table);
    root.close();
    CHECK(to_string(document.errors()) == errors);
    return config;
}

}  // namespace

TEST_CASE("alarms and dashboards have defaults, and keys for all of it", "[control_config]") {
    CHECK(read("") == CloudWatchControlConfig{});
    const auto config = read(
        "owner = \"eu\"\n[cloudwatch.alarms]\nprefix = \"rl\"\nlevels = \"gravest\"\nok_actions = "
        "false\nactions = { P1 = \"arn:aws:sns:eu-central-1:1:a\", P2 = "
        "[\"arn:aws:sns:eu-central-1:1:b\"] "
        "}\n[cloudwatch.dashboards]\nboards = [\"fleet\"]\nalb = [\"app/a/1\"]\nguardduty_rule = "
        "\"gd\"\nguardduty_log_group = \"/aws/events/gd\"\n");
    CHECK(config.owner == "eu");
    CHECK(config.alarms.gravest_only);
    CHECK(config.alarms.actions.at(Severity::p2) ==
          std::vector<std::string>{"arn:aws:sns:eu-central-1:1:b"});
    CHECK(config.dashboards.resources.at("alb").size() == 1);
    CHECK(config.dashboards.guardduty_log_group == "/aws/events/gd");
}

TEST_CASE("what AWS would refuse is refused before, with its place", "[control_config]") {
    read("owner = \"a b\"\n", "c.toml:2:9: owner must be 1 to 64 letters, digits, '_' and '-'\n");
    read("[cloudwatch.alarms]\nactions = { P1 = \"ops\" }\n",
         "c.toml:3:18: an action is an ARN, such as "
         "\"arn:aws:sns:eu-central-1:123456789012:ops\"\n");
    read("[cloudwatch.alarms]\nactions = { P9 = \"arn:aws:sns:e:1:a\" }\n",
         "c.toml:3:18: actions are for P1, P2, P3 and P4\n");
    const std::string arn = "\"arn:aws:sns:e:1:a\", ";
    read("[cloudwatch.alarms]\nactions = { P1 = [" + arn + arn + arn + arn + arn + arn + "] }\n",
         "c.toml:3:18: an alarm has at most 5 actions\n");
    read("[cloudwatch.dashboards]\nboards = [\"flet\"]\n",
         "c.toml:3:10: \"flet\" is no board; there are fleet, host, certificates and aws\n");
    read("[cloudwatch.dashboards]\nguardduty_log_group = \"a'b\"\n",
         "c.toml:3:23: guardduty_log_group has a character that no such name has\n");
    read("[cloudwatch.alarms]\nlevel = \"all\"\n",
         "c.toml:3:1: unknown key \"level\"; did you mean \"levels\"?\n");
}
