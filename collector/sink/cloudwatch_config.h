// [cloudwatch] of collector.toml.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/toml_reader.h"

namespace ridgeline::collector {

enum class CloudWatchNaming {
    otel,     // the catalog's names, ratios 0..1
    cwagent,  // amazon-cloudwatch-agent's names, ratios as Percent; only metrics that have one
};

// Totals over hosts (and over what attributes tell apart), computed here: one metric for all hosts
// that have the same values of `dimensions`.
struct CloudWatchRollup {
    std::vector<std::string> metrics = {"*"};  // globs, among what is included
    std::vector<std::string> dimensions;       // "host" or "tag.<key>"; none: the whole fleet
    // Attributes that stay apart; those left out are added up over. Absent: all stay.
    std::optional<std::vector<std::string>> attributes;
    bool only = false;  // the metrics themselves are not sent
    bool operator==(const CloudWatchRollup&) const = default;
};

// Another period than `period` for some metrics; the first that matches counts.
struct CloudWatchResolution {
    std::vector<std::string> metrics;  // globs
    std::chrono::milliseconds period{0};
    bool operator==(const CloudWatchResolution&) const = default;
};

// What becomes of a request whose answer was lost, since CloudWatch adds up what it gets twice.
enum class OnAmbiguous {
    verify,  // read back whether it arrived; send it again if not
    resend,  // send it again: sums and counts may double
    drop,    // do not: samples may be missing, and are counted
};

struct CloudWatchConfig {
    bool enabled = false;
    std::string region = "auto";
    std::string space = "Ridgeline";  // key `namespace`
    std::chrono::milliseconds period{60'000};
    CloudWatchNaming naming = CloudWatchNaming::otel;
    std::vector<std::string> dimensions = {"host"};  // "host" or "tag.<key>"; attributes always
    std::vector<std::string> include = {"system.*.utilization", "tls.*"};  // globs on metric names
    std::vector<std::string> exclude;
    // "InstanceId", "ImageId", "InstanceType", "AutoScalingGroupName", as in that agent's settings
    std::vector<std::string> append_dimensions;
    std::vector<CloudWatchRollup> rollups;
    std::vector<CloudWatchResolution> resolutions;
    std::optional<double> budget_usd_per_month;  // new metrics beyond it are not sent
    std::string prices = "/usr/share/ridgeline/prices/cloudwatch.toml";
    OnAmbiguous on_ambiguous = OnAmbiguous::verify;
    std::chrono::milliseconds read_back_wait{180'000};  // how long CloudWatch may not show it yet
    std::string endpoint_url;                           // empty: the region's endpoint
    bool operator==(const CloudWatchConfig&) const = default;
};

// The host's tag that holds one of `append_dimensions`; nothing for another name.
std::optional<std::string_view> append_dimension_tag(std::string_view dimension);

// What of roll-ups, resolutions and append_dimensions decides which datums come out, as text.
std::string shape_of(const CloudWatchConfig& config);

// Mistakes are recorded in the table's document.
CloudWatchConfig read_cloudwatch_config(ConfigTable& table);

}  // namespace ridgeline::collector
