#include "collector/http/rule_api.h"

#include "collector/http/json_reply.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::size_t kFiringMax = 1'000'000;  // all of them

json rule_json(const Rule& rule, bool enabled, std::size_t firing, std::size_t pending) {
    json levels = json::array();
    for (const Level& level : rule.levels) {
        levels.push_back({{"at", level.at},
                          {"for", level.slots ? std::to_string(level.slots->m) + " of " +
                                                    std::to_string(level.slots->n)
                                              : format_duration(level.sustained)},
                          {"severity", to_string(level.severity)}});
    }
    return {{"id", rule.id},
            {"enabled", enabled},
            {"file", rule.file},
            {"metric", rule.metric == nullptr ? "" : std::string(rule.metric->name)},
            {"unit", rule.unit},
            {"op", to_string(rule.op)},
            {"levels", levels},
            {"clear", rule.clear ? json(*rule.clear) : json(nullptr)},
            {"clear_for", format_duration(rule.clear_for)},
            {"summary", rule.summary.text()},
            {"runbook", rule.runbook},
            {"firing", firing},
            {"pending", pending}};
}

}  // namespace

std::optional<ApiResponse> handle_rules(AlertBook& book, const RuleEngine& engine,
                                        std::span<const Rule> disabled, const ApiRequest& request) {
    if (request.path != "/api/v1/rules") return {};
    if (!request.reads()) return json_not_allowed("GET, HEAD");
    if (const auto ok = QueryReader(request.args).only({}); !ok) return json_refusal(ok.error());
    AlertQuery query;
    query.state = AlertState::firing;
    query.limit = kFiringMax;
    const auto alerts = book.alerts(query);
    if (!alerts) return json_refusal(alerts.error());
    std::map<std::string, std::size_t> firing;
    std::map<std::string, std::size_t> pending;
    for (const Alert& alert : *alerts)
        ++firing[alert.rule];
    for (const auto& one : engine.pending())
        ++pending[one.rule];
    json rules = json::array();
    for (const Rule& rule : engine.rules())
        rules.push_back(rule_json(rule, true, firing[rule.id], pending[rule.id]));
    for (const Rule& rule : disabled)
        rules.push_back(rule_json(rule, false, 0, 0));
    return json_answer({{"rules", rules}});
}

}  // namespace ridgeline::collector
