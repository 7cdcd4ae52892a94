#include "collector/http/silence_api.h"

#include "collector/http/alert_api.h"
#include "collector/http/json_reply.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kSilences = "/api/v1/silences";
constexpr std::size_t kPreviewAlerts = 100;

json silence_json(const Silence& silence, const std::string& matchers, std::int64_t now_ms) {
    return {{"id", silence.id},
            {"matchers", json::parse(matchers, nullptr, false)},
            {"author", silence.author},
            {"comment", silence.comment},
            {"created", time_json(silence.created_ms)},
            {"starts", time_json(silence.starts_ms)},
            {"ends", time_json(silence.ends_ms)},
            {"state", silence.active(now_ms)       ? "active"
                      : now_ms < silence.starts_ms ? "future"
                                                   : "ended"}};
}

json silence_json(const AlertDesk& desk, const Silence& silence) {
    return silence_json(silence, silence.matchers.text(), desk.now_ms());
}

// "for" from `start_ms` on, or "until"; one of them must be there.
Result<std::int64_t> read_end(const json& body, std::int64_t start_ms) {
    RL_ASSIGN_OR_RETURN(const std::string lasting, body_text(body, "for"));
    RL_ASSIGN_OR_RETURN(const std::string until, body_text(body, "until"));
    if (lasting.empty() == until.empty())
        return fail(Errc::invalid_argument,
                    "a silence needs its end: either \"for\" (a duration) or \"until\" (a time)");
    if (!until.empty()) {
        RL_ASSIGN_OR_RETURN(const auto end, parse_rfc3339(until));
        return to_unix_ms(end);
    }
    RL_ASSIGN_OR_RETURN(const auto duration, parse_duration(lasting));
    return start_ms + duration.count();
}

Result<SilenceRequest> read_request(const json& body, std::int64_t now_ms) {
    RL_TRY(only_keys(body, {"matchers", "for", "until", "from", "comment", "force"}));
    SilenceRequest request;
    if (!body.contains("matchers"))
        return fail(Errc::invalid_argument, "matchers are missing; {} matches everything");
    request.matchers = body["matchers"].dump(-1, ' ', false, json::error_handler_t::replace);
    RL_ASSIGN_OR_RETURN(request.comment, body_text(body, "comment"));
    RL_ASSIGN_OR_RETURN(const std::string from, body_text(body, "from"));
    if (!from.empty()) {
        RL_ASSIGN_OR_RETURN(const auto start, parse_rfc3339(from));
        request.starts_ms = to_unix_ms(start);
    }
    RL_ASSIGN_OR_RETURN(request.ends_ms,
                        read_end(body, request.starts_ms == 0 ? now_ms : request.starts_ms));
    if (const auto force = body.find("force"); force != body.end()) {
        if (!force->is_boolean())
            return fail(Errc::invalid_argument, "force must be true or false");
        request.force = force->get<bool>();
    }
    return request;
}

ApiResponse list_silences(AlertDesk& desk, const QueryReader& args) {
    if (const auto ok = args.only({"ended"}); !ok) return json_refusal(ok.error());
    json silences = json::array();
    if (args.text("ended") == "1") {
        const auto rows = desk.book().silences();
        if (!rows) return json_refusal(rows.error());
        for (const SilenceRow& row : *rows) {
            const Silence silence{
                row.id, {}, row.author, row.comment, row.created_ms, row.starts_ms, row.ends_ms};
            silences.push_back(silence_json(silence, row.matchers, desk.now_ms()));
        }
    } else {
        for (const Silence& silence : desk.silences())
            silences.push_back(silence_json(desk, silence));
    }
    return json_answer({{"silences", silences}});
}

ApiResponse preview(const AlertDesk& desk, const json& body) {
    if (const auto ok = only_keys(body, {"matchers"}); !ok) return json_refusal(ok.error());
    if (!body.contains("matchers")) return json_refusal(400, "matchers are missing");
    const auto preview =
        desk.preview(body["matchers"].dump(-1, ' ', false, json::error_handler_t::replace));
    if (!preview) return json_refusal(preview.error());
    json alerts = json::array();
    for (const Alert& alert : preview->alerts) {
        if (alerts.size() >= kPreviewAlerts) break;
        alerts.push_back(alert_json(desk, alert, false));
    }
    return json_answer({{"alerts", alerts},
                        {"alerts_total", preview->alerts.size()},
                        {"hosts", preview->hosts},
                        {"needs_force", preview->needs_force},
                        {"why", preview->why}});
}

ApiResponse reply(const AlertDesk& desk, const Result<Silence>& silence, unsigned status) {
    if (!silence) return json_refusal(silence.error());
    return json_answer(silence_json(desk, *silence), status);
}

}  // namespace

std::optional<ApiResponse> handle_silences(AlertDesk& desk, const ApiRequest& request) {
    const std::string_view path = request.path;
    if (path.substr(0, kSilences.size()) != kSilences) return {};
    const std::string_view rest = path.substr(kSilences.size());
    if (!rest.empty() && rest[0] != '/') return {};
    if (rest.empty() && request.reads()) return list_silences(desk, QueryReader(request.args));
    if (request.method != "POST")
        return json_not_allowed(rest.empty() ? "GET, HEAD, POST" : "POST");
    json body;
    if (auto refused = read_body(request, body)) return refused;
    const Actor actor{request.author, request.address};
    if (rest.empty()) {
        const auto wanted = read_request(body, desk.now_ms());
        if (!wanted) return json_refusal(wanted.error());
        return reply(desk, desk.add_silence(*wanted, actor), 201);
    }
    if (rest == "/preview") return preview(desk, body);
    const std::size_t slash = rest.find('/', 1);
    const auto id = parse_id(rest.substr(1, slash == rest.npos ? slash : slash - 1));
    const std::string_view verb = slash == rest.npos ? "" : rest.substr(slash + 1);
    if (!id || (verb != "expire" && verb != "extend"))
        return json_refusal(404, "no such route", "see / for the routes");
    if (verb == "expire") return reply(desk, desk.expire_silence(*id, actor), 200);
    if (const auto ok = only_keys(body, {"for", "until"}); !ok) return json_refusal(ok.error());
    const auto end = read_end(body, desk.now_ms());
    if (!end) return json_refusal(end.error());
    return reply(desk, desk.extend_silence(*id, *end, actor), 200);
}

}  // namespace ridgeline::collector
