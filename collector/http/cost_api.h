// What CloudWatch costs over HTTP.
//
//   GET    /api/v1/cost     the month's bill as things are; with include, exclude, dimensions (each
//                           a list with commas), period or naming also what it would be with those
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "collector/cost/bill.h"
#include "collector/http/routes.h"
#include "collector/sink/cloudwatch_config.h"

namespace ridgeline::collector {

struct BudgetView {
    double usd_per_month = 0;
    double estimate = 0;
    std::size_t admitted = 0;
    std::size_t refused = 0;  // lately
    std::string example;      // one of them
};

struct CostModel {
    CloudWatchConfig config;
    Result<CloudWatchPrices> prices;
    std::optional<BudgetView> budget;
    // With these settings; switched on or not.
    std::function<CloudWatchUsage(const CloudWatchConfig&)> usage;
};

// nullopt: the path belongs to somebody else. `model` is asked for only if needed.
std::optional<ApiResponse> handle_cost(const std::function<CostModel()>& model,
                                       const ApiRequest& request);

}  // namespace ridgeline::collector
