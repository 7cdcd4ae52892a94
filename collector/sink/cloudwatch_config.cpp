#include "collector/sink/cloudwatch_config.h"

#include <algorithm>
#include <array>

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

}  // namespace

CloudWatchConfig read_cloudwatch_config(ConfigTable& table) {
    using namespace std::chrono_literals;
    CloudWatchConfig config;
    config.enabled = table.boolean("enabled", config.enabled);
    config.region = table.string("region", config.region);
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
    static const std::array<std::string, 2> kNamings = {"otel", "cwagent"};
    config.naming = table.choice("naming", "otel", kNamings) == "cwagent"
                        ? CloudWatchNaming::cwagent
                        : CloudWatchNaming::otel;
    config.dimensions = table.strings("dimensions", config.dimensions);
    check_dimensions(table, config.dimensions);
    if (table.has("budget_usd_per_month"))
        config.budget_usd_per_month = table.number("budget_usd_per_month", 0, 0, 1e9);
    config.prices = table.string("prices", config.prices);
    config.include = table.strings("include", config.include);
    config.exclude = table.strings("exclude", config.exclude);
    static const std::array<std::string, 3> kOnAmbiguous = {"verify", "resend", "drop"};
    const std::string on_ambiguous = table.choice("on_ambiguous", "verify", kOnAmbiguous);
    config.on_ambiguous = on_ambiguous == "resend" ? OnAmbiguous::resend
                          : on_ambiguous == "drop" ? OnAmbiguous::drop
                                                   : OnAmbiguous::verify;
    config.read_back_wait = table.duration("read_back_wait", config.read_back_wait, 5s, 1h);
    config.endpoint_url = table.string("endpoint_url", config.endpoint_url);
    return config;
}

}  // namespace ridgeline::collector
