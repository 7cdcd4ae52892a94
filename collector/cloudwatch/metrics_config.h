// [[aws_metrics]] of collector.toml: what is read from CloudWatch into the log, and as what.
//
// An entry is one pseudo-host, aws/NAME; no agent can have that id. Each metric and statistic it
// asks for is a series: namespace AWS/ApplicationELB, metric TargetResponseTime, statistic p95 is
// aws.applicationelb.target_response_time{load_balancer="…",stat="p95"}.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/sink/datum.h"
#include "common/config/toml_reader.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// One MetricStat of GetMetricData, and the series its values become.
struct AwsMetricQuery {
    std::string space;   // "AWS/RDS"
    std::string metric;  // "CPUUtilization"
    std::vector<Dimension> dimensions;
    std::string stat;  // as CloudWatch spells it: "Average", "p95"
    SeriesDescriptor series;
    double scale = 1;     // 0.01 where CloudWatch says percent
    bool global = false;  // published in us-east-1 only (CloudFront)
    // CloudWatch has no point where nothing was counted. Where this other query of the entry has
    // one, that was a zero.
    std::optional<std::size_t> zero_beside;
    bool operator==(const AwsMetricQuery&) const = default;
};

struct AwsMetricsConfig {
    std::string name;
    std::string region = "auto";
    std::string endpoint_url;  // empty: the region's
    std::chrono::milliseconds period{60'000};
    std::chrono::milliseconds delay{120'000};        // after a period's end, before it is asked for
    std::chrono::milliseconds reread{900'000};       // late data are looked for so far back
    std::chrono::milliseconds backfill{10'800'000};  // at first and after a pause, so far back
    std::map<std::string, std::string> tags;
    std::vector<AwsMetricQuery> queries;

    std::string host_id() const { return std::string(kHostPrefix) + name; }
    static constexpr std::string_view kHostPrefix = "aws/";
    static constexpr std::size_t kQueriesMax = 5'000;
    bool operator==(const AwsMetricsConfig&) const = default;
};

// Reads all entries and declares their metrics; mistakes are recorded in the document.
std::vector<AwsMetricsConfig> read_aws_metrics(ConfigTable& root);

// "HTTPCode_Target_5XX_Count" -> "http_code_target_5xx_count"
std::string snake_case(std::string_view name);
// "AWS/ApplicationELB", "RequestCount" -> "aws.applicationelb.request_count"
std::string aws_metric_name(std::string_view space, std::string_view metric);
// What GetMetricData takes as Stat: the five simple ones, IQM, and percentiles (p99.9, tm90, …).
bool is_statistic(std::string_view stat);

}  // namespace ridgeline::collector
