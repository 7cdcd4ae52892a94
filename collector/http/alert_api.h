// Alerts over HTTP: asked for, with their history, taken on, commented.
//
//   GET    /api/v1/alerts ?state=&severity=&host=GLOB&rule=GLOB&since=&until=&limit=&offset= GET
//   /api/v1/alerts/{id}            with its timeline; ?limit=&offset= page through that POST
//   /api/v1/alerts/{id}/ack        {"comment": "…", "for": "2h"}; both optional POST
//   /api/v1/alerts/{id}/unack      {} POST   /api/v1/alerts/{id}/comment    {"text": "…"}
//
// What changes something needs Content-Type: application/json, and the author's name in
// X-Ridgeline-Author. Loop thread.
#pragma once

#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "collector/alert/alert_desk.h"
#include "collector/http/routes.h"
#include "collector/rule/engine.h"

namespace ridgeline::collector {

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_alerts(AlertDesk& desk, const RuleEngine& engine,
                                         const ApiRequest& request);

// `clearing`: its newest samples are clear.
nlohmann::json alert_json(const AlertDesk& desk, const Alert& alert, bool clearing);

}  // namespace ridgeline::collector
