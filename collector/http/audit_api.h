// Who did what, over HTTP: GET /api/v1/audit ?author=GLOB&action=GLOB&since=&limit=&offset=
#pragma once

#include <optional>

#include "collector/alert/alert_desk.h"
#include "collector/http/routes.h"

namespace ridgeline::collector {

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_audit(AlertDesk& desk, const ApiRequest& request);

// What the audit log says of a request about tokens and enrolled hosts that was carried out;
// nullopt when it changed nothing. Never holds a token's secret.
struct AuditedChange {
    std::string action;
    std::string subject;
    std::string after;
};
std::optional<AuditedChange> audited_change(const ApiRequest& request, const ApiResponse& response);

}  // namespace ridgeline::collector
