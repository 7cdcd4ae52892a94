#include "collector/notify/config.h"

#include "tests/support/catch.h"

namespace ridgeline::collector {
namespace {

using Catch::Contains;
using namespace std::chrono_literals;

NotifyConfig read(const std::string& text, std::string* errors = nullptr) {
    ConfigDocument document = ConfigDocument::parse(text, "collector.toml");
    ConfigTable root = document.root();
    NotifyConfig config = read_notify_config(root);
    root.close();
    if (errors != nullptr) {
        *errors = to_string(document.errors());
    } else {
        INFO(to_string(document.errors()));
        REQUIRE(document.ok());
    }
    return config;
}

std::string errors_of(const std::string& text) {
    std::string errors;
    read(text, &errors);
    return errors;
}

TEST_CASE("targets of every type, and who is told what", "[notify-config]") {
    const NotifyConfig config = read(R"(
[notify]
wait = "5s"
interval = "2m"
group_by = ["rule", "tag.role"]
repeat = { P1 = "5m", P4 = "0s" }
[target.hook]
type = "webhook"
url = "https://cmdb.example.net/hook"
hmac_key = "shared"
[target.slack]
type = "slack"
url = "https://hooks.slack.com/services/T/B/x"
fallback = "mail"
[target.bot]
type = "slack"
token = "xoxb-1"
channel = "C0123456789"
[target.pd]
type = "pagerduty"
routing_key = "0123456789abcdef0123456789abcdef"
[target.mail]
type = "email"
smtp = "smtp://mail.example.com:587"
from = "ridgeline@example.com"
to = "ops@example.com"
[target.sns]
type = "sns"
topic_arn = "arn:aws:sns:eu-central-1:123456789012:ops"
[[route]]
severity = ["P1", "P2"]
tags = { role = ["web", "db"] }
to = ["pd", "slack"]
[[route]]
rule = "cert.*"
to = "mail"
)");
    REQUIRE(config.wait == 5s);
    REQUIRE(config.repeat[0] == 5min);
    REQUIRE(config.repeat[1] == 1h);
    REQUIRE(config.repeat[3] == 0s);
    REQUIRE(config.targets.size() == 6);
    REQUIRE(config.target("pd")->url == "https://events.pagerduty.com/v2/enqueue");
    REQUIRE(config.target("bot")->url == "https://slack.com/api");
    REQUIRE(config.target("slack")->fallback == "mail");
    REQUIRE(config.routes.size() == 2);
    REQUIRE(config.routes[0].severities == std::vector{Severity::p1, Severity::p2});
    REQUIRE(config.routes[1].rule.matches("cert.expiry"));
}

TEST_CASE("mistakes are told with their place", "[notify-config]") {
    REQUIRE_THAT(errors_of("[target.a]\n"),
                 Contains("collector.toml:1:") && Contains("type is missing"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"slak\"\n"),
                 Contains("collector.toml:2:8") && Contains("slack"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"webhook\"\nurl = \"ftp://x\"\n"),
                 Contains(":3:7: url must begin"));
    REQUIRE_THAT(
        errors_of("[target.a]\ntype = \"webhook\"\nurl = \"https://x\"\nhmac_ky = \"k\"\n"),
        Contains("unknown key \"hmac_ky\"; did you mean \"hmac_key\"?"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"pagerduty\"\n"),
                 Contains("routing_key is missing"));
    REQUIRE_THAT(
        errors_of("[target.a]\ntype = \"pagerduty\"\nrouting_key = \"file:/does/not/exist\"\n"),
        Contains("routing_key: ") && Contains("/does/not/exist"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"slack\"\ntoken = \"x\"\n"),
                 Contains("channel is missing"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"email\"\nsmtp = \"smtp://h\"\nfrom = \"a@b\"\nto "
                           "= \"x>\\r\\nBcc: y@z\"\n"),
                 Contains("is not a mail address"));
    REQUIRE_THAT(errors_of("[target.a]\ntype = \"sns\"\ntopic_arn = \"ops\"\n"),
                 Contains("topic_arn must be"));
    const std::string good = "[target.a]\ntype = \"webhook\"\nurl = \"https://x\"\n";
    REQUIRE_THAT(errors_of(good + "[[route]]\nto = \"b\"\n"),
                 Contains(":5:6: there is no target \"b\"; there are: a"));
    REQUIRE_THAT(errors_of(good + "fallback = \"a\"\n"), Contains("cannot stand in for itself"));
    REQUIRE_THAT(errors_of(good + "[[route]]\n"), Contains("to is missing"));
    REQUIRE_THAT(errors_of(good + "[[route]]\nto = \"a\"\nseverity = \"P5\"\n"),
                 Contains("there are P1 to P4"));
    REQUIRE_THAT(errors_of("[notify]\ngroup_by = [\"zone\"]\n"),
                 Contains("none of rule, host, severity, tag.<key>"));
}

}  // namespace
}  // namespace ridgeline::collector
