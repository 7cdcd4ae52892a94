// The API's routes: a request in, a response out; no sockets.
#pragma once

#include <string>

#include "collector/http/api_model.h"
#include "collector/http/query_args.h"

namespace ridgeline::collector {

struct ApiRequest {
    std::string path;
    QueryArgs args;
    std::string method = "GET";
    std::string content_type;
    std::string body;
    std::string author = {};   // who says to be asking: X-Ridgeline-Author
    std::string address = {};  // where from
    bool reads() const { return method == "GET" || method == "HEAD"; }
};

struct ApiResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::string allow = {};  // with 405: the methods that are
};

// One answer is at most this many series and points; more is refused with what to do instead.
inline constexpr std::size_t kQuerySeriesMax = 200;
inline constexpr std::int64_t kQueryPointsMax = 11'000;

class EnrollmentApi;

// Never throws. Errors are {"error": …, "hint": …} with a status of 4xx or 500.
ApiResponse handle_request(ApiModel& model, EnrollmentApi& enrollment, const ApiRequest& request);

}  // namespace ridgeline::collector
