// The API's routes: a request in, a response out; no sockets.
#pragma once

#include <string>

#include "collector/http/api_model.h"
#include "collector/http/query_args.h"

namespace ridgeline::collector {

struct ApiRequest {
    std::string path;
    QueryArgs args;
};

struct ApiResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
};

// One answer is at most this many series and points; more is refused with what to do instead.
inline constexpr std::size_t kQuerySeriesMax = 200;
inline constexpr std::int64_t kQueryPointsMax = 11'000;

// Never throws. Errors are {"error": …, "hint": …} with 400 or 404.
ApiResponse handle_request(ApiModel& model, const ApiRequest& request);

}  // namespace ridgeline::collector
