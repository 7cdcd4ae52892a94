#include "collector/http/json_reply.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

using nlohmann::json;

namespace {
// What RFC 3339 can express with four-digit years.
constexpr std::int64_t kEarliestMs = 0;
constexpr std::int64_t kLatestMs = 253'402'300'799'000;
}  // namespace

ApiResponse json_answer(const json& body, unsigned status) {
    // Host names and attributes come from outside and may not be UTF-8.
    return {status, "application/json",
            body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

ApiResponse json_refusal(unsigned status, const std::string& error, const std::string& hint) {
    return json_answer(json{{"error", error}, {"hint", hint}}, status);
}

ApiResponse json_refusal(const Error& error) {
    switch (error.code) {
        case Errc::not_found:
            return json_refusal(404, error.context);
        case Errc::unavailable:
            return json_refusal(409, error.context);
        case Errc::invalid_argument:
            return json_refusal(400, error.context, "see / for the routes and their arguments");
        case Errc::limit:
            return json_refusal(429, error.context);
        default:
            return json_refusal(500, error.context, "the collector's journal may say more");
    }
}

ApiResponse json_not_allowed(const std::string& methods) {
    ApiResponse response = json_refusal(405, "only " + methods);
    response.allow = methods;
    return response;
}

std::optional<ApiResponse> read_body(const ApiRequest& request, json& body) {
    if (request.content_type.substr(0, 16) != "application/json") {
        return json_refusal(415, "the body must be JSON", "send Content-Type: application/json");
    }
    body = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false, false);
    if (body.is_object()) return std::nullopt;
    return json_refusal(400, "the body is no JSON object", "/ lists the routes");
}

Result<void> only_keys(const json& body, std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : body.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        std::string all;
        for (const std::string_view name : known)
            all += (all.empty() ? "" : ", ") + std::string(name);
        return fail(Errc::invalid_argument,
                    "unknown key \"" + printable(key, 100) + "\"; known are " + all);
    }
    return {};
}

Result<std::string> body_text(const json& body, const std::string& key) {
    const auto it = body.find(key);
    if (it == body.end()) return std::string();
    if (!it->is_string()) return fail(Errc::invalid_argument, key + " must be a text");
    return it->get<std::string>();
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

std::optional<std::int64_t> parse_id(std::string_view text) {
    const auto id = to_i64(text);
    return id && *id > 0 ? id : std::nullopt;
}

}  // namespace ridgeline::collector
