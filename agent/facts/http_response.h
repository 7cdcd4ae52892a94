// An HTTP/1.1 response (RFC 9112) as far as the instance metadata service needs it. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline::agent {

inline constexpr std::size_t kHttpResponseBytesMax = 64U << 10;

struct HttpResponse {
    int status = 0;
    std::string body;
};

// Of everything the server sent on a connection that it then closed. Content-Length and chunks are
// obeyed; a body that is shorter than it says is Errc::corrupt.
Result<HttpResponse> parse_http_response(std::string_view bytes);

// The string value of `"name" : "value"` in a flat JSON object, "" when it is not there. Enough for
// the instance identity document, whose values have no escapes.
std::string json_string(std::string_view json, std::string_view name);

}  // namespace ridgeline::agent
