// What the routes that read and write JSON share: answers, refusals, the body of a request.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "collector/http/routes.h"
#include "common/base/result.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

ApiResponse json_answer(const nlohmann::json& body, unsigned status = 200);
ApiResponse json_refusal(unsigned status, const std::string& error, const std::string& hint = "");
// 404 not found, 409 the state of things forbids it, 400 wrong, 429 a limit, else 500.
ApiResponse json_refusal(const Error& error);
ApiResponse json_not_allowed(const std::string& methods);

// Of a request that changes something: Content-Type must be JSON, which a browser does not send to
// another site unasked. Then the body, an object, in `body`; else the refusal.
std::optional<ApiResponse> read_body(const ApiRequest& request, nlohmann::json& body);
// Errc::invalid_argument names a key of `body` that is none of `known`.
Result<void> only_keys(const nlohmann::json& body, std::initializer_list<std::string_view> known);
// A text of `body`; empty when it is not there.
Result<std::string> body_text(const nlohmann::json& body, const std::string& key);

nlohmann::json attributes_json(const Attributes& attributes);
// RFC 3339; null for 0.
nlohmann::json time_json(std::int64_t ms);
// A positive whole number.
std::optional<std::int64_t> parse_id(std::string_view text);

}  // namespace ridgeline::collector
