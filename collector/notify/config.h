// Who is told of alerts, and how: [notify], [target.NAME] and [[route]] of collector.toml.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/rule/matcher.h"
#include "collector/rule/rule.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

enum class TargetType : std::uint8_t { webhook, slack, pagerduty, email, sns };
std::string_view to_string(TargetType type);

struct TargetConfig {
    std::string name;
    TargetType type = TargetType::webhook;
    // Who is told instead while this one cannot be reached; empty: nobody.
    std::string fallback;
    std::chrono::milliseconds min_gap{1'000};  // between two messages

    std::string url;      // webhook, Slack's incoming webhook, or another endpoint of its API
    std::string secret;   // of webhook (HMAC key), Slack (token), PagerDuty (routing key); as
                          // configured, see resolve_secret()
    std::string channel;  // Slack, with a token
    // email
    std::string smtp;  // "smtp://host:587" or "smtps://host:465"
    std::string from;
    std::vector<std::string> to;
    std::string user;
    bool require_tls = true;
    std::string ca_file;  // beside the system's, for smtp
    // SNS
    std::string topic_arn;
};

struct RouteConfig {
    std::vector<Severity> severities;  // empty: all
    TextMatcher rule;
    TextMatcher host;
    std::map<std::string, TextMatcher> tags;
    std::vector<std::string> to;  // names of targets
};

struct NotifyConfig {
    std::chrono::milliseconds wait = std::chrono::seconds{20};     // before a group's first message
    std::chrono::milliseconds interval = std::chrono::minutes{1};  // between its later ones
    // Alerts that agree in these go into one message: "rule", "host", "severity", "tag.<key>".
    std::vector<std::string> group_by = {"rule"};
    // While an alert fires and nobody has acknowledged it; zero: never. By severity, P1 first.
    std::array<std::chrono::milliseconds, 4> repeat = {
        std::chrono::minutes{15}, std::chrono::hours{1}, std::chrono::hours{12},
        std::chrono::milliseconds{0}};
    // A target that takes nothing for so long has failed: its fallback is told, and an alert
    // raised.
    std::chrono::milliseconds give_up_after = std::chrono::minutes{5};
    std::vector<TargetConfig> targets;
    std::vector<RouteConfig> routes;  // none: everything to every target that is nobody's fallback

    const TargetConfig* target(std::string_view name) const;
};

// What is wrong is reported with its place.
NotifyConfig read_notify_config(ConfigTable& root);

}  // namespace ridgeline::collector
