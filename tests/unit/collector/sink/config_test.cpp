#include "collector/sink/cloudwatch_config.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

CloudWatchConfig read(ConfigDocument& document) {
    ConfigTable root = document.root();
    ConfigTable table = root.table("cloudwatch");
    const CloudWatchConfig config = read_cloudwatch_config(table);
    root.close();
    return config;
}

}  // namespace

TEST_CASE("an empty section is the defaults, switched off", "[cloudwatch-config]") {
    auto document = ConfigDocument::parse("", "t");
    CHECK(read(document) == CloudWatchConfig{});
    CHECK(document.ok());
    CHECK_FALSE(CloudWatchConfig{}.enabled);
}

TEST_CASE("every key is read", "[cloudwatch-config]") {
    auto document = ConfigDocument::parse(R"([cloudwatch]
enabled = true
region = "eu-central-1"
namespace = "Ops/Hosts"
period = "5m"
naming = "cwagent"
dimensions = ["host", "tag.role"]
include = ["system.*"]
exclude = ["system.disk.*"]
endpoint_url = "http://127.0.0.1:1"
on_ambiguous = "drop"
read_back_wait = "1m"
)",
                                          "t");
    const CloudWatchConfig config = read(document);
    CHECK(document.ok());
    CHECK(config.enabled);
    CHECK(config.region == "eu-central-1");
    CHECK(config.space == "Ops/Hosts");
    CHECK(config.period == 5min);
    CHECK(config.naming == CloudWatchNaming::cwagent);
    CHECK(config.dimensions == std::vector<std::string>{"host", "tag.role"});
    CHECK(config.exclude == std::vector<std::string>{"system.disk.*"});
    CHECK(config.endpoint_url == "http://127.0.0.1:1");
    CHECK(config.on_ambiguous == OnAmbiguous::drop);
    CHECK(config.read_back_wait == 1min);
}

TEST_CASE("settings that CloudWatch would refuse are errors", "[cloudwatch-config]") {
    for (const char* line :
         {"namespace = \"AWS/EC2\"", "namespace = \"\"", "namespace = \":x\"", "period = \"90s\"",
          "period = \"10s\"", "naming = \"otell\"", "on_ambiguous = \"retry\"",
          "read_back_wait = \"1s\"", "dimensions = [\"hostname\"]", "dimensions = [\"tag.\"]",
          "dimensions = [\"host\", \"host\"]"}) {
        INFO(line);
        auto document = ConfigDocument::parse("[cloudwatch]\n" + std::string(line) + "\n", "t");
        static_cast<void>(read(document));
        REQUIRE(document.errors().size() == 1);
        CHECK(document.errors()[0].line == 2);
    }
}

TEST_CASE("roll-ups and resolutions are read", "[cloudwatch-config]") {
    auto document = ConfigDocument::parse(R"([cloudwatch]
[[cloudwatch.rollup]]
metrics = ["system.cpu.*"]
dimensions = ["tag.role"]
only = true
[[cloudwatch.rollup]]
dimensions = []
attributes = ["state"]
[[cloudwatch.resolution]]
metrics = ["system.cpu.utilization"]
period = "1s"
)",
                                          "t");
    const CloudWatchConfig config = read(document);
    CHECK(document.ok());
    REQUIRE(config.rollups.size() == 2);
    CHECK(config.rollups[0] ==
          CloudWatchRollup{{"system.cpu.*"}, {"tag.role"}, std::nullopt, true});
    CHECK(config.rollups[1] ==
          CloudWatchRollup{{"*"}, {}, std::vector<std::string>{"state"}, false});
    REQUIRE(config.resolutions.size() == 1);
    CHECK(config.resolutions[0].period == 1s);
}

TEST_CASE("cwagent's naming has that agent's defaults", "[cloudwatch-config]") {
    const auto parsed = [](const std::string& more) {
        auto document = ConfigDocument::parse("[cloudwatch]\nnaming = \"cwagent\"\n" + more, "t");
        const CloudWatchConfig config = read(document);
        CHECK(document.ok());
        return config;
    };
    CHECK(parsed("").space == "CWAgent");
    CHECK(parsed("").dimensions == std::vector<std::string>{"host"});
    CHECK(parsed("namespace = \"Mine\"\n").space == "Mine");
    const CloudWatchConfig ec2 = parsed("append_dimensions = [\"InstanceId\"]\n");
    CHECK(ec2.dimensions.empty());  // as that agent
    CHECK(parsed("append_dimensions = [\"InstanceId\"]\ndimensions = [\"host\"]\n").dimensions ==
          std::vector<std::string>{"host"});
}

TEST_CASE("a roll-up or resolution that makes no sense is an error", "[cloudwatch-config]") {
    for (const char* text : {"[[cloudwatch.rollup]]\nmetrics = [\"*\"]\n",
                             "[[cloudwatch.rollup]]\ndimensions = [\"role\"]\n",
                             "[[cloudwatch.rollup]]\ndimensions = []\nmetric = [\"*\"]\n",
                             "[[cloudwatch.resolution]]\nperiod = \"1s\"\n",
                             "[[cloudwatch.resolution]]\nmetrics = [\"*\"]\nperiod = \"10s\"\n",
                             "[[cloudwatch.resolution]]\nmetrics = [\"*\"]\nperiod = \"5m\"\n",
                             "append_dimensions = [\"InstanceID\"]\n"}) {
        INFO(text);
        auto document = ConfigDocument::parse("[cloudwatch]\n" + std::string(text), "t");
        static_cast<void>(read(document));
        CHECK(document.errors().size() == 1);
    }
}

TEST_CASE("what shapes datums is told apart", "[cloudwatch-config]") {
    const auto shape = [](const CloudWatchConfig& config) { return shape_of(config); };
    CloudWatchConfig config;
    const std::string plain = shape(config);
    config.rollups = {{{"*"}, {}, std::nullopt, false}};
    const std::string fleet = shape(config);
    config.rollups[0].only = true;
    CHECK(shape(config) != fleet);
    config.rollups[0].only = false;
    config.rollups[0].attributes = std::vector<std::string>{};
    CHECK(shape(config) != fleet);
    CHECK(fleet != plain);
    config.rollups.clear();
    config.resolutions = {{{"*"}, 1s}};
    CHECK(shape(config) != plain);
}
