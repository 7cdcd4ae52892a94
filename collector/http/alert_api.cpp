#include "collector/http/alert_api.h"

#include <algorithm>

#include "collector/alert/alert_text.h"
#include "collector/http/json_reply.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kAlerts = "/api/v1/alerts";
constexpr std::int64_t kLimitMax = 10'000;

bool is_clearing(const RuleEngine& engine, const Alert& alert) {
    const auto standing = engine.standing(alert.key);
    return alert.state == AlertState::firing && standing &&
           standing->state == ConditionState::clearing;
}

json pending_json(const RuleEngine::Pending& pending) {
    return {{"id", 0},
            {"rule", pending.rule},
            {"host", pending.host},
            {"attributes", attributes_json(pending.attributes)},
            {"severity", ""},
            {"state", "pending"},
            {"since", time_json(pending.since_ms)},
            {"fired", nullptr},
            {"resolved", nullptr},
            {"value", pending.value},
            {"summary", ""}};
}

struct Search {
    AlertQuery query;
    std::string state;  // as it was asked for
};

Result<Search> read_search(const QueryReader& args, std::int64_t now_ms) {
    RL_TRY(args.only({"state", "severity", "host", "rule", "since", "until", "limit", "offset"}));
    Search search;
    search.state = args.text("state");
    bool known = search.state.empty() || search.state == "pending" || search.state == "clearing";
    if (search.state == "clearing") search.query.state = AlertState::firing;
    for (const AlertState state : {AlertState::firing, AlertState::resolved, AlertState::episode}) {
        if (search.state != to_string(state)) continue;
        search.query.state = state;
        known = true;
    }
    if (!known) {
        return fail(Errc::invalid_argument,
                    "state must be one of firing, clearing, pending, resolved, episode");
    }
    if (const std::string severity = args.text("severity"); !severity.empty()) {
        search.query.severity = parse_severity(severity);
        if (!search.query.severity)
            return fail(Errc::invalid_argument, "severity must be one of P1, P2, P3, P4");
    }
    search.query.host = args.text("host");
    search.query.rule = args.text("rule");
    RL_ASSIGN_OR_RETURN(search.query.since_ms, args.time("since", 0, now_ms));
    RL_ASSIGN_OR_RETURN(search.query.until_ms, args.time("until", INT64_MAX, now_ms));
    RL_ASSIGN_OR_RETURN(const auto limit, args.integer("limit", 1000, 1, kLimitMax));
    RL_ASSIGN_OR_RETURN(const auto offset, args.integer("offset", 0, 0, 100'000'000));
    search.query.limit = static_cast<std::size_t>(limit);
    search.query.offset = static_cast<std::size_t>(offset);
    return search;
}

ApiResponse list_alerts(AlertDesk& desk, const RuleEngine& engine, const QueryReader& args) {
    const auto search = read_search(args, desk.now_ms());
    if (!search) return json_refusal(search.error());
    const AlertQuery& query = search->query;
    json alerts = json::array();
    if (search->state != "pending") {
        const auto found = desk.book().alerts(query);
        if (!found) return json_refusal(found.error());
        for (const Alert& alert : *found) {
            const bool clears = is_clearing(engine, alert);
            if (search->state == "clearing" && !clears) continue;
            alerts.push_back(alert_json(desk, alert, clears));
        }
    }
    // They have neither a severity nor a change yet, and come after those that have.
    const bool with_pending =
        (search->state.empty() && query.offset == 0) || search->state == "pending";
    if (with_pending && !query.severity) {
        for (const auto& pending : engine.pending()) {
            if (alerts.size() >= query.limit) break;
            if (!query.host.empty() && !glob_match(query.host, pending.host)) continue;
            if (!query.rule.empty() && !glob_match(query.rule, pending.rule)) continue;
            alerts.push_back(pending_json(pending));
        }
    }
    return json_answer({{"alerts", alerts}});
}

json entry_json(const TimelineEntry& entry) {
    if (entry.note) {
        return {{"time", time_json(entry.time_ms)},
                {"what", to_string(*entry.note)},
                {"author", entry.author},
                {"text", entry.text}};
    }
    std::string what(change_word(*entry.change));
    std::transform(what.begin(), what.end(), what.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return {{"time", time_json(entry.time_ms)},
            {"what", what},
            {"severity", to_string(entry.severity)},
            {"value", entry.value},
            {"threshold", entry.threshold}};
}

ApiResponse show_alert(AlertDesk& desk, const RuleEngine& engine, std::int64_t id,
                       const QueryReader& args) {
    if (const auto ok = args.only({"limit", "offset"}); !ok) return json_refusal(ok.error());
    const auto limit = args.integer("limit", 1000, 1, kLimitMax);
    const auto offset = args.integer("offset", 0, 0, 100'000'000);
    if (!limit) return json_refusal(limit.error());
    if (!offset) return json_refusal(offset.error());
    const auto alert = desk.book().alert(id);
    if (!alert) return json_refusal(alert.error());
    if (!*alert) return json_refusal(404, "there is no alert " + std::to_string(id));
    const auto timeline = desk.book().timeline(id, static_cast<std::size_t>(*limit),
                                               static_cast<std::size_t>(*offset));
    if (!timeline) return json_refusal(timeline.error());
    json out = alert_json(desk, **alert, is_clearing(engine, **alert));
    out["timeline"] = json::array();
    for (const TimelineEntry& entry : *timeline)
        out["timeline"].push_back(entry_json(entry));
    return json_answer(out);
}

ApiResponse acknowledge(AlertDesk& desk, std::int64_t id, const Actor& actor, const json& body) {
    const auto read = [&]() -> Result<std::pair<std::string, std::chrono::milliseconds>> {
        RL_TRY(only_keys(body, {"comment", "for"}));
        RL_ASSIGN_OR_RETURN(std::string comment, body_text(body, "comment"));
        RL_ASSIGN_OR_RETURN(const std::string lasting, body_text(body, "for"));
        std::chrono::milliseconds duration{0};
        if (!lasting.empty()) {
            RL_ASSIGN_OR_RETURN(duration, parse_duration(lasting));
        }
        return std::pair(std::move(comment), duration);
    }();
    if (!read) return json_refusal(read.error());
    const auto alert = desk.acknowledge(id, actor, read->first, read->second);
    if (!alert) return json_refusal(alert.error());
    return json_answer(alert_json(desk, *alert, false));
}

ApiResponse add_comment(AlertDesk& desk, std::int64_t id, const Actor& actor, const json& body) {
    if (const auto ok = only_keys(body, {"text"}); !ok) return json_refusal(ok.error());
    const auto text = body_text(body, "text");
    if (!text) return json_refusal(text.error());
    if (const auto done = desk.comment(id, actor, *text); !done) return json_refusal(done.error());
    return json_answer({{"id", id}, {"commented", true}}, 201);
}

}  // namespace

json alert_json(const AlertDesk& desk, const Alert& alert, bool clearing) {
    const std::int64_t now = desk.now_ms();
    const bool fires = alert.state == AlertState::firing;
    json out = {{"id", alert.id},
                {"rule", alert.rule},
                {"host", alert.host},
                {"attributes", attributes_json(alert.attributes)},
                {"tags", alert.tags},
                {"severity", to_string(alert.severity)},
                {"state", clearing && fires ? "clearing" : to_string(alert.state)},
                {"since", time_json(alert.since_ms)},
                {"fired", time_json(alert.fired_ms)},
                {"resolved", time_json(alert.resolved_ms)},
                {"changed", time_json(alert.changed_ms)},
                {"value", alert.value},
                {"threshold", alert.threshold},
                {"unit", alert.unit},
                {"summary", alert.summary},
                {"runbook", alert.runbook},
                {"reason", alert.reason},
                {"reopened", alert.reopened},
                {"acknowledged", nullptr},
                {"silence", nullptr},
                {"flapping_since", time_json(alert.flapping_ms)}};
    if (alert.acknowledged(now)) {
        out["acknowledged"] = {{"author", alert.acked_by},
                               {"time", time_json(alert.acked_ms)},
                               {"until", time_json(alert.acked_until_ms)},
                               {"comment", alert.ack_comment}};
    }
    if (const Silence* silence = fires ? desk.silence_of(alert, now) : nullptr)
        out["silence"] = silence->id;
    return out;
}

std::optional<ApiResponse> handle_alerts(AlertDesk& desk, const RuleEngine& engine,
                                         const ApiRequest& request) {
    const std::string_view path = request.path;
    const QueryReader args(request.args);
    if (path == kAlerts)
        return request.reads() ? list_alerts(desk, engine, args) : json_not_allowed("GET, HEAD");
    if (path.substr(0, kAlerts.size()) != kAlerts || path[kAlerts.size()] != '/') return {};
    const std::string_view rest = path.substr(kAlerts.size() + 1);
    const std::size_t slash = rest.find('/');
    const auto id = parse_id(rest.substr(0, slash));
    if (!id) return json_refusal(404, "an alert's id is a number");
    if (slash == rest.npos)
        return request.reads() ? show_alert(desk, engine, *id, args)
                               : json_not_allowed("GET, HEAD");
    const std::string_view verb = rest.substr(slash + 1);
    if (verb != "ack" && verb != "unack" && verb != "comment")
        return json_refusal(404, "no such route", "see / for the routes");
    if (request.method != "POST") return json_not_allowed("POST");
    json body;
    if (auto refused = read_body(request, body)) return refused;
    const Actor actor{request.author, request.address};
    if (verb == "ack") return acknowledge(desk, *id, actor, body);
    if (verb == "comment") return add_comment(desk, *id, actor, body);
    const auto alert = desk.unacknowledge(*id, actor);
    if (!alert) return json_refusal(alert.error());
    return json_answer(alert_json(desk, *alert, false));
}

}  // namespace ridgeline::collector
