#include "collector/cloudwatch/metrics_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "common/base/text.h"
#include "common/metric/catalog.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kEntriesMax = 100;
// Dimension and MetricName in the CloudWatch API Reference.
constexpr std::size_t kDimensionsMax = 30;
constexpr std::size_t kNameMax = 255;
constexpr std::size_t kDimensionValueMax = 1024;

struct PresetMetric {
    std::string_view name;
    std::string_view stat;
    double scale = 1;
    std::string_view zero_beside;  // another metric of the preset
};

// What one resource of a service is read by. Metrics cost by the request for each, so these are
// the few that rules are written on.
struct Preset {
    std::string_view key;  // in the configuration
    std::string_view space;
    std::string_view dimension;
    std::span<const PresetMetric> metrics;
};

constexpr double kPercent = 0.01;
constexpr std::array kRds = {
    PresetMetric{"CPUUtilization", "Average", kPercent, ""},
    PresetMetric{"DatabaseConnections", "Maximum", 1, ""},
    PresetMetric{"FreeStorageSpace", "Minimum", 1, ""},
    PresetMetric{"FreeableMemory", "Minimum", 1, ""},
    PresetMetric{"ReadLatency", "Average", 1, ""},
    PresetMetric{"WriteLatency", "Average", 1, ""},
};
// Reporting criteria: "CloudWatch metrics for your Application Load Balancer". Responses and
// refused connections are reported only while there are some; requests always.
constexpr std::array kAlb = {
    PresetMetric{"RequestCount", "Sum", 1, ""},
    PresetMetric{"TargetResponseTime", "p95", 1, ""},
    PresetMetric{"HTTPCode_ELB_5XX_Count", "Sum", 1, "RequestCount"},
    PresetMetric{"HTTPCode_Target_5XX_Count", "Sum", 1, "RequestCount"},
    PresetMetric{"RejectedConnectionCount", "Sum", 1, "RequestCount"},
};
constexpr std::array kCloudFront = {
    PresetMetric{"Requests", "Sum", 1, ""},
    PresetMetric{"4xxErrorRate", "Average", kPercent, ""},
    PresetMetric{"5xxErrorRate", "Average", kPercent, ""},
};
constexpr std::array kEc2 = {
    PresetMetric{"StatusCheckFailed_Instance", "Maximum", 1, ""},
    PresetMetric{"StatusCheckFailed_System", "Maximum", 1, ""},
};
const std::array kPresets = {
    Preset{"rds", "AWS/RDS", "DBInstanceIdentifier", kRds},
    Preset{"alb", "AWS/ApplicationELB", "LoadBalancer", kAlb},
    Preset{"cloudfront", "AWS/CloudFront", "DistributionId", kCloudFront},
    Preset{"ec2", "AWS/EC2", "InstanceId", kEc2},
};

bool text_is(std::string_view text, std::size_t bytes_max) {
    return !text.empty() && text.size() <= bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool digit(char c) {
    return c >= '0' && c <= '9';
}

void set_series(AwsMetricQuery& query) {
    query.series.metric = aws_metric_name(query.space, query.metric);
    std::string stat = query.stat;
    std::transform(stat.begin(), stat.end(), stat.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    query.series.attributes = {{"stat", std::move(stat)}};
    for (const Dimension& dimension : query.dimensions)
        query.series.attributes.push_back({snake_case(dimension.name), dimension.value});
    normalise(query.series.attributes);
}

class EntryReader {
  public:
    explicit EntryReader(ConfigTable& table) : table_(table) {}

    AwsMetricsConfig read() {
        read_name();
        config_.region = table_.string("region", config_.region);
        config_.endpoint_url = table_.string("endpoint_url", "");
        config_.period = table_.duration("period", config_.period, 1min, 24h);
        if (config_.period % 1min != 0ms)
            table_.error_at("period", "CloudWatch gives whole minutes");
        config_.delay = table_.duration("delay", config_.delay, 0s, 24h);
        config_.reread =
            table_.duration("reread", std::max(config_.reread, 3 * config_.period), 1min, 24h * 3);
        config_.backfill =
            table_.duration("backfill", std::max(config_.backfill, config_.reread), 1min, 24h);
        config_.tags = table_.string_map("tags");
        for (const Preset& preset : kPresets)
            read_preset(preset);
        for (ConfigTable& metric : table_.tables("metric"))
            read_metric(metric);
        if (config_.queries.empty()) {
            table_.error_at("name",
                            "this entry reads nothing; give it rds, alb, cloudfront or ec2 with "
                            "the ids of what is to be read, or [[aws_metrics.metric]]");
        }
        if (config_.queries.size() > AwsMetricsConfig::kQueriesMax) {
            table_.error_at("name", "at most " + std::to_string(AwsMetricsConfig::kQueriesMax) +
                                        " metrics and statistics in one entry, not " +
                                        std::to_string(config_.queries.size()));
        }
        return std::move(config_);
    }

  private:
    void read_name() {
        config_.name = table_.string("name", "");
        const bool good =
            !config_.name.empty() && config_.name.size() <= 64 &&
            std::all_of(config_.name.begin(), config_.name.end(), [](char c) {
                return lower(c) || upper(c) || digit(c) || c == '.' || c == '_' || c == '-';
            });
        if (!good) {
            table_.error_at("name",
                            "name must say what the host aws/NAME is called, with letters, "
                            "digits, '.', '_' and '-', such as \"shop\"");
        }
    }

    void read_preset(const Preset& preset) {
        const std::string key(preset.key);
        for (const std::string& resource : table_.strings(key)) {
            if (!text_is(resource, kDimensionValueMax)) {
                table_.error_at(key, "an id of " + key + " is empty, too long or not ASCII");
                return;
            }
            if (preset.key == "alb" && !resource.starts_with("app/")) {
                table_.error_at(key, "\"" + printable(resource, 100) +
                                         "\" is no load balancer as CloudWatch names it; take what "
                                         "follows \"loadbalancer/\" in its ARN, such as "
                                         "\"app/shop/50dc6c495c0c9188\"");
                return;
            }
            const std::size_t first = config_.queries.size();
            for (const PresetMetric& metric : preset.metrics) {
                AwsMetricQuery query;
                query.space = preset.space;
                query.metric = metric.name;
                query.dimensions = {{std::string(preset.dimension), resource}};
                if (preset.key == "cloudfront") {
                    query.dimensions.push_back({"Region", "Global"});
                    query.global = true;
                }
                query.stat = metric.stat;
                query.scale = metric.scale;
                for (std::size_t i = 0; i < preset.metrics.size(); ++i)
                    if (preset.metrics[i].name == metric.zero_beside) query.zero_beside = first + i;
                set_series(query);
                add(std::move(query), key, table_);
            }
        }
    }

    void read_metric(ConfigTable& table) {
        AwsMetricQuery query;
        query.space = table.string("namespace", "");
        query.metric = table.string("name", "");
        if (!text_is(query.space, kNameMax))
            return table.error_at("namespace", "namespace must name one, such as \"AWS/SQS\"");
        if (!text_is(query.metric, kNameMax))
            return table.error_at("name", "name must be the metric's, such as \"Duration\"");
        query.global = query.space == "AWS/CloudFront";
        for (const auto& [name, value] : table.string_map("dimensions")) {
            if (!text_is(name, kNameMax) || !text_is(value, kDimensionValueMax)) {
                return table.error_at(
                    "dimensions", "a dimension's name or value is empty, too long or not ASCII");
            }
            if (snake_case(name) == "stat")
                return table.error_at("dimensions", "a dimension cannot be called \"stat\" here");
            query.dimensions.push_back({name, value});
        }
        if (query.dimensions.size() > kDimensionsMax)
            return table.error_at("dimensions", "CloudWatch has at most 30 dimensions");
        const std::string unit = read_unit(table, query);
        const std::vector<std::string> stats = table.strings("stats", {"Average"});
        if (stats.empty()) table.error_at("stats", "stats must name at least one statistic");
        for (const std::string& stat : stats) {
            if (!is_statistic(stat)) {
                table.error_at("stats", "\"" + printable(stat, 50) +
                                            "\" is no statistic of CloudWatch's; there are "
                                            "Average, Sum, Minimum, Maximum, SampleCount, IQM and "
                                            "such as p95, p99.9, tm90");
                continue;
            }
            query.stat = stat;
            set_series(query);
            std::vector<std::string> keys;
            for (const Attribute& attribute : query.series.attributes)
                keys.push_back(attribute.key);
            if (const auto declared = declare_metric(query.series.metric, unit, keys); !declared) {
                table.error_at("name", declared.error().context);
                return;
            }
            add(query, "name", table);
        }
    }

    // The unit our catalog has for it, else what is said; CloudWatch's percent becomes a ratio.
    std::string read_unit(ConfigTable& table, AwsMetricQuery& query) {
        const MetricInfo* known = find_metric(aws_metric_name(query.space, query.metric));
        const std::string fallback = known == nullptr     ? ""
                                     : known->unit == "1" ? "percent"
                                                          : std::string(known->unit);
        const std::string unit = table.string("unit", fallback);
        if (unit == "percent") {
            query.scale = kPercent;
            return "1";
        }
        static const std::set<std::string> kUnits = {"", "1", "s", "By", "By/s"};
        if (!kUnits.contains(unit) && !(unit.starts_with('{') && unit.size() <= 64)) {
            table.error_at("unit",
                           "unit must be \"percent\" (becomes a ratio), \"1\", \"s\", \"By\", "
                           "\"By/s\" or such as \"{message}\"");
        }
        return unit;
    }

    void add(AwsMetricQuery query, const std::string& key, ConfigTable& table) {
        if (!seen_.insert(to_string(query.series)).second) {
            table.error_at(key, to_string(query.series) + " is asked for twice in this entry");
            return;
        }
        config_.queries.push_back(std::move(query));
    }

    ConfigTable& table_;
    AwsMetricsConfig config_;
    std::set<std::string> seen_;
};

}  // namespace

std::vector<AwsMetricsConfig> read_aws_metrics(ConfigTable& root) {
    std::vector<AwsMetricsConfig> entries;
    std::set<std::string> names;
    for (ConfigTable& table : root.tables("aws_metrics")) {
        if (entries.size() == kEntriesMax) {
            table.error_at("name",
                           "at most " + std::to_string(kEntriesMax) + " [[aws_metrics]] entries");
            break;
        }
        entries.push_back(EntryReader(table).read());
        if (!names.insert(entries.back().name).second)
            table.error_at("name", "\"" + entries.back().name + "\" is the name of another entry");
    }
    return entries;
}

std::string snake_case(std::string_view name) {
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        if (!lower(c) && !upper(c) && !digit(c)) {
            if (!out.empty() && out.back() != '_') out += '_';
            continue;
        }
        const char before = i > 0 ? name[i - 1] : '_';
        const char after = i + 1 < name.size() ? name[i + 1] : '_';
        const bool begins_word = upper(c) && (lower(before) || (upper(before) && lower(after)));
        if (begins_word && !out.empty() && out.back() != '_') out += '_';
        out += static_cast<char>(upper(c) ? c - 'A' + 'a' : c);
    }
    while (out.ends_with('_'))
        out.pop_back();
    return out;
}

std::string aws_metric_name(std::string_view space, std::string_view metric) {
    if (space.starts_with("AWS/")) space.remove_prefix(4);
    std::string out = "aws.";
    for (const char c : space)
        out += lower(c) || digit(c) ? c : upper(c) ? static_cast<char>(c - 'A' + 'a') : '_';
    return out + '.' + snake_case(metric);
}

bool is_statistic(std::string_view stat) {
    static const std::set<std::string_view> kSimple = {"Average", "Sum",         "Minimum",
                                                       "Maximum", "SampleCount", "IQM"};
    if (kSimple.contains(stat)) return true;
    for (const std::string_view kind : {"p", "tm", "wm", "tc", "ts"}) {
        if (!stat.starts_with(kind)) continue;
        const std::string_view number = stat.substr(kind.size());
        if (number.empty() || number.size() > 13 || !digit(number.front()) ||
            number.find_first_not_of("0123456789.") != std::string_view::npos)
            continue;
        if (const auto percent = to_double(number); percent && *percent <= 100) return true;
    }
    return false;
}

}  // namespace ridgeline::collector
