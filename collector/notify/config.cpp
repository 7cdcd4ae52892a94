#include "collector/notify/config.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

const std::array<std::string, 5> kTypes = {"webhook", "slack", "pagerduty", "email", "sns"};
constexpr const char* kPagerDutyEvents = "https://events.pagerduty.com/v2/enqueue";

bool is_http(std::string_view url) {
    return url.starts_with("https://") || url.starts_with("http://");
}

// A header of a mail is made of it.
bool is_address(std::string_view text) {
    const auto at = text.find('@');
    return at != std::string_view::npos && at > 0 && at + 1 < text.size() &&
           text.find_first_of(std::string_view("\r\n\0 <>,;\"", 9)) == std::string_view::npos;
}

void need(ConfigTable& table, const std::string& value, const char* key, const char* what) {
    if (value.empty()) table.error_at(key, std::string(key) + " is missing: " + what);
}

void read_secret(ConfigTable& table, const char* key, TargetConfig& target) {
    target.secret = table.string(key, "");
    if (target.secret.empty()) return;
    if (const auto resolved = resolve_secret(target.secret); !resolved)
        table.error_at(key, std::string(key) + ": " + resolved.error().context);
}

void read_url(ConfigTable& table, TargetConfig& target, const char* fallback) {
    target.url = table.string("url", fallback);
    if (!target.url.empty() && !is_http(target.url))
        table.error_at("url", "url must begin with https:// or http://");
}

void read_email(ConfigTable& table, TargetConfig& target) {
    target.smtp = table.string("smtp", "");
    need(table, target.smtp, "smtp", "the mail server, such as \"smtp://mail.example.com:587\"");
    if (!target.smtp.empty() && !target.smtp.starts_with("smtp://") &&
        !target.smtp.starts_with("smtps://"))
        table.error_at("smtp", "smtp must begin with smtp:// or smtps://");
    target.from = table.string("from", "");
    need(table, target.from, "from", "the sender's address");
    if (!target.from.empty() && !is_address(target.from))
        table.error_at("from", "\"" + target.from + "\" is not a mail address");
    target.to = table.string_or_strings("to");
    if (target.to.empty()) table.error_at("to", "to is missing: who gets the mail");
    for (const std::string& to : target.to) {
        if (!is_address(to)) table.error_at("to", "\"" + to + "\" is not a mail address");
    }
    target.user = table.string("user", "");
    read_secret(table, "password", target);
    target.require_tls = table.boolean("require_tls", target.require_tls);
    target.ca_file = table.string("ca_file", "");
}

void read_slack(ConfigTable& table, TargetConfig& target) {
    read_url(table, target, "");
    read_secret(table, "token", target);
    target.channel = table.string("channel", "");
    const bool by_token = !target.secret.empty();
    if (by_token) {
        need(table, target.channel, "channel",
             "with a token, the channel's id, such as \"C0123456789\"");
        if (target.url.empty()) target.url = "https://slack.com/api";
    } else {
        need(table, target.url, "url", "the incoming webhook's, or a token with a channel");
        if (!target.channel.empty())
            table.error_at("channel", "an incoming webhook has its own channel; take the key out");
    }
}

TargetConfig read_target(ConfigTable& table, const std::string& name) {
    TargetConfig target;
    target.name = name;
    const std::string type = table.choice("type", "", kTypes);
    const auto at = std::find(kTypes.begin(), kTypes.end(), type);
    if (at == kTypes.end()) {
        if (!table.has("type"))
            table.error_at("type", "type is missing: webhook, slack, pagerduty, email or sns");
    } else {
        target.type = static_cast<TargetType>(at - kTypes.begin());
    }
    target.fallback = table.string("fallback", "");
    target.min_gap = table.duration("min_gap", target.min_gap, 0ms, 1h);
    switch (target.type) {
        case TargetType::webhook:
            read_url(table, target, "");
            need(table, target.url, "url", "where to post to");
            read_secret(table, "hmac_key", target);
            break;
        case TargetType::slack:
            read_slack(table, target);
            break;
        case TargetType::pagerduty:
            read_url(table, target, kPagerDutyEvents);
            read_secret(table, "routing_key", target);
            need(table, target.secret, "routing_key", "the integration's key (Events API v2)");
            break;
        case TargetType::email:
            read_email(table, target);
            break;
        case TargetType::sns:
            read_url(table, target, "");
            target.topic_arn = table.string("topic_arn", "");
            if (!target.topic_arn.starts_with("arn:aws"))
                table.error_at("topic_arn", "topic_arn must be the topic's ARN, \"arn:aws:sns:…\"");
            break;
    }
    return target;
}

TextMatcher read_matcher(ConfigTable& table, const char* key) {
    const std::vector<std::string> patterns = table.string_or_strings(key);
    if (patterns.empty()) return {};
    auto matcher = TextMatcher::make(patterns);
    if (matcher) return std::move(*matcher);
    table.error_at(key, matcher.error().context);
    return {};
}

RouteConfig read_route(ConfigTable& table) {
    RouteConfig route;
    for (const std::string& text : table.string_or_strings("severity")) {
        if (const auto severity = parse_severity(text)) {
            route.severities.push_back(*severity);
        } else {
            table.error_at("severity", "\"" + text + "\" is not a severity; there are P1 to P4");
        }
    }
    route.rule = read_matcher(table, "rule");
    route.host = read_matcher(table, "host");
    ConfigTable tags = table.table("tags");
    for (const std::string& tag : tags.keys())
        route.tags.emplace(tag, read_matcher(tags, tag.c_str()));
    route.to = table.string_or_strings("to");
    if (route.to.empty()) table.error_at("to", "to is missing: the names of targets");
    return route;
}

void check_target(const NotifyConfig& config, const std::string& name, ConfigTable& table,
                  const char* key) {
    if (config.target(name) != nullptr) return;
    std::string known;
    for (const TargetConfig& target : config.targets)
        known += (known.empty() ? "; there are: " : ", ") + target.name;
    table.error_at(key, "there is no target \"" + name + "\"" +
                            (known.empty() ? "; add [target." + name + "]" : known));
}

}  // namespace

std::string_view to_string(TargetType type) {
    return kTypes[static_cast<std::size_t>(type)];
}

const TargetConfig* NotifyConfig::target(std::string_view name) const {
    for (const TargetConfig& target : targets) {
        if (target.name == name) return &target;
    }
    return nullptr;
}

NotifyConfig read_notify_config(ConfigTable& root) {
    NotifyConfig config;
    ConfigTable notify = root.table("notify");
    config.wait = notify.duration("wait", config.wait, 0ms, 1h);
    config.interval = notify.duration("interval", config.interval, 1s, 24h);
    config.group_by = notify.strings("group_by", config.group_by);
    for (const std::string& by : config.group_by) {
        if (by != "rule" && by != "host" && by != "severity" &&
            !(by.starts_with("tag.") && by.size() > 4))
            notify.error_at("group_by",
                            "\"" + by + "\" is none of rule, host, severity, tag.<key>");
    }
    ConfigTable repeat = notify.table("repeat");
    for (std::size_t i = 0; i < config.repeat.size(); ++i) {
        const std::string key = "P" + std::to_string(i + 1);
        config.repeat[i] = repeat.duration(key, config.repeat[i], 0ms, 24h * 30);
    }
    config.give_up_after = notify.duration("give_up_after", config.give_up_after, 1s, 24h);
    ConfigTable targets = root.table("target");
    std::vector<ConfigTable> tables;
    for (const std::string& name : targets.keys()) {
        tables.push_back(targets.table(name));
        config.targets.push_back(read_target(tables.back(), name));
    }
    for (std::size_t i = 0; i < tables.size(); ++i) {
        const TargetConfig& target = config.targets[i];
        if (target.fallback.empty()) continue;
        check_target(config, target.fallback, tables[i], "fallback");
        if (target.fallback == target.name)
            tables[i].error_at("fallback", "a target cannot stand in for itself");
    }
    for (ConfigTable& table : root.tables("route")) {
        config.routes.push_back(read_route(table));
        for (const std::string& name : config.routes.back().to)
            check_target(config, name, table, "to");
    }
    return config;
}

}  // namespace ridgeline::collector
