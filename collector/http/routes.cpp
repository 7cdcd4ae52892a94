#include "collector/http/routes.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "collector/http/enrollment_api.h"
#include "collector/http/openapi.h"
#include "collector/http/prometheus_text.h"
#include "common/base/clock.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

// What RFC 3339 can express with four-digit years.
constexpr std::int64_t kEarliestMs = 0;
constexpr std::int64_t kLatestMs = 253'402'300'799'000;

constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kPrometheusText = "text/plain; version=0.0.4; charset=utf-8";

ApiResponse answer(const json& body, unsigned status = 200) {
    // Host names and attributes come from outside and may not be UTF-8.
    return {status, "application/json",
            body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

ApiResponse refusal(unsigned status, const std::string& error, const std::string& hint) {
    return answer(json{{"error", error}, {"hint", hint}}, status);
}

ApiResponse refusal(const Error& error) {
    return refusal(400, error.context, "see / for the routes and their arguments");
}

json attributes_json(const Attributes& attributes) {
    json out = json::object();
    for (const Attribute& attribute : attributes)
        out[attribute.key] = attribute.value;
    return out;
}

json time_json(std::int64_t ms) {
    return ms == 0
               ? json(nullptr)
               : json(format_rfc3339(from_unix_ms(std::clamp(ms, kEarliestMs, kLatestMs)), true));
}

json series_json(const SeriesView& view) {
    return {{"id", view.id},
            {"host", view.host},
            {"metric", view.metric},
            {"unit", view.unit},
            {"attributes", attributes_json(view.attributes)}};
}

SeriesFilter read_filter(const QueryReader& args) {
    return {args.text("host"), args.text("metric"), args.attributes()};
}

ApiResponse get_index() {
    return {
        200, kText,
        "ridgeline-collector " RIDGELINE_VERSION
        "\n\n"
        "/healthz                  is it alive\n"
        "/readyz                   has it caught up with its log\n"
        "/metrics                  its own metrics; ?hosts=1: the newest sample of every series\n"
        "/api/v1/openapi.json      what follows, described for programs\n"
        "/api/v1/hosts\n"
        "/api/v1/series            ?host=GLOB&metric=GLOB&attr.KEY=GLOB&limit=N&offset=N\n"
        "/api/v1/query             ?metric=NAME&host=GLOB&attr.KEY=GLOB&from=-15m&to=now&step=10s\n"
        "/api/v1/alerts            ?state=firing|clearing|pending|resolved|episode&severity=P1&"
        "host=GLOB&rule=GLOB&since=-24h&until=now&limit=N&offset=N\n"
        "/api/v1/alerts/ID         with its timeline; ?limit=N&offset=N\n"
        "/api/v1/alerts/ID/ack     POST {comment, for}\n"
        "/api/v1/alerts/ID/unack   POST\n"
        "/api/v1/alerts/ID/comment POST {text}\n"
        "/api/v1/silences          ?ended=1; POST {matchers, for or until, from, comment, force} "
        "makes one\n"
        "/api/v1/silences/preview  POST {matchers}\n"
        "/api/v1/silences/ID/expire, /extend   POST {for or until}\n"
        "/api/v1/rules\n"
        "/api/v1/rules/explain     ?rule=ID&host=ID\n"
        "/api/v1/notifications\n"
        "/api/v1/cloudwatch/jobs   POST {action, dry_run}: plan or make alarms and dashboards\n"
        "/api/v1/cloudwatch/jobs/ID   how far it is\n"
        "/api/v1/cost              "
        "?include=LIST&exclude=LIST&dimensions=LIST&period=60s&naming=otel\n"
        "/api/v1/audit             ?author=GLOB&action=GLOB&since=-24h&limit=N&offset=N\n"
        "/api/v1/tokens            enrolment tokens; POST {ttl, max_uses, tags, endpoints} makes "
        "one\n"
        "/api/v1/tokens/ID         DELETE\n"
        "/api/v1/hosts/ID/revoke   POST\n"
        "/api/v1/hosts/ID/rename   POST {name}\n"};
}

ApiResponse get_hosts(ApiModel& model, const QueryReader& args) {
    if (const auto ok = args.only({}); !ok) return refusal(ok.error());
    json hosts = json::array();
    for (const HostView& host : model.hosts()) {
        hosts.push_back({{"id", host.id},
                         {"name", host.name},
                         {"enrolled", host.enrolled},
                         {"agent_version", host.agent_version},
                         {"tags", host.tags},
                         {"facts", host.facts},
                         {"connected", host.connected},
                         {"last_seen", time_json(host.last_seen_ms)},
                         {"last_sample", time_json(host.last_sample_ms)},
                         {"clock_offset_ms", host.clock_offset_ms},
                         {"batches", host.batches},
                         {"samples", host.samples},
                         {"duplicates", host.duplicates},
                         {"batches_lost", host.batches_lost},
                         {"batches_deferred", host.batches_deferred},
                         {"series", host.series}});
    }
    return answer({{"hosts", hosts}});
}

ApiResponse get_series(ApiModel& model, const QueryReader& args) {
    if (const auto ok = args.only({"host", "metric", "limit", "offset"}); !ok)
        return refusal(ok.error());
    const auto limit = args.integer("limit", 1000, 1, 100'000);
    const auto offset = args.integer("offset", 0, 0, 100'000'000);
    if (!limit) return refusal(limit.error());
    if (!offset) return refusal(offset.error());
    const std::vector<SeriesView> found = model.series(read_filter(args));
    json series = json::array();
    const auto begin = std::min(found.size(), static_cast<std::size_t>(*offset));
    const auto end = std::min(found.size(), begin + static_cast<std::size_t>(*limit));
    for (std::size_t i = begin; i < end; ++i) {
        json entry = series_json(found[i]);
        entry["latest"] = found[i].latest;
        entry["latest_time"] = time_json(found[i].latest_ms);
        series.push_back(std::move(entry));
    }
    return answer({{"series", series}, {"total", found.size()}});
}

struct QueryRange {
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
    std::int64_t step_ms = 0;
};

Result<QueryRange> read_range(const QueryReader& args, std::int64_t now_ms) {
    constexpr std::int64_t kDefaultRangeMs = 15 * 60 * 1000;
    constexpr std::int64_t kDefaultPoints = 300;
    QueryRange range;
    RL_ASSIGN_OR_RETURN(range.to_ms, args.time("to", now_ms, now_ms));
    RL_ASSIGN_OR_RETURN(range.from_ms, args.time("from", range.to_ms - kDefaultRangeMs, now_ms));
    if (range.from_ms >= range.to_ms)
        return fail(Errc::invalid_argument, "from must lie before to");
    const std::int64_t length_ms = range.to_ms - range.from_ms;
    RL_ASSIGN_OR_RETURN(
        range.step_ms,
        args.step("step", std::max<std::int64_t>(1000, length_ms / kDefaultPoints / 1000 * 1000)));
    if (length_ms / range.step_ms > kQueryPointsMax) {
        return fail(Errc::invalid_argument,
                    "that would be more than " + std::to_string(kQueryPointsMax) +
                        " points a series; take a longer step or a shorter range");
    }
    return range;
}

ApiResponse get_query(ApiModel& model, const QueryReader& args) {
    if (const auto ok = args.only({"host", "metric", "from", "to", "step"}); !ok)
        return refusal(ok.error());
    if (args.text("metric").empty())
        return refusal(400, "metric is missing",
                       "for example ?metric=system.cpu.utilization&attr.state=used");
    const auto range = read_range(args, model.now_ms());
    if (!range) return refusal(range.error());
    const std::vector<SeriesView> found = model.series(read_filter(args));
    if (found.size() > kQuerySeriesMax) {
        return refusal(400,
                       std::to_string(found.size()) + " series match; at most " +
                           std::to_string(kQuerySeriesMax) + " are answered",
                       "name a host, or attributes with attr.KEY=VALUE");
    }
    json series = json::array();
    for (const SeriesView& view : found) {
        json points = json::array();
        for (const PointView& point :
             model.points(view.id, range->from_ms, range->to_ms, range->step_ms)) {
            points.push_back({{"t", point.t_ms},
                              {"min", point.min},
                              {"max", point.max},
                              {"avg", point.avg},
                              {"last", point.last},
                              {"count", point.count}});
        }
        json entry = series_json(view);
        entry["points"] = std::move(points);
        series.push_back(std::move(entry));
    }
    return answer({{"from", range->from_ms},
                   {"to", range->to_ms},
                   {"step", range->step_ms},
                   {"series", series}});
}

ApiResponse get_notifications(ApiModel& model, const QueryReader& args) {
    if (const auto ok = args.only({}); !ok) return refusal(ok.error());
    json targets = json::array();
    for (const NotificationTargetView& view : model.notification_targets()) {
        targets.push_back({{"name", view.name},
                           {"type", view.type},
                           {"fallback", view.fallback},
                           {"waiting", view.waiting},
                           {"oldest", time_json(view.oldest_ms)},
                           {"last_sent", time_json(view.last_sent_ms)},
                           {"failing_since", time_json(view.failing_since_ms)},
                           {"given_up", view.given_up},
                           {"last_error", view.last_error}});
    }
    return answer({{"targets", targets}});
}

ApiResponse get_metrics(ApiModel& model, const QueryReader& args) {
    if (const auto ok = args.only({"hosts"}); !ok) return refusal(ok.error());
    std::string text = prometheus_text(model.self_metrics());
    if (args.text("hosts") == "1") text += prometheus_text(model.series({}));
    return {200, kPrometheusText, std::move(text)};
}

}  // namespace

ApiResponse handle_request(ApiModel& model, EnrollmentApi& enrollment, const ApiRequest& request) {
    if (auto response = handle_enrollment(enrollment, request)) return std::move(*response);
    if (!request.reads()) {
        ApiResponse response = refusal(405, "only GET and HEAD", "this route only reads");
        response.allow = "GET, HEAD";
        return response;
    }
    const QueryReader args(request.args);
    if (request.path == "/") return get_index();
    if (request.path == "/healthz") return {200, kText, "ok\n"};
    if (request.path == "/readyz") {
        const std::string why = model.not_ready();
        return why.empty() ? ApiResponse{200, kText, "ready\n"}
                           : ApiResponse{503, kText, why + "\n"};
    }
    if (request.path == "/metrics") return get_metrics(model, args);
    if (request.path == "/api/v1/openapi.json")
        return {200, "application/json", std::string(openapi_json())};
    if (request.path == "/api/v1/hosts") return get_hosts(model, args);
    if (request.path == "/api/v1/series") return get_series(model, args);
    if (request.path == "/api/v1/query") return get_query(model, args);
    if (request.path == "/api/v1/notifications") return get_notifications(model, args);
    return refusal(404, "no such route", "see / for the routes");
}

}  // namespace ridgeline::collector
