#include "collector/cloudwatch/metrics_config.h"

#include "common/metric/catalog.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

struct Read {
    explicit Read(const std::string& text) : document(ConfigDocument::parse(text, "t")) {
        ConfigTable root = document.root();
        entries = read_aws_metrics(root);
        root.close();
    }
    std::string errors() const { return to_string(document.errors()); }
    ConfigDocument document;
    std::vector<AwsMetricsConfig> entries;
};

}  // namespace

TEST_CASE("names are made of CloudWatch's mechanically", "[aws-metrics]") {
    CHECK(snake_case("HTTPCode_Target_5XX_Count") == "http_code_target_5xx_count");
    CHECK(snake_case("DBInstanceIdentifier") == "db_instance_identifier");
    CHECK(snake_case("4xxErrorRate") == "4xx_error_rate");
    CHECK(snake_case("UnHealthyHostCount") == "un_healthy_host_count");
    CHECK(snake_case("EBSIOBalance%") == "ebsio_balance");
    CHECK(aws_metric_name("AWS/ApplicationELB", "RequestCount") ==
          "aws.applicationelb.request_count");
    CHECK(aws_metric_name("Shop/Orders", "Late") == "aws.shop_orders.late");
}

TEST_CASE("what CloudWatch takes as a statistic", "[aws-metrics]") {
    for (const char* good : {"Average", "SampleCount", "IQM", "p95", "p99.9", "tm90", "wm100"})
        CHECK(is_statistic(good));
    for (const char* bad : {"", "average", "p", "p101", "p9.9.9", "px", "tm", "p-5", "p95 "})
        CHECK_FALSE(is_statistic(bad));
}

TEST_CASE("services are read by their resources", "[aws-metrics]") {
    const Read read(R"([[aws_metrics]]
name = "shop"
alb = ["app/shop/50dc6c495c0c9188"]
rds = ["a", "b"]
cloudfront = ["E1"]
tags = { env = "prod" }
)");
    REQUIRE(read.errors() == "");
    const AwsMetricsConfig& entry = read.entries.at(0);
    CHECK(entry.host_id() == "aws/shop");
    CHECK(entry.queries.size() == 2 * 6 + 5 + 3);
    CHECK(entry.tags.at("env") == "prod");
    std::size_t zeros = 0;
    for (const AwsMetricQuery& query : entry.queries) {
        // Every preset metric is in the catalog, with the attributes it comes with.
        const MetricInfo* metric = find_metric(query.series.metric);
        REQUIRE(metric != nullptr);
        for (const Attribute& attribute : query.series.attributes) {
            const std::string keys = "," + std::string(metric->attributes) + ",";
            CHECK(keys.find("," + attribute.key + ",") != std::string::npos);
        }
        CHECK((metric->unit == "1") == (query.scale == 0.01));
        CHECK(query.global == (query.space == "AWS/CloudFront"));
        if (!query.zero_beside) continue;
        ++zeros;
        CHECK(entry.queries[*query.zero_beside].metric == "RequestCount");
        CHECK(entry.queries[*query.zero_beside].dimensions == query.dimensions);
    }
    CHECK(zeros == 3);
}

TEST_CASE("metrics of any namespace are declared with what is said of them", "[aws-metrics]") {
    const Read read(R"([[aws_metrics]]
name = "queues"
period = "5m"
[[aws_metrics.metric]]
namespace = "AWS/SQS"
name = "NumberOfMessagesSent"
dimensions = { QueueName = "orders" }
stats = ["Sum", "p99.9"]
unit = "{message}"
)");
    REQUIRE(read.errors() == "");
    REQUIRE(read.entries.at(0).queries.size() == 2);
    CHECK(to_string(read.entries[0].queries[1].series) ==
          R"(aws.sqs.number_of_messages_sent{queue_name="orders",stat="p99.9"})");
    const MetricInfo* metric = find_metric("aws.sqs.number_of_messages_sent");
    REQUIRE(metric != nullptr);
    CHECK(metric->unit == "{message}");
    CHECK(metric->attributes == "queue_name,stat");
}

TEST_CASE("what is declared twice must agree, and carries the attributes of both",
          "[aws-metrics]") {
    const std::vector<std::string> a{"a"};
    const std::vector<std::string> b{"b"};
    const auto first = declare_metric("aws.test.thing", "s", a);
    REQUIRE(first);
    REQUIRE(declare_metric("aws.test.thing", "s", b));
    CHECK((*first)->attributes == "a,b");
    CHECK_FALSE(declare_metric("aws.test.thing", "By", a));
    CHECK_FALSE(declare_metric("aws.rds.replica_lag", "By", {}));
    CHECK_FALSE(declare_metric("aws.rds.replica_lag", "s", a));
    CHECK(declare_metric("aws.rds.replica_lag", "s", {}).value() ==
          find_metric("aws.rds.replica_lag"));
}

TEST_CASE("mistakes are told with their place", "[aws-metrics]") {
    const auto errors = [](const std::string& lines) {
        return Read("[[aws_metrics]]\n" + lines).errors();
    };
    CHECK(errors("name = \"a b\"\nrds = [\"x\"]\n").find("t:2:8: name must say") == 0);
    CHECK(errors("name = \"x\"\n").find("this entry reads nothing") != std::string::npos);
    CHECK(errors("name = \"x\"\nrds = [\"y\", \"y\"]\n").find("asked for twice") !=
          std::string::npos);
    CHECK(errors("name = \"x\"\nalb = [\"my-lb\"]\n").find("what follows \"loadbalancer/\"") !=
          std::string::npos);
    CHECK(errors("name = \"x\"\nperiod = \"90s\"\nrds = [\"y\"]\n").find("whole minutes") !=
          std::string::npos);
    CHECK(errors("name = \"x\"\nrds = [\"y\"]\nrgion = \"z\"\n").find("did you mean \"region\"") !=
          std::string::npos);
    CHECK(errors("name = \"x\"\n[[aws_metrics.metric]]\nnamespace = \"AWS/SQS\"\nname = "
                 "\"Q\"\nstats = [\"median\"]\n")
              .find("\"median\" is no statistic") != std::string::npos);
    CHECK(Read("[[aws_metrics]]\nname = \"x\"\nrds = [\"y\"]\n[[aws_metrics]]\nname = "
               "\"x\"\nrds = [\"y\"]\n")
              .errors()
              .find("name of another entry") != std::string::npos);
}
