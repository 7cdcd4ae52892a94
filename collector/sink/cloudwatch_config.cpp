#include "collector/sink/cloudwatch_config.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ridgeline::collector {

namespace {

constexpr std::size_t kNamespaceBytesMax = 255;
// One dimension is kept for every attribute key of the catalog; AWS takes 30 in all.
constexpr std::size_t kDimensionsMax = 20;

bool valid_namespace(std::string_view name) {
    return !name.empty() && name.size() <= kNamespaceBytesMax && name.front() != ':' &&
           !name.starts_with("AWS/") &&
           std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

constexpr std::size_t kRollupsMax = 20;
constexpr std::size_t kResolutionsMax = 50;

void check_dimensions(ConfigTable& table, const std::vector<std::string>& dimensions) {
    if (dimensions.size() > kDimensionsMax) {
        table.error_at("dimensions", "at most " + std::to_string(kDimensionsMax) + " dimensions");
    }
    for (const std::string& dimension : dimensions) {
        const bool is_tag = dimension.starts_with("tag.") && dimension.size() > 4;
        if (dimension != "host" && !is_tag) {
            table.error_at("dimensions",
                           "\"" + dimension + "\" is neither \"host\" nor \"tag.<key>\"");
        }
        if (std::count(dimensions.begin(), dimensions.end(), dimension) > 1) {
            table.error_at("dimensions", "\"" + dimension + "\" is given twice");
            return;
        }
    }
}

CloudWatchRollup read_rollup(ConfigTable& table) {
    CloudWatchRollup rollup;
    rollup.metrics = table.strings("metrics", rollup.metrics);
    if (!table.has("dimensions")) {
        table.error_at("dimensions", "dimensions is missing; [] is the whole fleet");
    }
    rollup.dimensions = table.strings("dimensions");
    check_dimensions(table, rollup.dimensions);
    if (table.has("attributes")) rollup.attributes = table.strings("attributes");
    rollup.only = table.boolean("only", rollup.only);
    return rollup;
}

CloudWatchResolution read_resolution(ConfigTable& table, std::chrono::milliseconds period) {
    using namespace std::chrono_literals;
    CloudWatchResolution resolution;
    resolution.metrics = table.strings("metrics");
    if (resolution.metrics.empty()) table.error_at("metrics", "metrics is missing");
    resolution.period = table.duration("period", 1s, 1s, 24h);
    if (resolution.period != 1s && resolution.period % 1min != 0ms) {
        table.error_at("period", "CloudWatch keeps whole minutes, or 1s as high resolution");
    } else if (period % resolution.period != 0ms) {
        table.error_at("period",
                       "must be a part of [cloudwatch] period, which is when metrics are "
                       "sent");
    }
    return resolution;
}

}  // namespace

CloudWatchConfig read_cloudwatch_config(ConfigTable& table) {
    using namespace std::chrono_literals;
    CloudWatchConfig config;
    config.enabled = table.boolean("enabled", config.enabled);
    config.region = table.string("region", config.region);
    static const std::array<std::string, 2> kNamings = {"otel", "cwagent"};
    const bool cwagent = table.choice("naming", "otel", kNamings) == "cwagent";
    if (cwagent) {
        // What that agent does unless it is told otherwise.
        config.naming = CloudWatchNaming::cwagent;
        config.space = "CWAgent";
        config.include = {"system.*.utilization"};
    }
    config.space = table.string("namespace", config.space);
    if (!valid_namespace(config.space)) {
        table.error_at("namespace",
                       "must be 1 to 255 printable ASCII characters without blanks, and not begin "
                       "with ':' or \"AWS/\"");
    }
    config.period = table.duration("period", config.period, 1s, 24h);
    if (config.period != 1s && config.period % 1min != 0ms) {
        table.error_at("period", "CloudWatch keeps whole minutes, or 1s as high resolution");
    }
    config.append_dimensions = table.strings("append_dimensions");
    for (const std::string& dimension : config.append_dimensions) {
        if (!append_dimension_tag(dimension)) {
            table.error_at("append_dimensions",
                           "\"" + dimension +
                               "\" is none of InstanceId, ImageId, InstanceType, "
                               "AutoScalingGroupName");
        }
    }
    // As that agent, which leaves its host out where the instance is named.
    if (!config.append_dimensions.empty()) config.dimensions.clear();
    config.dimensions = table.strings("dimensions", config.dimensions);
    check_dimensions(table, config.dimensions);
    if (table.has("budget_usd_per_month"))
        config.budget_usd_per_month = table.number("budget_usd_per_month", 0, 0, 1e9);
    config.prices = table.string("prices", config.prices);
    config.include = table.strings("include", config.include);
    config.exclude = table.strings("exclude", config.exclude);
    for (ConfigTable& entry : table.tables("rollup"))
        config.rollups.push_back(read_rollup(entry));
    if (config.rollups.size() > kRollupsMax) {
        table.error_at("rollup", "at most " + std::to_string(kRollupsMax) + " roll-ups");
    }
    for (ConfigTable& entry : table.tables("resolution"))
        config.resolutions.push_back(read_resolution(entry, config.period));
    if (config.resolutions.size() > kResolutionsMax) {
        table.error_at("resolution", "at most " + std::to_string(kResolutionsMax) + " resolutions");
    }
    static const std::array<std::string, 3> kOnAmbiguous = {"verify", "resend", "drop"};
    const std::string on_ambiguous = table.choice("on_ambiguous", "verify", kOnAmbiguous);
    config.on_ambiguous = on_ambiguous == "resend" ? OnAmbiguous::resend
                          : on_ambiguous == "drop" ? OnAmbiguous::drop
                                                   : OnAmbiguous::verify;
    config.read_back_wait = table.duration("read_back_wait", config.read_back_wait, 5s, 1h);
    config.endpoint_url = table.string("endpoint_url", config.endpoint_url);
    return config;
}

std::optional<std::string_view> append_dimension_tag(std::string_view dimension) {
    // What the agent's facts call them.
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kTags = {
        {{"InstanceId", "host.id"},
         {"ImageId", "host.image.id"},
         {"InstanceType", "host.type"},
         {"AutoScalingGroupName", "aws.autoscaling.group"}}};
    for (const auto& [name, tag] : kTags)
        if (name == dimension) return tag;
    return std::nullopt;
}

std::string shape_of(const CloudWatchConfig& config) {
    std::string text;
    const auto add_all = [&](const std::vector<std::string>& items) {
        text += std::to_string(items.size());
        for (const std::string& item : items)
            text.append("\n").append(item);
    };
    add_all(config.append_dimensions);
    for (const CloudWatchRollup& rollup : config.rollups) {
        text += rollup.only ? "\nrollup only" : "\nrollup";
        add_all(rollup.metrics);
        add_all(rollup.dimensions);
        if (rollup.attributes) add_all(*rollup.attributes);
    }
    for (const CloudWatchResolution& resolution : config.resolutions) {
        text += "\nresolution " + std::to_string(resolution.period.count());
        add_all(resolution.metrics);
    }
    return text;
}

}  // namespace ridgeline::collector
