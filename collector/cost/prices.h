// What CloudWatch costs: a dated table in TOML that users can replace (packaging/prices/). Pure but
// for reading the file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

struct PriceTier {
    double upto = 0;  // so many of them; infinite in the last one
    double price = 0;
};

struct CloudWatchPrices {
    std::string date;  // of the table, "2026-11-23"
    std::string currency = "USD";
    std::vector<PriceTier> metric_month;  // ascending, the last without an end
    double metric_month_free = 0;
    double requests_per_1000 = 0;
    double requests_free = 0;
    double metrics_read_per_1000 = 0;
    double dashboard_month = 0;
    double dashboards_free = 0;
    double alarm_month = 0;
    double alarms_free = 0;
    double alarm_high_resolution_month = 0;

    // Of so many metric-months, free ones included.
    double metrics_cost(double metric_months) const;
    // What one more would cost.
    double metric_margin(double metric_months) const;
};

// For `region`; mistakes are in the document's errors.
CloudWatchPrices read_prices(ConfigDocument& document, std::string_view region);
// Errc::invalid_argument says what is wrong with the file, and where.
Result<CloudWatchPrices> load_prices(const std::filesystem::path& file, std::string_view region);

}  // namespace ridgeline::collector
