// From what is used in a month to what it costs. Pure.
//
// Custom metrics are metered by the hour in which they have data ("CloudWatch billing and cost" in
// the user guide): a metric that is there half of the time is half a metric-month.
#pragma once

#include <map>
#include <string>

#include "collector/cost/prices.h"

namespace ridgeline::collector {

// AWS's hours of a month.
inline constexpr double kHoursPerMonth = 730;

struct CloudWatchUsage {
    double metric_months = 0;
    double put_requests = 0;  // PutMetricData, a month
    double put_bytes = 0;     // before compression, a month
    double metrics_read = 0;  // GetMetricData, a month
    double alarm_metrics = 0;
    double alarm_metrics_high_resolution = 0;
    double dashboards = 0;
    std::size_t series = 0;  // custom metrics that were there at all
    // Of metric_months. A metric made of several hosts' series counts for each by its part; a host
    // counts for each of its tags ("role=web").
    std::map<std::string, double> by_metric;
    std::map<std::string, double> by_host;
    std::map<std::string, double> by_tag;
};

struct CloudWatchBill {
    double metrics = 0;
    double requests = 0;
    double reads = 0;
    double alarms = 0;
    double dashboards = 0;
    double blended = 0;   // what a metric-month costs on average
    double marginal = 0;  // what one more would cost, one less save
    double total() const { return metrics + requests + reads + alarms + dashboards; }
};

CloudWatchBill make_bill(const CloudWatchUsage& usage, const CloudWatchPrices& prices);

}  // namespace ridgeline::collector
