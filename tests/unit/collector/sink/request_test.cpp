#include "collector/sink/request.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "gunzip.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

Datum datum(std::string name, std::initializer_list<double> values) {
    Datum out{std::make_shared<const MetricIdentity>(
                  MetricIdentity{std::move(name), {{"host", "web-1"}}, "Percent"}),
              WallTime{1'772'445'600s},
              {}};
    for (const double value : values)
        out.statistics.add(value);
    return out;
}

}  // namespace

TEST_CASE("a datum is a value, values with counts, or a statistic set", "[request]") {
    std::vector<Datum> datums = {datum("one", {0.1}), datum("each_once", {3, 1}),
                                 datum("more \"than\\once", {2, 2, 1})};
    datums.push_back(datum("negative", {}));
    for (int i = -1; i <= 198; ++i)
        datums.back().statistics.add(i);
    const RequestBody body = build_request("Test/NS", datums, 60s);
    CHECK(body.datum_count == 4);
    CHECK(body.json ==
          R"({"Namespace":"Test/NS","MetricData":[)"
          R"({"MetricName":"one","Dimensions":[{"Name":"host","Value":"web-1"}],)"
          R"("Timestamp":1772445600,"Value":0.1,"Unit":"Percent"},)"
          R"({"MetricName":"each_once","Dimensions":[{"Name":"host","Value":"web-1"}],)"
          R"("Timestamp":1772445600,"Values":[1,3],"Unit":"Percent"},)"
          R"({"MetricName":"more \"than\\once","Dimensions":[{"Name":"host","Value":"web-1"}],)"
          R"("Timestamp":1772445600,"Values":[1,2],"Counts":[1,2],"Unit":"Percent"},)"
          R"({"MetricName":"negative","Dimensions":[{"Name":"host","Value":"web-1"}],)"
          R"("Timestamp":1772445600,"StatisticValues":{"SampleCount":200,"Sum":19700,)"
          R"("Minimum":-1,"Maximum":198},"Unit":"Percent"}]})");
}

TEST_CASE("a period below a minute is stored at high resolution", "[request]") {
    const std::vector<Datum> datums = {datum("one", {1})};
    const auto json = nlohmann::json::parse(build_request("N", datums, 1s).json);
    CHECK(json["MetricData"][0]["StorageResolution"] == 1);
}

TEST_CASE("a request ends at 1,000 datums", "[request]") {
    const std::vector<Datum> datums(1'001, datum("small", {1}));
    CHECK(build_request("N", datums, 60s).datum_count == 1'000);
    CHECK(build_request("N", std::span(datums).subspan(1'000), 60s).datum_count == 1);
    CHECK(build_request("N", std::span(datums).first(1'000), 60s).datum_count == 1'000);
}

TEST_CASE("a request ends before 999,000 bytes, to the byte", "[request]") {
    Datum wide = datum("wide", {});
    for (int i = 0; i < 150; ++i)
        wide.statistics.add(1.0 / (i + 3));
    const std::vector<Datum> datums(1'000, wide);
    const RequestBody body = build_request("N", datums, 60s);
    CHECK(body.json.size() <= 999'000);
    const std::size_t one_more =
        build_request("N", std::span(datums).first(body.datum_count + 1), 60s,
                      {.datums_max = 1'000, .bytes_max = 10'000'000, .gzip_bytes_min = 0})
            .json.size();
    CHECK(one_more > 999'000);
    // The limit itself is allowed.
    RequestLimits exact;
    exact.bytes_max = body.json.size();
    CHECK(build_request("N", datums, 60s, exact).datum_count == body.datum_count);
    exact.bytes_max = body.json.size() - 1;
    CHECK(build_request("N", datums, 60s, exact).datum_count == body.datum_count - 1);
}

TEST_CASE("a datum larger than a request still goes, alone", "[request]") {
    const std::vector<Datum> datums(2, datum("any", {1}));
    RequestLimits tiny;
    tiny.bytes_max = 10;
    CHECK(build_request("N", datums, 60s, tiny).datum_count == 1);
}

TEST_CASE("gzip round-trips, and small bodies go as they are", "[request]") {
    std::string text;
    for (std::uint64_t i = 0; i < 100'000; ++i)
        text += static_cast<char>(i * i % 251);
    CHECK(test::gunzip(*gzip(text)) == text);
    CHECK(test::gunzip(*gzip("")) == "");

    const HttpRequest large = put_metric_data("http://a", text);
    CHECK(large.headers.back() == HttpHeader{"Content-Encoding", "gzip"});
    CHECK(test::gunzip(large.body) == text);
    CHECK(put_metric_data("http://a", "{}").body == "{}");
    CHECK(put_metric_data("http://a", "{}").url == "http://a/");
}

TEST_CASE("more than 150 values are several datums that add up", "[request]") {
    Datum wide = datum("wide", {});
    double sum = 0;
    for (int i = 1; i <= 400; ++i) {
        wide.statistics.add(i * 1.0);
        sum += i;
    }
    const std::vector<Datum> datums = {datum("one", {1}), wide, datum("two", {1})};
    const auto json = nlohmann::json::parse(build_request("N", datums, 60s).json)["MetricData"];
    REQUIRE(json.size() >= 4);
    double count = 0;
    double total = 0;
    for (const auto& part : json) {
        if (part["MetricName"] != "wide") continue;
        CHECK(part["Values"].size() <= kUniqueValuesMax);
        for (std::size_t i = 0; i < part["Values"].size(); ++i) {
            const double n = part.contains("Counts") ? part["Counts"][i].get<double>() : 1;
            count += n;
            total += n * part["Values"][i].get<double>();
        }
    }
    CHECK(count == 400);
    CHECK(std::abs(total - sum) < 1e-6);
    // They go together, or wait for the next request.
    RequestLimits two;
    two.datums_max = 2;
    CHECK(build_request("N", datums, 60s, two).datum_count == 1);
}

TEST_CASE("a marker goes with every request, within its limits", "[request]") {
    const std::vector<Datum> datums(1'000, datum("small", {1}));
    const RequestBody body = build_request("N", datums, 60s, {}, R"({"MetricName":"m"})");
    CHECK(body.datum_count == 999);
    const auto json = nlohmann::json::parse(body.json);
    CHECK(json["MetricData"].size() == 1'000);
    CHECK(json["MetricData"].back()["MetricName"] == "m");
    RequestLimits exact;
    exact.bytes_max = body.json.size();
    CHECK(build_request("N", datums, 60s, exact, R"({"MetricName":"m"})").datum_count == 999);
    exact.bytes_max = body.json.size() - 1;
    CHECK(build_request("N", datums, 60s, exact, R"({"MetricName":"m"})").datum_count == 998);
}
