// Datums as PutMetricData requests in AWS's JSON 1.0 protocol. Pure.
//
// JSON is the smallest of the three protocols for datums with many values; with gzip a full request
// of 1,000 single values is about 20 kB.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "collector/aws/http_client.h"
#include "collector/sink/datum.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct RequestLimits {
    std::size_t datums_max = 1'000;    // PutMetricData, MetricData in the API Reference
    std::size_t bytes_max = 999'000;   // of the 1 MB, before compression, as AWS's own agent counts
    std::size_t gzip_bytes_min = 256;  // below, gzip saves nothing
};

struct RequestBody {
    std::size_t datum_count = 0;  // taken from the front of what was given; at least 1
    std::string json;
};

// As many datums from the front as fit one request, and `extra`, a MetricDatum as JSON, unless it
// is empty. `datums` must not be empty. A datum of ours with more than kUniqueValuesMax values is
// several of AWS's, which adds them up; they go together.
RequestBody build_request(std::string_view name_space, std::span<const Datum> datums,
                          std::chrono::milliseconds period, const RequestLimits& limits = {},
                          std::string_view extra = {});

// The HTTP request around a body, compressed where that makes it smaller; not signed.
HttpRequest put_metric_data(std::string_view endpoint, const std::string& json,
                            const RequestLimits& limits = {});
// The same of another operation.
HttpRequest cloudwatch_request(std::string_view endpoint, std::string_view operation,
                               const std::string& json, const RequestLimits& limits = {});

// RFC 1952, zlib's default level; the same input gives the same bytes.
Result<std::string> gzip(std::string_view data);

}  // namespace ridgeline::collector
