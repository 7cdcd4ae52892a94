#include "collector/cloudwatch/metric_data.h"

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr MetricDataWindow kWindow{1'772'445'600, 1'772'445'900, 60};

std::string error_of(const std::string& body) {
    const auto page = parse_metric_data(body, 2, kWindow);
    return page ? "" : page.error().context;
}

std::string one(const std::string& result) {
    return R"({"MetricDataResults":[)" + result + "]}";
}

}  // namespace

TEST_CASE("a request holds 500 queries, fewer of long windows", "[aws-metrics]") {
    CHECK(queries_per_request(kWindow) == 500);
    CHECK(queries_per_request({0, 201LL * 60, 60}) == 500);
    CHECK(queries_per_request({0, 202LL * 60, 60}) == 499);  // 100,800 points in all
    CHECK(queries_per_request({0, 86'400, 60}) == 70);
}

TEST_CASE("a request says what is asked for", "[aws-metrics]") {
    AwsMetricQuery query;
    query.space = "AWS/RDS";
    query.metric = "CPUUtilization";
    query.dimensions = {{"DBInstanceIdentifier", "or\"ders"}};
    query.stat = "p95";
    const std::vector<const AwsMetricQuery*> queries{&query};
    const auto request =
        nlohmann::json::parse(metric_data_request(queries, kWindow, "next \"page\""));
    CHECK(request == nlohmann::json::parse(R"({"StartTime":1772445600,"EndTime":1772445900,
        "ScanBy":"TimestampAscending","NextToken":"next \"page\"","MetricDataQueries":[{"Id":"m0",
        "MetricStat":{"Metric":{"Namespace":"AWS/RDS","MetricName":"CPUUtilization",
        "Dimensions":[{"Name":"DBInstanceIdentifier","Value":"or\"ders"}]},"Period":60,
        "Stat":"p95"}}]})"));
}

TEST_CASE("an answer is read as it is", "[aws-metrics]") {
    const auto page = parse_metric_data(
        R"({"MetricDataResults":[{"Id":"m1","Label":"x","Timestamps":[1.7724456E9,1772445660],
        "Values":[1.5,2],"StatusCode":"PartialData"},{"Id":"m0","StatusCode":"Forbidden",
        "Messages":[{"Code":"Forbidden","Value":"no"}]}],"NextToken":"t"})",
        2, kWindow);
    REQUIRE(page);
    CHECK(page->next_token == "t");
    CHECK(page->results.at(0).query == 1);
    CHECK(page->results.at(0).status == MetricDataPage::Status::partial);
    CHECK(page->results.at(0).points ==
          std::vector<std::pair<std::int64_t, double>>{{1772445600, 1.5}, {1772445660, 2}});
    CHECK(page->results.at(1).status == MetricDataPage::Status::forbidden);
    CHECK(page->results.at(1).message == "no");
}

TEST_CASE("an answer that is not one to the question is refused", "[aws-metrics]") {
    CHECK(error_of("<html>") == "GetMetricData's answer cannot be used: it is no JSON object");
    CHECK(error_of("{}").find("no MetricDataResults") != std::string::npos);
    CHECK(error_of(one("7")) != "");
    CHECK(error_of(one(R"({"Id":"m2"})")).find("not asked") != std::string::npos);
    CHECK(error_of(one(R"({"Id":"m-1"})")) != "");
    CHECK(error_of(one(R"({"Id":"m0","StatusCode":"Odd"})")) != "");
    CHECK(error_of(one(R"({"Id":"m0","Timestamps":[1772445600],"Values":[]})")) != "");
    CHECK(error_of(one(R"({"Id":"m0","Timestamps":["x"],"Values":[1]})")) != "");
    CHECK(error_of(one(R"({"Id":"m0","Timestamps":[1772445600],"Values":["NaN"]})")) != "");
    CHECK(error_of(one(R"({"Id":"m0","Timestamps":[1772445900],"Values":[1]})"))
              .find("outside what was asked") != std::string::npos);
    CHECK(error_of(one(R"({"Id":"m0","Timestamps":[1e300],"Values":[1]})")) != "");
    CHECK(error_of(R"({"MetricDataResults":[],"NextToken":")" + std::string(70'000, 'x') + "\"}") !=
          "");
    CHECK(error_of(one(R"({"Id":"m0"})")) == "");
}
