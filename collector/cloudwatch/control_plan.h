// What has to be done so that CloudWatch holds what is wanted, and nothing else that is ours. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "collector/cloudwatch/alarm.h"
#include "collector/cloudwatch/alarm_plan.h"
#include "collector/cloudwatch/dashboard.h"

namespace ridgeline::collector {

struct ControlWish {
    std::string owner;
    std::string alarm_prefix;      // without '/'
    std::string dashboard_prefix;  // without '-'
    WantedAlarms alarms;
    WantedDashboards dashboards;
};

// What AWS has under our prefixes.
struct ControlHoldings {
    std::map<std::pair<std::string, std::string>, nlohmann::json> alarms;  // by region and name
    std::map<std::string, nlohmann::json> dashboards;                      // bodies, by name
};

struct ControlChange {
    enum class Kind : std::uint8_t {
        create,
        update,
        remove,
        keep,      // ours and not wanted now, but its host may come back
        conflict,  // wanted, but somebody else's of that name is there
    };
    Kind kind = Kind::create;
    bool dashboard = false;
    std::string region;  // of an alarm
    std::string name;
    std::string rule;
    std::string host;
    std::string words;  // what it is
    std::vector<FieldChange> fields;
    nlohmann::json input;  // of the operation that makes it
    AlarmUse before;       // what is billed of it
    AlarmUse after;
    std::string error;  // why it was not done
    bool done = false;
    bool acts() const { return kind != Kind::keep && kind != Kind::conflict; }
};
std::string_view to_string(ControlChange::Kind kind);

struct ControlPlan {
    std::vector<ControlChange> changes;
    std::vector<PlanProblem> problems;
    std::size_t unchanged = 0;
    AlarmUse unchanged_use;
    std::size_t unchanged_dashboards = 0;
    // Of all that is ours, before anything was done, as it is now, and once all is done.
    struct Totals {
        AlarmUse alarms;
        std::size_t dashboards = 0;
    };
    enum class When : std::uint8_t { before, now, after };
    Totals totals(When when) const;
    std::size_t to_do() const;
};

ControlPlan make_control_plan(const ControlWish& wish, const ControlHoldings& holdings);
// The plan that leaves nothing of ours.
ControlPlan make_destroy_plan(const ControlWish& wish, const ControlHoldings& holdings);

}  // namespace ridgeline::collector
