// [cloudwatch.alarms] and [cloudwatch.dashboards] of collector.toml: what `ridgeline cloudwatch`
// makes of rules and metrics, and whose it is.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "collector/rule/rule.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

// PutMetricAlarm in the CloudWatch API Reference.
inline constexpr std::size_t kAlarmActionsMax = 5;

struct AlarmsConfig {
    std::string prefix = "ridgeline";  // of alarms' names, before the first '/'
    bool gravest_only = false;         // one alarm for the gravest level, not one for each
    std::map<Severity, std::vector<std::string>> actions;  // ARNs
    bool ok_actions = true;                                // the same are told of the end
    bool operator==(const AlarmsConfig&) const = default;
};

struct DashboardsConfig {
    std::string prefix = "Ridgeline";  // of dashboards' names, before the first '-'
    std::vector<std::string> boards = {"fleet", "host", "certificates", "aws"};
    // Ids as in [[aws_metrics]]; of a service not named here, what [[aws_metrics]] reads.
    std::map<std::string, std::vector<std::string>> resources;  // "rds", "alb", "cloudfront", "ec2"
    std::string guardduty_rule;       // an EventBridge rule that matches GuardDuty's findings
    std::string guardduty_log_group;  // that such a rule writes them to
    bool operator==(const DashboardsConfig&) const = default;
};

struct CloudWatchControlConfig {
    // Told apart by this, collectors leave each other's alarms alone; empty: made of the
    // collector's public key.
    std::string owner;
    AlarmsConfig alarms;
    DashboardsConfig dashboards;
    bool operator==(const CloudWatchControlConfig&) const = default;
};

// Of the table [cloudwatch]. Mistakes are recorded in its document.
CloudWatchControlConfig read_cloudwatch_control_config(ConfigTable& cloudwatch);

}  // namespace ridgeline::collector
