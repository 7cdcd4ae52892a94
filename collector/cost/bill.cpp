#include "collector/cost/bill.h"

#include <algorithm>

namespace ridgeline::collector {

CloudWatchBill make_bill(const CloudWatchUsage& usage, const CloudWatchPrices& prices) {
    CloudWatchBill bill;
    bill.metrics = prices.metrics_cost(usage.metric_months);
    bill.blended = usage.metric_months > 0 ? bill.metrics / usage.metric_months : 0;
    bill.marginal = prices.metric_margin(usage.metric_months);
    bill.requests =
        std::max(0.0, usage.put_requests - prices.requests_free) / 1000 * prices.requests_per_1000;
    bill.reads = usage.metrics_read / 1000 * prices.metrics_read_per_1000;
    bill.alarms = std::max(0.0, usage.alarm_metrics - prices.alarms_free) * prices.alarm_month +
                  usage.alarm_metrics_high_resolution * prices.alarm_high_resolution_month;
    bill.dashboards =
        std::max(0.0, usage.dashboards - prices.dashboards_free) * prices.dashboard_month;
    return bill;
}

}  // namespace ridgeline::collector
