// Tokens and enrolled hosts over HTTP: what is asked, and the interface it is asked from.
//
//   GET    /api/v1/tokens                 those that can still be used; never their secret
//   POST   /api/v1/tokens                 {"ttl": "1h", "max_uses": 1, "tags": {}, "endpoints":
//   []}; all optional DELETE /api/v1/tokens/{id} POST   /api/v1/hosts/{id}/revoke      {} POST
//   /api/v1/hosts/{id}/rename      {"name": "…"}; empty: its id again
//
// What changes something needs Content-Type: application/json, which a browser does not send to
// another site unasked. Loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/http/routes.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct TokenArgs {
    std::chrono::milliseconds lifetime{0};  // 0: the default
    std::uint32_t uses_max = 1;
    std::map<std::string, std::string> tags;
    std::vector<std::string> endpoints;  // empty: the collector's own
};

struct TokenView {
    std::string id;
    std::string line;  // of a new token alone
    std::int64_t created_ms = 0;
    std::int64_t expires_ms = 0;
    std::uint32_t uses_max = 0;
    std::uint32_t uses = 0;
    std::map<std::string, std::string> tags;
    std::vector<std::string> endpoints;  // of a new token alone
};

class EnrollmentApi {
  public:
    virtual ~EnrollmentApi() = default;
    virtual std::vector<TokenView> tokens() = 0;
    // Errc::invalid_argument in words for the one who asked.
    virtual Result<TokenView> create_token(const TokenArgs& args) = 0;
    virtual Result<void> remove_token(const std::string& id) = 0;
    // A remark for the operator, or nothing. Errc::not_found.
    virtual Result<std::string> revoke_host(const std::string& id) = 0;
    virtual Result<void> rename_host(const std::string& id, const std::string& name) = 0;
};

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_enrollment(EnrollmentApi& api, const ApiRequest& request);

}  // namespace ridgeline::collector
