// Which series become CloudWatch metrics, and under which name, unit and dimensions. Pure.
//
// A series that CloudWatch would refuse is refused here, whole: a dimension that is cut or left out
// would make it another metric.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/sink/cloudwatch_config.h"
#include "collector/sink/datum.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// Why a sample or datum is not sent.
enum class Refusal {
    unknown_metric,   // not in the catalog
    dimension_count,  // more than 30
    dimension_text,   // name or value empty, too long, or not printable ASCII
    metric_name,      // empty, too long, or not printable ASCII
    value_range,      // beyond ±2^360, or nearer to zero than 2^-360
    too_old,          // more than two weeks back
    too_new,          // more than two hours ahead
    refused_by_aws,   // sent alone, and still refused
    over_budget,      // a new metric, and the month's budget is used up
};
inline constexpr std::size_t kRefusalCount = 9;
std::string_view to_string(Refusal refusal);

struct SelectedMetric {
    MetricIdentity identity;
    double scale = 1;  // 100 where a ratio becomes Percent
};
struct NotSelected {};
using Selected = std::variant<SelectedMetric, NotSelected, Refusal>;

class Selection {
  public:
    explicit Selection(const CloudWatchConfig& config);
    Selected select(const HostInfo& host, const SeriesDescriptor& series) const;

  private:
    std::vector<std::string> include_;
    std::vector<std::string> exclude_;
    std::vector<std::string> dimensions_;
    CloudWatchNaming naming_;
};

// CloudWatch's unit for a catalog unit: By -> Bytes, s -> Seconds, {anything} -> Count, else None.
std::string_view cloudwatch_unit(std::string_view unit);

// Finite, and zero or of a magnitude within 2^-360..2^360 (MetricDatum$Value in the API Reference).
bool sendable_value(double value);

}  // namespace ridgeline::collector
