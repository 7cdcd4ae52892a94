// The dashboards that show in CloudWatch's console what the collector writes there, and AWS's own
// beside it. Pure: reads the window, changes nothing.
//
// The body's form: "Dashboard Body Structure and Syntax" in the CloudWatch API Reference.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "collector/cloudwatch/alarm_plan.h"

namespace ridgeline::collector {

struct DashboardSources {
    const SeriesStore& series;
    const KnownHosts& hosts;
    const CloudWatchConfig& writer;
    std::span<const AwsMetricsTarget> aws;
    const DashboardsConfig& config;
    std::string owner;
    std::string region;
};

struct WantedDashboard {
    std::string name;
    nlohmann::json body;
};

struct WantedDashboards {
    std::vector<WantedDashboard> dashboards;
    std::vector<PlanProblem> problems;
};

WantedDashboards make_dashboards(const DashboardSources& sources);

// Whether the body carries that collector's mark, in a text.
bool is_marked(const nlohmann::json& body, std::string_view owner);

// Which of PutDashboard's rules it breaks; empty: none.
std::string faults_of(const nlohmann::json& body);

}  // namespace ridgeline::collector
