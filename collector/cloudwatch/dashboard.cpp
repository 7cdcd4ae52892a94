#include "collector/cloudwatch/dashboard.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "collector/cloudwatch/alarm.h"
#include "collector/sink/selection.h"
#include "common/base/text.h"
#include "common/metric/catalog.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr int kColumns = 24;
constexpr int kWidth = 12;
constexpr int kHeight = 6;
constexpr std::size_t kWidgetsMax = 500;
constexpr std::size_t kMetricsPerWidgetMax = 500;
constexpr std::size_t kMetricsMax = 2500;
constexpr std::size_t kExpressionMax = 1024;
// Of one metric, so many sets of dimensions are searched for.
constexpr std::size_t kShapesMax = 20;
// What a dashboard's reader picks a host in place of.
constexpr const char* kHostPattern = "RIDGELINE_HOST";

// Widgets side by side, two in a row.
class Grid {
  public:
    explicit Grid(const std::string& heading) {
        widgets_.push_back({{"type", "text"},
                            {"x", 0},
                            {"y", 0},
                            {"width", kColumns},
                            {"height", 2},
                            {"properties", {{"markdown", heading}}}});
    }
    void add(const char* type, json properties) {
        widgets_.push_back({{"type", type},
                            {"x", column_ * kWidth},
                            {"y", row_},
                            {"width", kWidth},
                            {"height", kHeight},
                            {"properties", std::move(properties)}});
        column_ = 1 - column_;
        if (column_ == 0) row_ += kHeight;
    }
    std::size_t size() const { return widgets_.size(); }
    json body() const {
        return {{"start", "-PT6H"}, {"periodOverride", "auto"}, {"widgets", widgets_}};
    }

  private:
    json widgets_ = json::array();
    int column_ = 0;
    int row_ = 2;
};

// A metric as it is written: its name and one set of dimensions.
struct Shape {
    std::string name;
    std::vector<std::string> dimensions;
    auto operator<=>(const Shape&) const = default;
};

bool plain(std::string_view token) {
    return token.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/") == token.npos;
}

// As a search's schema takes it.
std::string quoted(const std::string& token) {
    return plain(token) ? token : '"' + token + '"';
}

// Only what can stand in a search as it is; no name of ours has quotes.
bool searchable(const Shape& shape) {
    const auto good = [](const std::string& text) {
        return text.find_first_of("\"'\\") == text.npos;
    };
    return good(shape.name) && std::all_of(shape.dimensions.begin(), shape.dimensions.end(), good);
}

struct FleetPanel {
    std::string_view title;
    std::string_view metric;
    std::string_view state;  // value of the attribute `state`, where it has one
    std::string_view stat;
};
constexpr std::array kFleetPanels = {
    FleetPanel{"CPU used", "system.cpu.utilization", "used", "Average"},
    FleetPanel{"Memory used", "system.memory.utilization", "used", "Average"},
    FleetPanel{"Filesystems used", "system.filesystem.utilization", "used", "Maximum"},
    FleetPanel{"Inodes used", "system.filesystem.inodes.utilization", "used", "Maximum"},
    FleetPanel{"Network, of the link's speed", "system.network.utilization", "", "Maximum"},
    FleetPanel{"Disks busy", "system.disk.utilization", "", "Maximum"},
    FleetPanel{"Swap used", "system.paging.utilization", "used", "Maximum"},
    FleetPanel{"Waiting for CPU, memory or I/O", "system.pressure.utilization", "", "Maximum"},
    FleetPanel{"Certificates, days left", "tls.certificate.remaining_time", "", "Minimum"},
};

struct AwsPanel {
    std::string_view service;  // key of the configuration
    std::string_view title;
    std::string_view space;
    std::string_view metric;
    std::string_view dimension;
    std::string_view stat;
};
constexpr std::array kAwsPanels = {
    AwsPanel{"alb", "ALB: requests", "AWS/ApplicationELB", "RequestCount", "LoadBalancer", "Sum"},
    AwsPanel{"alb", "ALB: response time, p95", "AWS/ApplicationELB", "TargetResponseTime",
             "LoadBalancer", "p95"},
    AwsPanel{"alb", "ALB: 5xx of targets", "AWS/ApplicationELB", "HTTPCode_Target_5XX_Count",
             "LoadBalancer", "Sum"},
    AwsPanel{"alb", "ALB: 5xx of its own", "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count",
             "LoadBalancer", "Sum"},
    AwsPanel{"rds", "RDS: CPU, percent", "AWS/RDS", "CPUUtilization", "DBInstanceIdentifier",
             "Average"},
    AwsPanel{"rds", "RDS: connections", "AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier",
             "Maximum"},
    AwsPanel{"rds", "RDS: free storage", "AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier",
             "Minimum"},
    AwsPanel{"rds", "RDS: write latency", "AWS/RDS", "WriteLatency", "DBInstanceIdentifier",
             "Average"},
    AwsPanel{"cloudfront", "CloudFront: requests", "AWS/CloudFront", "Requests", "DistributionId",
             "Sum"},
    AwsPanel{"cloudfront", "CloudFront: 5xx, percent", "AWS/CloudFront", "5xxErrorRate",
             "DistributionId", "Average"},
    AwsPanel{"ec2", "EC2: failed status checks", "AWS/EC2", "StatusCheckFailed", "InstanceId",
             "Maximum"},
};

class Maker {
  public:
    explicit Maker(const DashboardSources& sources)
        : from_(sources),
          selection_(sources.writer),
          period_s_(std::max<std::int64_t>(
              60,
              std::chrono::duration_cast<std::chrono::seconds>(sources.writer.period).count())) {}

    WantedDashboards make() {
        if (from_.writer.enabled) survey();
        for (const std::string& board : from_.config.boards) {
            if (board == "fleet") make_fleet();
            if (board == "host") make_host();
            if (board == "certificates") make_certificates();
            if (board == "aws") make_aws();
        }
        return std::move(out_);
    }

  private:
    void problem(const std::string& board, const std::string& why) {
        out_.problems.push_back({"dashboard " + board, "", why});
    }

    void add(const std::string& board, const json& body) {
        if (const std::string fault = faults_of(body); !fault.empty()) return problem(board, fault);
        out_.dashboards.push_back({from_.config.prefix + '-' + board, body});
    }

    std::string heading(const std::string& title) const {
        return "## " + title +
               "\nRidgeline made this dashboard and replaces it with every `ridgeline cloudwatch "
               "apply`; what is changed here is lost then. " +
               mark_text({from_.owner, "", ""});
    }

    // What is written, by the catalog's name.
    void survey() {
        for (const SeriesId id : from_.series.find({})) {
            const SeriesDescriptor& series = from_.series.descriptor_of(id);
            HostInfo host;
            host.host_id = from_.series.host_of(id);
            if (const KnownHost* known = from_.hosts.find(host.host_id)) host = known->info();
            const Selected selected = selection_.select(host, series);
            const SelectedMetric* metric = own_metric(selected);
            if (metric == nullptr) continue;
            Shape shape{metric->identity.name, {}};
            for (const Dimension& dimension : metric->identity.dimensions)
                shape.dimensions.push_back(dimension.name);
            std::sort(shape.dimensions.begin(), shape.dimensions.end());
            if (!searchable(shape)) continue;
            auto& shapes = shapes_[series.metric];
            if (shapes.size() < kShapesMax) shapes.insert(std::move(shape));
        }
    }

    static bool has_dimension(const Shape& shape, std::string_view name) {
        return std::find(shape.dimensions.begin(), shape.dimensions.end(), name) !=
               shape.dimensions.end();
    }

    std::string search(const Shape& shape, const std::string& filter, std::string_view stat,
                       std::int64_t period_s) const {
        std::string schema = quoted(from_.writer.space);
        for (const std::string& dimension : shape.dimensions)
            schema += ',' + quoted(dimension);
        return "SEARCH('{" + schema + "} MetricName=\"" + shape.name + '"' + filter + "', '" +
               std::string(stat) + "', " + std::to_string(period_s) + ')';
    }

    json properties(const std::string& title, const std::vector<std::string>& expressions) const {
        json metrics = json::array();
        for (const std::string& expression : expressions) {
            metrics.push_back(json::array(
                {{{"expression", expression}, {"id", "e" + std::to_string(metrics.size() + 1)}}}));
        }
        return {{"title", title},   {"region", from_.region}, {"view", "timeSeries"},
                {"stacked", false}, {"period", period_s_},    {"metrics", metrics}};
    }

    void make_fleet() {
        Grid grid(heading("Fleet"));
        for (const FleetPanel& panel : kFleetPanels) {
            const bool days = panel.metric == "tls.certificate.remaining_time";
            std::vector<std::string> expressions;
            for (const Shape& shape : shapes_[std::string(panel.metric)]) {
                // The host as a whole, not its single CPUs.
                if (panel.metric == "system.cpu.utilization" && has_dimension(shape, "cpu") &&
                    from_.writer.naming == CloudWatchNaming::otel)
                    continue;
                const bool by_state = !panel.state.empty() && has_dimension(shape, "state");
                if (!panel.state.empty() && !by_state &&
                    from_.writer.naming == CloudWatchNaming::otel)
                    continue;
                const std::string filter = by_state ? " state=\"" + std::string(panel.state) + '"'
                                           : from_.writer.naming == CloudWatchNaming::cwagent &&
                                                   has_dimension(shape, "cpu")
                                               ? " cpu=\"cpu-total\""
                                               : "";
                std::string expression = search(shape, filter, panel.stat, days ? 3600 : period_s_);
                expressions.push_back(days ? expression + " / 86400" : expression);
            }
            if (!expressions.empty())
                grid.add("metric", properties(std::string(panel.title), expressions));
        }
        if (grid.size() == 1) return problem("fleet", why_empty());
        add("fleet", grid.body());
    }

    std::string why_empty() const {
        if (!from_.writer.enabled)
            return "[cloudwatch] is not enabled, so nothing is written there";
        return "nothing that it would show is written to CloudWatch yet";
    }

    void make_host() {
        Grid grid(heading("Host"));
        std::string choose;
        for (const auto& [metric, shapes] : shapes_) {
            std::vector<std::string> expressions;
            for (const Shape& shape : shapes) {
                if (!has_dimension(shape, "host")) continue;
                expressions.push_back(search(shape, std::string(" host=\"") + kHostPattern + '"',
                                             "Average", period_s_));
                // Hosts are found by their CPU, which each has, or else by what comes first.
                if (choose.empty() || metric == "system.cpu.utilization") {
                    std::string schema = quoted(from_.writer.space);
                    for (const std::string& dimension : shape.dimensions)
                        schema += ',' + quoted(dimension);
                    choose = '{' + schema + "} MetricName=\"" + shape.name + '"';
                }
            }
            if (expressions.empty()) continue;
            if (grid.size() == kWidgetsMax) {
                problem("host", "it shows " + std::to_string(kWidgetsMax - 1) +
                                    " metrics, and no more have room");
                break;
            }
            grid.add("metric", properties(metric, expressions));
        }
        if (choose.empty()) {
            return problem(
                "host", shapes_.empty() ? why_empty() : "[cloudwatch] dimensions lacks \"host\"");
        }
        json body = grid.body();
        body["variables"] = json::array({{{"type", "pattern"},
                                          {"pattern", kHostPattern},
                                          {"inputType", "select"},
                                          {"id", "host"},
                                          {"label", "Host"},
                                          {"visible", true},
                                          {"search", choose},
                                          {"populateFrom", "host"},
                                          {"defaultValue", "__FIRST"}}});
        add("host", body);
    }

    void make_certificates() {
        Grid grid(heading("Certificates"));
        const auto& left = shapes_["tls.certificate.remaining_time"];
        std::vector<std::string> soonest;
        for (const Shape& shape : left)
            soonest.push_back("SORT(" + search(shape, "", "Minimum", 3600) +
                              " / 86400, MIN, ASC, 50)");
        if (!soonest.empty()) {
            json chart = properties("Days left, the soonest first", soonest);
            chart["annotations"] = {{"horizontal",
                                     {{{"label", "30 days"}, {"value", 30}},
                                      {{"label", "14 days"}, {"value", 14}},
                                      {{"label", "7 days"}, {"value", 7}}}}};
            grid.add("metric", chart);
            json table = properties("Days left", soonest);
            table["view"] = "table";
            grid.add("metric", table);
        }
        for (const auto& [metric, title, stat] :
             {std::tuple{"tls.certificate.finding", "Findings", "Maximum"},
              std::tuple{"tls.certificate.readable", "Can be read (0: not)", "Minimum"},
              std::tuple{"tls.certificate.lifetime_used", "Share of the lifetime used",
                         "Maximum"}}) {
            std::vector<std::string> expressions;
            for (const Shape& shape : shapes_[metric])
                expressions.push_back(search(shape, "", stat, 3600));
            if (!expressions.empty()) grid.add("metric", properties(title, expressions));
        }
        if (grid.size() == 1) return problem("certificates", why_empty());
        add("certificates", grid.body());
    }

    struct Resource {
        std::string region;
        std::string id;
        auto operator<=>(const Resource&) const = default;
    };

    std::set<Resource> resources(const AwsPanel& panel) const {
        std::set<Resource> found;
        const bool global = panel.service == "cloudfront";
        if (const auto named = from_.config.resources.find(std::string(panel.service));
            named != from_.config.resources.end()) {
            for (const std::string& id : named->second)
                found.insert({global ? "us-east-1" : from_.region, id});
            return found;
        }
        for (const AwsMetricsTarget& target : from_.aws) {
            for (const AwsMetricQuery& query : target.config.queries) {
                if (query.space != panel.space) continue;
                for (const Dimension& dimension : query.dimensions)
                    if (dimension.name == panel.dimension)
                        found.insert(
                            {global ? target.global_region : target.region, dimension.value});
            }
        }
        return found;
    }

    void make_aws() {
        Grid grid(heading("AWS"));
        for (const AwsPanel& panel : kAwsPanels) {
            json metrics = json::array();
            for (const Resource& resource : resources(panel)) {
                json line = json::array({panel.space, panel.metric, panel.dimension, resource.id});
                if (panel.service == "cloudfront") {
                    line.push_back("Region");
                    line.push_back("Global");
                }
                line.push_back({{"region", resource.region}, {"label", resource.id}});
                metrics.push_back(std::move(line));
            }
            if (metrics.empty()) continue;
            grid.add("metric", {{"title", panel.title},
                                {"region", from_.region},
                                {"view", "timeSeries"},
                                {"stacked", false},
                                {"stat", panel.stat},
                                {"period", 60},
                                {"metrics", metrics}});
        }
        add_guardduty(grid);
        // Not asked for where there is nothing to show.
        if (grid.size() > 1) add("aws", grid.body());
    }

    // GuardDuty publishes no metric of its findings. They are events; what EventBridge counts of a
    // rule that matches them, and what it writes to a log group, can be shown.
    void add_guardduty(Grid& grid) const {
        if (!from_.config.guardduty_rule.empty()) {
            grid.add(
                "metric",
                {{"title", "GuardDuty: findings, as matched by the EventBridge rule"},
                 {"region", from_.region},
                 {"view", "timeSeries"},
                 {"stacked", false},
                 {"stat", "Sum"},
                 {"period", 300},
                 {"metrics", json::array({json::array({"AWS/Events", "MatchedEvents", "RuleName",
                                                       from_.config.guardduty_rule})})}});
        }
        if (!from_.config.guardduty_log_group.empty()) {
            grid.add("log",
                     {{"title", "GuardDuty: findings"},
                      {"region", from_.region},
                      {"view", "table"},
                      {"query", "SOURCE '" + from_.config.guardduty_log_group +
                                    "' | fields @timestamp, detail.severity, detail.type, "
                                    "detail.title\n| sort detail.severity desc, @timestamp desc\n| "
                                    "limit 50"}});
        }
    }

    const DashboardSources& from_;
    Selection selection_;
    std::int64_t period_s_;
    std::map<std::string, std::set<Shape>> shapes_;
    WantedDashboards out_;
};

}  // namespace

WantedDashboards make_dashboards(const DashboardSources& sources) {
    return Maker(sources).make();
}

bool is_marked(const json& body, std::string_view owner) {
    const auto widgets = body.find("widgets");
    if (!body.is_object() || widgets == body.end() || !widgets->is_array()) return false;
    return std::any_of(widgets->begin(), widgets->end(), [&](const json& widget) {
        if (!widget.is_object() || widget.value("type", json()) != json("text")) return false;
        const json properties = widget.value("properties", json::object());
        if (!properties.is_object()) return false;
        const json markdown = properties.value("markdown", json());
        if (!markdown.is_string()) return false;
        const auto mark = find_mark(markdown.get_ref<const std::string&>());
        return mark && mark->owner == owner;
    });
}

std::string faults_of(const json& body) {
    const json& widgets = body.at("widgets");
    if (widgets.size() > kWidgetsMax) return "it has more than 500 widgets";
    std::size_t metrics = 0;
    for (const json& widget : widgets) {
        const int x = widget.at("x");
        const int width = widget.at("width");
        if (x < 0 || width < 1 || x + width > kColumns) return "a widget lies beside the grid";
        const json& properties = widget.at("properties");
        if (!properties.contains("metrics")) continue;
        const json& lines = properties.at("metrics");
        if (lines.size() > kMetricsPerWidgetMax)
            return "a widget has more than 500 metrics; name fewer in [cloudwatch.dashboards]";
        metrics += lines.size();
        for (const json& line : lines) {
            const json& last = line.back();
            if (last.is_object() && last.contains("expression") &&
                last.at("expression").get_ref<const std::string&>().size() > kExpressionMax)
                return "a search is longer than 1024 characters";
        }
    }
    if (metrics > kMetricsMax)
        return "it has more than 2500 metrics; name fewer in [cloudwatch.dashboards]";
    return "";
}

}  // namespace ridgeline::collector
