// The one table of metrics: name, unit, kind, help, and the names other systems know them by.
//
// Names follow the OpenTelemetry system semantic conventions. A source may only emit what is listed
// here; a rule may only name what is listed here or declared by configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline {

enum class MetricKind : std::uint8_t {
    gauge,    // may go up and down
    counter,  // only grows, but for a reset
};

struct MetricInfo {
    std::string_view name;
    std::string_view unit;  // UCUM: "1" ratio 0..1, "By", "s", "By/s", "{packet}" …
    MetricKind kind;
    std::string_view attributes;    // comma-separated attribute keys the metric may carry
    std::string_view cwagent_name;  // amazon-cloudwatch-agent's name, empty where it has none
    std::string_view help;
};

std::span<const MetricInfo> metric_catalog();
// In the table, or declared.
const MetricInfo* find_metric(std::string_view name);
// A gauge that configuration names beyond the table (metrics of any AWS namespace), known from now
// on. Declared again it may carry the attributes of both. Errc::invalid_argument when it is known
// with another unit, or in the table without one of the attributes. Loop thread.
Result<const MetricInfo*> declare_metric(std::string_view name, std::string_view unit,
                                         std::span<const std::string> attributes);
// Of what an agent adds to old data that it thins: "min", "max" or "avg" for the series METRIC.min,
// METRIC.max and METRIC.avg beside METRIC. nullopt for every other name, also for one of the
// catalog that ends so.
struct ThinnedName {
    const MetricInfo* metric = nullptr;
    std::string_view aggregate;
};
std::optional<ThinnedName> find_thinned(std::string_view name);
// The catalog's name nearest to a misspelt one.
std::optional<std::string> nearest_metric(std::string_view name);

// Mechanical, by the OpenTelemetry–Prometheus compatibility rules: dots become underscores, the
// unit becomes a suffix (By -> _bytes, s -> _seconds, ratio gauges -> _ratio), counters end in
// _total.
std::string prometheus_name(const MetricInfo& metric);

}  // namespace ridgeline
