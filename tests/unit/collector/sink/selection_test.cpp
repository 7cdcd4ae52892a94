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

MetricIdentity identity(const Selected& selected) {
    REQUIRE(std::holds_alternative<SelectedMetric>(selected));
    return std::get<SelectedMetric>(selected).identity;
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
    const auto plain = std::get<SelectedMetric>(Selection(config).select(web_host(), used));
    CHECK(plain.scale == 1);
    CHECK(plain.identity.unit == "None");

    config.naming = CloudWatchNaming::cwagent;
    const auto percent = std::get<SelectedMetric>(Selection(config).select(web_host(), used));
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
    CHECK(identity(select("system.cpu.utilization", {{"state", "used"}})).dimensions ==
          std::vector<Dimension>{{"host", "web-1"}, {"cpu", "cpu-total"}});
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
    CHECK(left_out(select("system.cpu.utilization", {{"mode", "user"}})));
    CHECK(left_out(select("system.memory.utilization", {{"state", "free"}})));
    CHECK(left_out(select("system.cpu.load_average.1m", {})));
    // That agent reports growth.
    CHECK(left_out(select("system.network.io", {{"direction", "receive"}})));
}

TEST_CASE("what CloudWatch would refuse is refused before it is sent", "[selection]") {
    const Selection selection(everything());
    const auto select = [&](const char* value) {
        return selection.select(web_host(), {"system.filesystem.usage", {{"mountpoint", value}}});
    };
    const auto refused_as = [](const Selected& selected, Refusal refusal) {
        return std::holds_alternative<Refusal>(selected) && std::get<Refusal>(selected) == refusal;
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
