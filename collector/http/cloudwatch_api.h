// CloudWatch's alarms and dashboards over HTTP.
//
//   POST   /api/v1/cloudwatch/jobs      {action: "apply" or "destroy", dry_run}: begins one; a dry
//                                       run only plans
//   GET    /api/v1/cloudwatch/jobs/ID   how far it is, and its plan
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "collector/cloudwatch/control.h"
#include "collector/cost/prices.h"
#include "collector/http/routes.h"

namespace ridgeline::collector {

struct ControlModel {
    // Errc::unavailable: not now (a job runs, the log is not read yet).
    std::function<Result<std::uint64_t>(bool destroys, bool dry_run, const ApiRequest& by)> start;
    std::function<const ControlJob*()> job;  // the last one
    std::function<Result<CloudWatchPrices>()> prices;
};

// nullopt: the path belongs to somebody else.
std::optional<ApiResponse> handle_cloudwatch(const ControlModel& model, const ApiRequest& request);

}  // namespace ridgeline::collector
