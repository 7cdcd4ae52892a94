// Outgoing HTTP as its callers see it: a request, and later one callback with the answer or an
// error.
//
// The implementation on libcurl is curl_client.h; tests answer from memory. Loop thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::collector {

struct HttpHeader {
    std::string name;
    std::string value;
    bool operator==(const HttpHeader&) const = default;
};

struct HttpRequest {
    std::string method = "GET";
    std::string url;
    std::vector<HttpHeader> headers;
    std::string body;
    std::chrono::milliseconds timeout{10'000};  // for the whole exchange, name look-up included
    std::size_t response_bytes_max = std::size_t{1} << 20;  // a longer body is an error (limit)
    bool through_proxy = true;  // false: never through the environment's HTTP proxy
};

struct HttpResponse {
    int status = 0;
    std::vector<HttpHeader> headers;  // names in lower case, in the order they came
    std::string body;

    // The first header of that (lower-case) name, or nullptr.
    const std::string* header(std::string_view name) const;
};

// Any status is an answer; an error means that no whole answer came: Errc::unavailable (refused,
// reset, timed out, name not found), limit (answer too large), invalid_argument (unusable URL). Its
// sys_errno is ENOTCONN when the request cannot have arrived whole: not all of its body was sent.
using HttpDone = std::function<void(Result<HttpResponse>)>;

class HttpClient {
  public:
    virtual ~HttpClient() = default;
    // `done` runs exactly once, never before send() has returned; not at all once the client is
    // destroyed. Redirects are answers, not followed.
    virtual void send(HttpRequest request, HttpDone done) = 0;
};

}  // namespace ridgeline::collector
