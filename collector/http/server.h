// The HTTP server: libmicrohttpd driven by our loop through its epoll descriptor; no thread of its
// own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/http/routes.h"
#include "common/base/result.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

struct ListenAddress {
    std::string host;  // an IPv4 or IPv6 loopback address
    std::uint16_t port = 0;
    std::vector<std::string> names{};  // by which it is asked for besides its address
};
// "127.0.0.1:7180", "[::1]:7180", "localhost:7180". Other than loopback is refused: the API has
// neither tokens nor TLS yet.
Result<ListenAddress> check_listen_address(const std::string& text);

// Whether a request's Host names this server: an address, localhost, or one of `names` (a reverse
// proxy's), any port. A page that had its own name resolved to 127.0.0.1 (DNS rebinding) has none
// of these. No Host at all, as HTTP/1.0 may, is no browser.
bool is_our_name(std::string_view host_header, const std::vector<std::string>& names);

struct HttpStats {
    std::uint64_t requests = 0;
    std::uint64_t client_errors = 0;  // 4xx
};

class HttpServer {
  public:
    using Handler = std::function<ApiResponse(const ApiRequest&)>;
    static Result<std::unique_ptr<HttpServer>> start(net::Loop& loop, const ListenAddress& address,
                                                     Handler handler);
    ~HttpServer();

    std::uint16_t port() const;  // the one chosen when the address said 0
    const HttpStats& stats() const;

  private:
    struct Impl;
    explicit HttpServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
