// One plain HTTP request to the instance metadata service. The agent has no HTTP library: its pages
// would outweigh the agent. Blocks; worker thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "agent/facts/http_response.h"

namespace ridgeline::agent {

struct HttpRequest {
    std::string method;  // "GET" or "PUT"
    std::string path;
    std::string header;  // one line "Name: value", or empty
};

// `authority` is an address and port: "169.254.169.254:80", "[fd00:ec2::254]:80". Everything, from
// connecting to the last byte, within `timeout`. Errc::unavailable; sys_errno is ETIMEDOUT when it
// was connected but not answered.
Result<HttpResponse> http_exchange(const std::string& authority, const HttpRequest& request,
                                   std::chrono::milliseconds timeout);

}  // namespace ridgeline::agent
