#include "collector/sink/selection.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

HostInfo web_host() {
    HostInfo host;
    host.host_id = "web-1";
    host.tags = {{"role", "web"}};
    return host;
}

CloudWatchConfig everything() {
    CloudWatchConfig config;
    config.include = {"*"};
    return config;
}

// Where a series has one metric alone.
SelectedMetric metric_of(const Selected& selected) {
    REQUIRE(std::holds_alternative<SelectedMetrics>(selected));
    REQUIRE(std::get<SelectedMetrics>(selected).size() == 1);
    return std::get<SelectedMetrics>(selected).front();
}

MetricIdentity identity(const Selected& selected) {
    return metric_of(selected).identity;
}

std::vector<std::string> names(const Selected& selected) {
    std::vector<std::string> out;
    REQUIRE(std::holds_alternative<SelectedMetrics>(selected));
    for (const SelectedMetric& metric : std::get<SelectedMetrics>(selected))
        out.push_back(metric.identity.name);
    return out;
}

bool refused_as(const Selected& selected, Refusal refusal) {
    return std::holds_alternative<Refusal>(selected) && std::get<Refusal>(selected) == refusal;
}

bool left_out(const Selected& selected) {
    return std::holds_alternative<NotSelected>(selected);
}

}  // namespace

TEST_CASE("patterns on metric names decide what is sent", "[selection]") {
    CloudWatchConfig config;
    config.exclude = {"system.disk.*"};
    const Selection selection(config);
    CHECK_FALSE(left_out(selection.select(web_host(), {"system.memory.utilization", {}})));
    CHECK_FALSE(left_out(selection.select(web_host(), {"tls.certificate.valid", {}})));
    CHECK(left_out(selection.select(web_host(), {"system.memory.usage", {}})));
    CHECK(left_out(selection.select(web_host(), {"system.disk.utilization", {}})));
}

TEST_CASE("dimensions are the configured ones and every attribute", "[selection]") {
    CloudWatchConfig config = everything();
    config.dimensions = {"tag.role", "host", "tag.absent"};
    const auto metric = identity(Selection(config).select(
        web_host(), {"system.filesystem.usage", {{"mountpoint", "/"}, {"state", "used"}}}));
    CHECK(metric.name == "system.filesystem.usage");
    CHECK(metric.unit == "Bytes");
    CHECK(metric.dimensions ==
          std::vector<Dimension>{
              {"role", "web"}, {"host", "web-1"}, {"mountpoint", "/"}, {"state", "used"}});
}

TEST_CASE("a tag called like an attribute is told apart from it", "[selection]") {
    CloudWatchConfig config = everything();
    config.dimensions = {"host", "tag.state"};
    HostInfo host = web_host();
    host.tags = {{"state", "Ohio"}};
    const auto metric = identity(Selection(config).select(
        host, {"system.filesystem.usage", {{"mountpoint", "/"}, {"state", "used"}}}));
    CHECK(metric.dimensions ==
          std::vector<Dimension>{
              {"host", "web-1"}, {"tag.state", "Ohio"}, {"mountpoint", "/"}, {"state", "used"}});
}

TEST_CASE("ratios keep their scale under our names and are Percent under cwagent's",
          "[selection]") {
    CloudWatchConfig config = everything();
    const SeriesDescriptor used{"system.memory.utilization", {{"state", "used"}}};
    const auto plain = metric_of(Selection(config).select(web_host(), used));
    CHECK(plain.scale == 1);
    CHECK(plain.identity.unit == "None");

    config.naming = CloudWatchNaming::cwagent;
    config.exclude = {"mem_available_percent"};
    const auto percent = metric_of(Selection(config).select(web_host(), used));
    CHECK(percent.scale == 100);
    CHECK(percent.identity.unit == "Percent");
    CHECK(percent.identity.name == "mem_used_percent");
    CHECK(percent.identity.dimensions == std::vector<Dimension>{{"host", "web-1"}});
}

TEST_CASE("cwagent naming sends only what that agent would call so", "[selection]") {
    CloudWatchConfig config = everything();
    config.naming = CloudWatchNaming::cwagent;
    const Selection selection(config);
    const auto select = [&](const char* metric, Attributes attributes) {
        return selection.select(web_host(), {metric, std::move(attributes)});
    };
    const auto idle = select("system.cpu.utilization", {{"mode", "idle"}});
    CHECK(names(idle) == std::vector<std::string>{"cpu_usage_active", "cpu_usage_idle"});
    const SelectedMetric active = std::get<SelectedMetrics>(idle).front();
    CHECK(active.of(0.25) == 75);
    CHECK(active.identity.dimensions ==
          std::vector<Dimension>{{"host", "web-1"}, {"cpu", "cpu-total"}});
    // What else is used is in there, and no metric of its own.
    CHECK(left_out(select("system.cpu.utilization", {{"state", "used"}})));
    CHECK(
        identity(select("system.cpu.utilization", {{"cpu", "3"}, {"state", "used"}})).dimensions ==
        std::vector<Dimension>{{"host", "web-1"}, {"cpu", "cpu3"}});
    CHECK(
        identity(
            select("system.filesystem.utilization",
                   {{"device", "sda1"}, {"mountpoint", "/"}, {"state", "used"}, {"type", "ext4"}}))
            .dimensions ==
        std::vector<Dimension>{
            {"host", "web-1"}, {"device", "sda1"}, {"path", "/"}, {"fstype", "ext4"}});
    const auto io = metric_of(select(
        "system.disk.io", {{"device", "nvme0n1"}, {"direction", "write"}, {"volume", "vol-1"}}));
    CHECK(io.growth);
    CHECK(io.identity.name == "diskio_write_bytes");
    CHECK(io.identity.dimensions == std::vector<Dimension>{{"host", "web-1"}, {"name", "nvme0n1"}});
    CHECK(identity(select("system.network.connections",
                          {{"protocol", "tcp"}, {"state", "fin_wait_1"}})) ==
          MetricIdentity{"netstat_tcp_fin_wait1", {{"host", "web-1"}}, "Count"});
    const auto total = metric_of(select("system.cpu.time", {{"cpu", "0"}, {"mode", "user"}}));
    CHECK_FALSE(total.growth);
    CHECK(total.of(2) == 200);

    for (const auto& [metric, attributes] :
         {std::pair<const char*, Attributes>{"system.memory.utilization", {{"state", "free"}}},
          {"system.cpu.load_average.1m", {}},
          {"tls.certificate.valid", {}}}) {
        INFO(metric);
        CHECK(refused_as(select(metric, attributes), Refusal::no_cwagent_name));
    }
}

TEST_CASE("patterns are on cwagent's names as well", "[selection]") {
    CloudWatchConfig config;
    config.naming = CloudWatchNaming::cwagent;
    config.include = {"mem_used_percent", "system.paging.*"};
    config.exclude = {"swap_free"};
    const Selection selection(config);
    const auto select = [&](const char* metric, const char* state) {
        return selection.select(web_host(), {metric, {{"state", state}}});
    };
    CHECK(names(select("system.memory.utilization", "used")) ==
          std::vector<std::string>{"mem_used_percent"});
    CHECK(left_out(select("system.memory.usage", "used")));
    CHECK(names(select("system.paging.usage", "used")) == std::vector<std::string>{"swap_used"});
    CHECK(left_out(select("system.paging.usage", "free")));
    // What is not asked for is no loss.
    CHECK(left_out(selection.select(web_host(), {"system.cpu.load_average.1m", {}})));
}

TEST_CASE("an instance is named as that agent names it", "[selection]") {
    CloudWatchConfig config = everything();
    config.naming = CloudWatchNaming::cwagent;
    config.dimensions.clear();
    config.append_dimensions = {"InstanceId", "AutoScalingGroupName", "InstanceType", "ImageId"};
    HostInfo host = web_host();
    host.tags = {{"host.id", "i-1"}, {"host.type", "m7g.large"}, {"host.image.id", "ami-1"}};
    CHECK(identity(Selection(config).select(host, {"system.memory.limit", {}})).dimensions ==
          std::vector<Dimension>{
              {"InstanceId", "i-1"}, {"InstanceType", "m7g.large"}, {"ImageId", "ami-1"}});
}

TEST_CASE("what CloudWatch would refuse is refused before it is sent", "[selection]") {
    const Selection selection(everything());
    const auto select = [&](const char* value) {
        return selection.select(web_host(), {"system.filesystem.usage", {{"mountpoint", value}}});
    };
    CHECK(identity(select("/mnt/a b")).dimensions.size() == 2);
    CHECK(refused_as(select("/mnt/gr\xc3\xb6\xc3\x9f"), Refusal::dimension_text));
    CHECK(refused_as(select(""), Refusal::dimension_text));
    CHECK(refused_as(select("  "), Refusal::dimension_text));
    CHECK(refused_as(select(std::string(1025, 'x').c_str()), Refusal::dimension_text));
    CHECK_FALSE(refused_as(select(std::string(1024, 'x').c_str()), Refusal::dimension_text));
    CHECK(
        refused_as(selection.select(web_host(), {"no.such.metric", {}}), Refusal::unknown_metric));
    Attributes many;
    for (char c = 'A'; c < 'A' + 29; ++c)
        many.push_back({std::string(1, c), "x"});
    CHECK(identity(selection.select(web_host(), {"system.uptime", many})).dimensions.size() == 30);
    many.push_back({"zz", "x"});
    CHECK(refused_as(selection.select(web_host(), {"system.uptime", many}),
                     Refusal::dimension_count));
}

TEST_CASE("values have CloudWatch's range", "[selection]") {
    const double largest = std::ldexp(1.0, 360);
    const double smallest = std::ldexp(1.0, -360);
    for (const double good : {0.0, -0.0, 1.0, -1.0, largest, -largest, smallest})
        CHECK(sendable_value(good));
    for (const double bad : {largest * 1.01, -largest * 1.01, smallest / 2,
                             std::numeric_limits<double>::infinity(), std::nan("")})
        CHECK_FALSE(sendable_value(bad));
}
