#include "collector/cloudwatch/control_plan.h"

#include <algorithm>
#include <set>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;
using Kind = ControlChange::Kind;

std::optional<ControlMark> mark_of(const json& alarm) {
    const auto it = alarm.find("AlarmDescription");
    if (it == alarm.end() || !it->is_string()) return {};
    return find_mark(it->get_ref<const std::string&>());
}

ControlChange alarm_change(Kind kind, const std::string& region, const std::string& name,
                           const json& alarm) {
    ControlChange change;
    change.kind = kind;
    change.region = region;
    change.name = name;
    change.words = words_of(alarm);
    return change;
}

std::string words_of_board(const json& body) {
    const auto widgets = body.find("widgets");
    const std::size_t count =
        widgets != body.end() && widgets->is_array() ? widgets->size() : std::size_t{0};
    return std::to_string(count) + " widgets";
}

// A widget is what its title says; what differs is named by it.
std::vector<FieldChange> board_differences(const json& now, const json& wanted) {
    const auto by_title = [](const json& body) {
        std::map<std::string, json> widgets;
        if (const auto it = body.find("widgets"); it != body.end() && it->is_array()) {
            for (const json& widget : *it) {
                const json properties = widget.is_object()
                                            ? widget.value("properties", json::object())
                                            : json::object();
                const json title =
                    properties.is_object() ? properties.value("title", json("text")) : json("text");
                widgets[title.is_string() ? title.get<std::string>() : "text"] = widget;
            }
        }
        json rest = body;
        if (rest.is_object()) rest.erase("widgets");
        widgets["dashboard"] = rest;
        return widgets;
    };
    const auto before = by_title(now);
    const auto after = by_title(wanted);
    std::vector<FieldChange> changes;
    for (const auto& [title, widget] : after) {
        const auto old = before.find(title);
        if (old == before.end()) {
            changes.push_back({title, "", "new"});
        } else if (old->second != widget) {
            changes.push_back({title, "as it was", "changed"});
        }
    }
    for (const auto& [title, widget] : before)
        if (!after.contains(title)) changes.push_back({title, "there", ""});
    return changes;
}

void plan_alarms_of(const ControlWish& wish, const ControlHoldings& holdings, ControlPlan& plan) {
    std::set<std::pair<std::string, std::string>> wanted;
    for (const WantedAlarm& alarm : wish.alarms.alarms) {
        const std::string name = alarm.input.at("AlarmName");
        wanted.emplace(alarm.region, name);
        ControlChange change = alarm_change(Kind::create, alarm.region, name, alarm.input);
        change.rule = alarm.rule;
        change.host = alarm.host;
        change.input = alarm.input;
        change.after = use_of(alarm.input);
        const auto found = holdings.alarms.find({alarm.region, name});
        if (found != holdings.alarms.end()) {
            const auto mark = mark_of(found->second);
            if (!mark || mark->owner != wish.owner) {
                change.kind = Kind::conflict;
                change.after = {};
                change.error = mark ? "there is one of that name by another collector, " +
                                          printable(mark->owner, 100) + "; it is left alone"
                                    : "there is one of that name that Ridgeline did not make; it "
                                      "is left alone";
            } else {
                change.kind = Kind::update;
                change.before = use_of(found->second);
                change.fields = differences(normal_form(found->second), normal_form(alarm.input));
                if (change.fields.empty()) {
                    ++plan.unchanged;
                    plan.unchanged_use += change.before;
                    continue;
                }
            }
        }
        plan.changes.push_back(std::move(change));
    }
    for (const auto& [key, alarm] : holdings.alarms) {
        if (wanted.contains(key)) continue;
        const auto mark = mark_of(alarm);
        if (!mark || mark->owner != wish.owner) continue;
        const bool away = wish.alarms.away.contains({mark->rule, mark->host});
        ControlChange change =
            alarm_change(away ? Kind::keep : Kind::remove, key.first, key.second, alarm);
        change.rule = mark->rule;
        change.host = mark->host;
        change.before = use_of(alarm);
        if (away) change.after = change.before;
        plan.changes.push_back(std::move(change));
    }
}

void plan_boards(const ControlWish& wish, const ControlHoldings& holdings, ControlPlan& plan) {
    std::set<std::string> wanted;
    for (const WantedDashboard& board : wish.dashboards.dashboards) {
        wanted.insert(board.name);
        ControlChange change;
        change.dashboard = true;
        change.name = board.name;
        change.words = words_of_board(board.body);
        change.input = {{"DashboardName", board.name}, {"DashboardBody", board.body.dump()}};
        const auto found = holdings.dashboards.find(board.name);
        if (found != holdings.dashboards.end()) {
            if (!is_marked(found->second, wish.owner)) {
                change.kind = Kind::conflict;
                change.error =
                    "there is one of that name that this collector did not make; it is left alone";
            } else if (found->second == board.body) {
                ++plan.unchanged;
                ++plan.unchanged_dashboards;
                continue;
            } else {
                change.kind = Kind::update;
                change.fields = board_differences(found->second, board.body);
            }
        }
        plan.changes.push_back(std::move(change));
    }
    // One that could not be made now, for want of data, is not one that is not wanted.
    const auto in_trouble = [&](const std::string& name) {
        return std::any_of(
            wish.dashboards.problems.begin(), wish.dashboards.problems.end(),
            [&](const PlanProblem& problem) {
                return "dashboard " +
                           name.substr(std::min(wish.dashboard_prefix.size() + 1, name.size())) ==
                       problem.what;
            });
    };
    for (const auto& [name, body] : holdings.dashboards) {
        if (wanted.contains(name) || !is_marked(body, wish.owner)) continue;
        ControlChange change;
        change.kind = in_trouble(name) ? Kind::keep : Kind::remove;
        change.dashboard = true;
        change.name = name;
        change.words = words_of_board(body);
        plan.changes.push_back(std::move(change));
    }
}

}  // namespace

std::string_view to_string(ControlChange::Kind kind) {
    switch (kind) {
        case Kind::create:
            return "create";
        case Kind::update:
            return "update";
        case Kind::remove:
            return "remove";
        case Kind::keep:
            return "keep";
        case Kind::conflict:
            return "conflict";
    }
    return "";
}

ControlPlan::Totals ControlPlan::totals(When when) const {
    Totals totals{unchanged_use, unchanged_dashboards};
    for (const ControlChange& change : changes) {
        const bool after =
            when == When::after || (when == When::now && change.done) || change.kind == Kind::keep;
        if (!change.dashboard) {
            totals.alarms += after ? change.after : change.before;
            continue;
        }
        const bool was =
            change.kind == Kind::update || change.kind == Kind::remove || change.kind == Kind::keep;
        const bool becomes =
            change.kind == Kind::create || change.kind == Kind::update || change.kind == Kind::keep;
        totals.dashboards += (after ? becomes : was) ? 1 : 0;
    }
    return totals;
}

std::size_t ControlPlan::to_do() const {
    return static_cast<std::size_t>(
        std::count_if(changes.begin(), changes.end(),
                      [](const ControlChange& change) { return change.acts() && !change.done; }));
}

ControlPlan make_control_plan(const ControlWish& wish, const ControlHoldings& holdings) {
    ControlPlan plan;
    plan.problems = wish.alarms.problems;
    plan.problems.insert(plan.problems.end(), wish.dashboards.problems.begin(),
                         wish.dashboards.problems.end());
    plan_alarms_of(wish, holdings, plan);
    plan_boards(wish, holdings, plan);
    return plan;
}

ControlPlan make_destroy_plan(const ControlWish& wish, const ControlHoldings& holdings) {
    ControlWish nothing{wish.owner, wish.alarm_prefix, wish.dashboard_prefix, {}, {}};
    return make_control_plan(nothing, holdings);
}

}  // namespace ridgeline::collector
