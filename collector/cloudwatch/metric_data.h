// GetMetricData: its input and output as values. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collector/cloudwatch/metrics_config.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// GetMetricData in the CloudWatch API Reference.
inline constexpr std::size_t kQueriesPerRequestMax = 500;
inline constexpr std::size_t kPointsPerRequestMax = 100'800;

// Periods that begin in [from, to), both multiples of the period.
struct MetricDataWindow {
    std::int64_t from_s = 0;
    std::int64_t to_s = 0;
    std::int64_t period_s = 60;
    std::int64_t points() const { return (to_s - from_s) / period_s; }
};

// How many queries of that window fit one request.
std::size_t queries_per_request(const MetricDataWindow& window);

// `queries[i]` gets the id m<i>. `next_token` empty: the first page.
std::string metric_data_request(std::span<const AwsMetricQuery* const> queries,
                                const MetricDataWindow& window, std::string_view next_token);

struct MetricDataPage {
    enum class Status : std::uint8_t { complete, partial, internal_error, forbidden };
    struct Result {
        std::size_t query = 0;  // i of m<i>
        Status status = Status::complete;
        std::vector<std::pair<std::int64_t, double>> points;  // a period's begin (s), its value
        std::string message;                                  // AWS's own, printable
    };
    std::vector<Result> results;
    std::string next_token;  // empty: the last page
};
// Errc::corrupt when the body is not what GetMetricData answers to `query_count` queries; points
// that are no numbers or lie outside the window are refused likewise.
Result<MetricDataPage> parse_metric_data(std::string_view body, std::size_t query_count,
                                         const MetricDataWindow& window);

}  // namespace ridgeline::collector
