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
