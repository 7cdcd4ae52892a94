// Silences over HTTP.
//
//   GET    /api/v1/silences               those that have not ended; ?ended=1: all
//   POST   /api/v1/silences               {"matchers": {…}, "for": "2h" or "until": "…", "from":
//   "…",
//                                          "comment": "…", "force": false}
//   POST   /api/v1/silences/preview       {"matchers": {…}}
//   POST   /api/v1/silences/{id}/expire   {}
//   POST   /api/v1/silences/{id}/extend   {"for": "2h"}: from now; or "until"
//
// Guarded as alert_api.h says. Loop thread.
#pragma once

#include <optional>

#include "collector/alert/alert_desk.h"
#include "collector/http/routes.h"

namespace ridgeline::collector {

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_silences(AlertDesk& desk, const ApiRequest& request);

}  // namespace ridgeline::collector
