#include "collector/cloudwatch/control_config.h"

#include <algorithm>
#include <array>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kPrefixBytesMax = 64;
constexpr std::size_t kArnBytesMax = 1024;
constexpr std::size_t kIdBytesMax = 1024;
constexpr std::size_t kIdsMax = 500;  // metrics of one widget
const std::array<std::string, 4> kBoards = {"fleet", "host", "certificates", "aws"};
const std::array<std::string, 2> kLevels = {"all", "gravest"};

// What both alarms' and dashboards' names may consist of, and a mark.
bool is_name(std::string_view text) {
    constexpr std::string_view kCharacters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return !text.empty() && text.size() <= kPrefixBytesMax &&
           text.find_first_not_of(kCharacters) == std::string_view::npos;
}

std::string read_name(ConfigTable& table, const char* key, const std::string& fallback) {
    std::string name = table.string(key, fallback);
    if (name != fallback && !is_name(name)) {
        table.error_at(key, std::string(key) + " must be 1 to " + std::to_string(kPrefixBytesMax) +
                                " letters, digits, '_' and '-'");
    }
    return name;
}

bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= kIdBytesMax &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '\''; });
}

AlarmsConfig read_alarms(ConfigTable table) {
    AlarmsConfig config;
    config.prefix = read_name(table, "prefix", config.prefix);
    config.gravest_only = table.choice("levels", "all", kLevels) == "gravest";
    config.ok_actions = table.boolean("ok_actions", config.ok_actions);
    ConfigTable actions = table.table("actions");
    for (const std::string& key : actions.keys()) {
        const auto severity = parse_severity(key);
        std::vector<std::string> arns = actions.string_or_strings(key);
        if (!severity) {
            actions.error_at(key, "actions are for P1, P2, P3 and P4");
            continue;
        }
        const bool good = std::all_of(arns.begin(), arns.end(), [](const std::string& arn) {
            return arn.starts_with("arn:") && arn.size() <= kArnBytesMax && is_id(arn) &&
                   split(arn, ':').size() >= 6;
        });
        if (!good) {
            actions.error_at(
                key, "an action is an ARN, such as \"arn:aws:sns:eu-central-1:123456789012:ops\"");
        }
        if (arns.size() > kAlarmActionsMax)
            actions.error_at(
                key, "an alarm has at most " + std::to_string(kAlarmActionsMax) + " actions");
        config.actions[*severity] = std::move(arns);
    }
    return config;
}

DashboardsConfig read_dashboards(ConfigTable table) {
    DashboardsConfig config;
    config.prefix = read_name(table, "prefix", config.prefix);
    config.boards = table.strings("boards", config.boards);
    for (const std::string& board : config.boards) {
        if (std::find(kBoards.begin(), kBoards.end(), board) != kBoards.end()) continue;
        table.error_at("boards", "\"" + printable(board, 50) +
                                     "\" is no board; there are fleet, host, certificates and aws");
    }
    for (const char* service : {"rds", "alb", "cloudfront", "ec2"}) {
        if (!table.has(service)) continue;
        std::vector<std::string> ids = table.strings(service);
        if (!std::all_of(ids.begin(), ids.end(), is_id) || ids.size() > kIdsMax) {
            table.error_at(service, std::string(service) + " lists at most " +
                                        std::to_string(kIdsMax) +
                                        " ids, printable and without blanks and quotes");
        }
        config.resources[service] = std::move(ids);
    }
    for (const auto& [key, value] :
         {std::pair{"guardduty_rule", &config.guardduty_rule},
          std::pair{"guardduty_log_group", &config.guardduty_log_group}}) {
        *value = table.string(key, "");
        if (!value->empty() && !is_id(*value))
            table.error_at(key, std::string(key) + " has a character that no such name has");
    }
    return config;
}

}  // namespace

CloudWatchControlConfig read_cloudwatch_control_config(ConfigTable& cloudwatch) {
    CloudWatchControlConfig config;
    config.owner = read_name(cloudwatch, "owner", config.owner);
    config.alarms = read_alarms(cloudwatch.table("alarms"));
    config.dashboards = read_dashboards(cloudwatch.table("dashboards"));
    return config;
}

}  // namespace ridgeline::collector
