#include "collector/sink/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "common/base/text.h"
#include "common/metric/catalog.h"

namespace ridgeline::collector {

namespace {

// Dimension, MetricDatum in the CloudWatch API Reference.
constexpr std::size_t kDimensionsMax = 30;
constexpr std::size_t kDimensionNameMax = 255;
constexpr std::size_t kDimensionValueMax = 1024;
constexpr std::size_t kMetricNameMax = 255;

bool printable_ascii(std::string_view text, std::size_t bytes_max) {
    return !text.empty() && text.size() <= bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; }) &&
           text.find_first_not_of(' ') != std::string_view::npos;
}

// What amazon-cloudwatch-agent calls the attribute, or nothing when the metric's cwagent name says
// it already.
std::optional<Dimension> cwagent_dimension(const Attribute& attribute) {
    if (attribute.key == "state" || attribute.key == "direction") return std::nullopt;
    if (attribute.key == "mountpoint") return Dimension{"path", attribute.value};
    if (attribute.key == "type") return Dimension{"fstype", attribute.value};
    if (attribute.key == "cpu") return Dimension{"cpu", "cpu" + attribute.value};
    return Dimension{attribute.key, attribute.value};
}

// A cwagent name stands for one value of `state`; cpu modes and counters' directions have names
// that the catalog does not hold.
bool cwagent_series(const MetricInfo& metric, const Attributes& attributes) {
    // That agent reports a counter's growth, ours its value: under its name it would be wrong.
    if (metric.cwagent_name.empty() || metric.kind == MetricKind::counter) return false;
    if (find_attribute(attributes, "mode") != nullptr) return false;
    const std::string* state = find_attribute(attributes, "state");
    const std::string_view wanted =
        metric.name == "system.network.connections" ? "established" : "used";
    return state == nullptr ? metric.name != "system.network.connections" : *state == wanted;
}

std::vector<Dimension> cwagent_dimensions(const MetricInfo& metric, const Attributes& attributes) {
    std::vector<Dimension> out;
    for (const Attribute& attribute : attributes)
        if (auto dimension = cwagent_dimension(attribute)) out.push_back(std::move(*dimension));
    if (metric.name == "system.cpu.utilization" && find_attribute(attributes, "cpu") == nullptr) {
        out.push_back({"cpu", "cpu-total"});
    }
    return out;
}

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return glob_match(pattern, name); });
}

std::optional<Refusal> refusal_of(const MetricIdentity& identity) {
    if (!printable_ascii(identity.name, kMetricNameMax)) return Refusal::metric_name;
    if (identity.dimensions.size() > kDimensionsMax) return Refusal::dimension_count;
    for (const Dimension& dimension : identity.dimensions) {
        if (!printable_ascii(dimension.name, kDimensionNameMax) || dimension.name.front() == ':' ||
            !printable_ascii(dimension.value, kDimensionValueMax)) {
            return Refusal::dimension_text;
        }
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Refusal refusal) {
    switch (refusal) {
        case Refusal::unknown_metric:
            return "unknown_metric";
        case Refusal::dimension_count:
            return "dimension_count";
        case Refusal::dimension_text:
            return "dimension_text";
        case Refusal::metric_name:
            return "metric_name";
        case Refusal::value_range:
            return "value_range";
        case Refusal::too_old:
            return "too_old";
        case Refusal::too_new:
            return "too_new";
        case Refusal::refused_by_aws:
            return "refused_by_aws";
        case Refusal::over_budget:
            return "over_budget";
    }
    return "";
}

namespace {

// AWS refuses a name that comes twice. A tag called like one of the series' attributes keeps its
// value under the name it has in our configuration.
void set_tags_apart(std::vector<Dimension>& dimensions) {
    for (std::size_t i = 0; i < dimensions.size(); ++i) {
        const bool again =
            std::any_of(dimensions.begin() + static_cast<std::ptrdiff_t>(i) + 1, dimensions.end(),
                        [&](const Dimension& later) { return later.name == dimensions[i].name; });
        if (again) dimensions[i].name.insert(0, "tag.");
    }
}

}  // namespace

Selection::Selection(const CloudWatchConfig& config)
    : include_(config.include),
      exclude_(config.exclude),
      dimensions_(config.dimensions),
      naming_(config.naming) {}

Selected Selection::select(const HostInfo& host, const SeriesDescriptor& series) const {
    if (!any_matches(include_, series.metric) || any_matches(exclude_, series.metric)) {
        return NotSelected{};
    }
    // Read from CloudWatch: sent back, it would be billed as a custom metric.
    if (series.metric.starts_with("aws.")) return NotSelected{};
    const MetricInfo* metric = find_metric(series.metric);
    if (metric == nullptr && find_thinned(series.metric)) return NotSelected{};
    if (metric == nullptr) return Refusal::unknown_metric;

    SelectedMetric out;
    for (const std::string& dimension : dimensions_) {
        if (dimension == "host") {
            out.identity.dimensions.push_back({"host", host.host_id});
            continue;
        }
        const std::string key = dimension.substr(std::string_view("tag.").size());
        const auto tag = host.tags.find(key);
        if (tag != host.tags.end()) out.identity.dimensions.push_back({key, tag->second});
    }
    if (naming_ == CloudWatchNaming::cwagent) {
        if (!cwagent_series(*metric, series.attributes)) return NotSelected{};
        const bool percent = metric->unit == "1";
        out.identity.name = metric->cwagent_name;
        out.identity.unit = percent ? "Percent" : cloudwatch_unit(metric->unit);
        out.scale = percent ? 100 : 1;
        for (Dimension& dimension : cwagent_dimensions(*metric, series.attributes))
            out.identity.dimensions.push_back(std::move(dimension));
    } else {
        out.identity.name = metric->name;
        out.identity.unit = cloudwatch_unit(metric->unit);
        for (const Attribute& attribute : series.attributes)
            out.identity.dimensions.push_back({attribute.key, attribute.value});
    }
    set_tags_apart(out.identity.dimensions);
    if (const auto refusal = refusal_of(out.identity)) return *refusal;
    return out;
}

std::string_view cloudwatch_unit(std::string_view unit) {
    if (unit == "By") return "Bytes";
    if (unit == "By/s") return "Bytes/Second";
    if (unit == "s") return "Seconds";
    if (unit.starts_with('{')) return unit.ends_with("}/s") ? "Count/Second" : "Count";
    return "None";
}

bool sendable_value(double value) {
    static const double kLargest = std::ldexp(1.0, 360);
    static const double kSmallest = std::ldexp(1.0, -360);
    const double magnitude = std::abs(value);
    return magnitude == 0 || (magnitude >= kSmallest && magnitude <= kLargest);  // false for NaN
}

}  // namespace ridgeline::collector
