#include "collector/sink/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/text.h"
#include "common/metric/catalog.h"
#include "common/metric/cwagent.h"

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
        case Refusal::no_cwagent_name:
            return "no_cwagent_name";
        case Refusal::no_growth:
            return "no_growth";
        case Refusal::not_rolled_up:
            return "not_rolled_up";
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

// One name of a series, before it is known whose dimensions it gets.
struct Selection::Draft {
    std::string_view metric;            // ours
    SelectedMetric out;                 // without dimensions
    std::vector<Dimension> attributes;  // the series' own
};

namespace {

// The value of "host" or "tag.<key>", and the name it has as a dimension.
std::optional<Dimension> host_dimension(const std::string& wanted, const HostInfo& host) {
    if (wanted == "host") return Dimension{"host", host.host_id};
    const std::string key = wanted.substr(std::string_view("tag.").size());
    const auto tag = host.tags.find(key);
    if (tag == host.tags.end()) return std::nullopt;
    return Dimension{key, tag->second};
}

}  // namespace

Selection::Selection(const CloudWatchConfig& config) : config_(config) {}

// Patterns are on our names, and under cwagent's naming on those as well.
bool Selection::wanted(std::string_view metric, std::string_view name) const {
    return (any_matches(config_.include, metric) || any_matches(config_.include, name)) &&
           !any_matches(config_.exclude, metric) && !any_matches(config_.exclude, name);
}

// `named`: the series has a name at all.
std::vector<Selection::Draft> Selection::drafts_of(const SeriesDescriptor& series,
                                                   bool& named) const {
    const auto period_of = [&](std::string_view name) {
        for (const CloudWatchResolution& resolution : config_.resolutions) {
            if (any_matches(resolution.metrics, series.metric) ||
                any_matches(resolution.metrics, name))
                return resolution.period;
        }
        return config_.period;
    };
    std::vector<Draft> drafts;
    named = true;
    if (config_.naming == CloudWatchNaming::otel) {
        if (!wanted(series.metric, series.metric)) return drafts;
        const MetricInfo& metric = *find_metric(series.metric);
        Draft draft{
            metric.name, {{std::string(metric.name), {}, cloudwatch_unit(metric.unit)}}, {}};
        draft.out.period = period_of(metric.name);
        for (const Attribute& attribute : series.attributes)
            draft.attributes.push_back({attribute.key, attribute.value});
        drafts.push_back(std::move(draft));
        return drafts;
    }
    const auto names = cwagent_names_of(series);
    named = !names.empty();
    for (const CwagentName* name : names) {
        if (name->name.empty() || !wanted(series.metric, name->name)) continue;
        Draft draft{name->metric,
                    {{std::string(name->name), {}, name->unit},
                     name->scale,
                     name->offset,
                     name->growth,
                     period_of(name->name)},
                    {}};
        for (Attribute& dimension : cwagent_dimensions(series))
            draft.attributes.push_back({std::move(dimension.key), std::move(dimension.value)});
        drafts.push_back(std::move(draft));
    }
    return drafts;
}

void Selection::add_own(const Draft& draft, const HostInfo& host, SelectedMetrics& out) const {
    const bool only_rolled_up = std::any_of(
        config_.rollups.begin(), config_.rollups.end(), [&](const CloudWatchRollup& rollup) {
            return rollup.only && (any_matches(rollup.metrics, draft.metric) ||
                                   any_matches(rollup.metrics, draft.out.identity.name));
        });
    if (only_rolled_up) return;
    SelectedMetric metric = draft.out;
    std::vector<Dimension>& dimensions = metric.identity.dimensions;
    for (const std::string& wanted : config_.dimensions)
        if (auto dimension = host_dimension(wanted, host)) dimensions.push_back(*dimension);
    for (const std::string& name : config_.append_dimensions) {
        const auto tag = host.tags.find(std::string(*append_dimension_tag(name)));
        if (tag != host.tags.end()) dimensions.push_back({name, tag->second});
    }
    dimensions.insert(dimensions.end(), draft.attributes.begin(), draft.attributes.end());
    set_tags_apart(dimensions);
    out.push_back(std::move(metric));
}

// A roll-up whose tags the host lacks is not the host's.
void Selection::add_rollups(const Draft& draft, const HostInfo& host, SelectedMetrics& out) const {
    for (const CloudWatchRollup& rollup : config_.rollups) {
        if (!any_matches(rollup.metrics, draft.metric) &&
            !any_matches(rollup.metrics, draft.out.identity.name))
            continue;
        SelectedMetric metric = draft.out;
        metric.rolled_up = true;
        bool here = true;
        for (const std::string& wanted : rollup.dimensions) {
            const auto dimension = host_dimension(wanted, host);
            here = here && dimension.has_value();
            if (dimension) metric.identity.dimensions.push_back(*dimension);
        }
        if (!here) continue;
        for (const Dimension& dimension : draft.attributes) {
            const bool kept = !rollup.attributes ||
                              std::find(rollup.attributes->begin(), rollup.attributes->end(),
                                        dimension.name) != rollup.attributes->end();
            if (kept) metric.identity.dimensions.push_back(dimension);
        }
        set_tags_apart(metric.identity.dimensions);
        // The same set of dimensions as the metric's own, or another roll-up's, would count it
        // twice.
        const bool known = std::any_of(out.begin(), out.end(), [&](const SelectedMetric& other) {
            auto ours = metric.identity.dimensions;
            auto theirs = other.identity.dimensions;
            std::sort(ours.begin(), ours.end());
            std::sort(theirs.begin(), theirs.end());
            return other.identity.name == metric.identity.name && ours == theirs;
        });
        if (!known) out.push_back(std::move(metric));
    }
}

Selected Selection::select(const HostInfo& host, const SeriesDescriptor& series) const {
    // Read from CloudWatch: sent back, it would be billed as a custom metric.
    if (series.metric.starts_with("aws.")) return NotSelected{};
    const MetricInfo* metric = find_metric(series.metric);
    if (metric == nullptr) {
        if (!wanted(series.metric, series.metric) || find_thinned(series.metric)) {
            return NotSelected{};
        }
        return Refusal::unknown_metric;
    }
    bool named = true;
    const std::vector<Draft> drafts = drafts_of(series, named);
    if (!named && wanted(series.metric, series.metric)) return Refusal::no_cwagent_name;
    if (drafts.empty()) return NotSelected{};
    SelectedMetrics out;
    for (const Draft& draft : drafts) {
        add_own(draft, host, out);
        add_rollups(draft, host, out);
    }
    if (out.empty()) return Refusal::not_rolled_up;
    for (const SelectedMetric& selected : out)
        if (const auto refusal = refusal_of(selected.identity)) return *refusal;
    return out;
}

const SelectedMetric* own_metric(const Selected& selected) {
    const auto* metrics = std::get_if<SelectedMetrics>(&selected);
    if (metrics == nullptr) return nullptr;
    const auto own = std::find_if(metrics->begin(), metrics->end(), [](const SelectedMetric& m) {
        return !m.rolled_up && !m.growth && m.offset == 0;
    });
    return own == metrics->end() ? nullptr : &*own;
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
