// Which series become CloudWatch metrics, and under which name, unit and dimensions. Pure.
//
// A series that CloudWatch would refuse is refused here, whole: a dimension that is cut or left out
// would make it another metric.
#pragma once

#include <chrono>
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
    no_cwagent_name,  // naming = "cwagent", and that agent has no such metric
    no_growth,        // the first sample of a counter: how much it has grown is not known
    not_rolled_up,    // only roll-ups of it are sent, and the host lacks their tags
};
inline constexpr std::size_t kRefusalCount = 12;
std::string_view to_string(Refusal refusal);

struct SelectedMetric {
    MetricIdentity identity;
    double scale =
        1;  // what is sent is the value * scale + offset: 100 where a ratio becomes Percent
    double offset = 0;
    bool growth =
        false;  // of a counter: what is sent is how much it has grown since the sample before
    std::chrono::milliseconds period{60'000};
    bool rolled_up = false;  // other series are in it too
    double of(double value) const { return value * scale + offset; }
};
// A series' own metric, or several names of it, and the roll-ups that it is part of.
using SelectedMetrics = std::vector<SelectedMetric>;
// Nothing of it is to be sent, by the configuration.
struct NotSelected {};
using Selected = std::variant<SelectedMetrics, NotSelected, Refusal>;

// What an alarm or a chart of the series' own raw values can look at: the first name that is its
// own and sent as it is, but for a factor. nullptr: there is none.
const SelectedMetric* own_metric(const Selected& selected);

class Selection {
  public:
    explicit Selection(const CloudWatchConfig& config);
    Selected select(const HostInfo& host, const SeriesDescriptor& series) const;

  private:
    struct Draft;
    bool wanted(std::string_view metric, std::string_view name) const;
    std::vector<Draft> drafts_of(const SeriesDescriptor& series, bool& named) const;
    void add_own(const Draft& draft, const HostInfo& host, SelectedMetrics& out) const;
    void add_rollups(const Draft& draft, const HostInfo& host, SelectedMetrics& out) const;

    CloudWatchConfig config_;
};

// CloudWatch's unit for a catalog unit: By -> Bytes, s -> Seconds, {anything} -> Count, else None.
std::string_view cloudwatch_unit(std::string_view unit);

// Finite, and zero or of a magnitude within 2^-360..2^360 (MetricDatum$Value in the API Reference).
bool sendable_value(double value);

}  // namespace ridgeline::collector
