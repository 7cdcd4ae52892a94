#include "collector/sink/read_back.h"

#include <set>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const WallTime kNow{1'772'445'630s};  // 30 s past a minute
constexpr std::int64_t kMinute = 1'772'445'600;

std::string answer(std::int64_t at, double count, double maximum) {
    return nlohmann::json{
        {"Label", "x"},
        {"Datapoints", {{{"Timestamp", at}, {"SampleCount", count}, {"Maximum", maximum}}}}}
        .dump();
}

}  // namespace

TEST_CASE("no marker is given twice, whatever the clock does", "[read-back]") {
    MarkerBook book;
    std::set<Marker> seen;
    WallTime now = kNow;
    for (int i = 0; i < 10'000; ++i) {
        if (i % 100 == 0) now += 7s;
        if (i == 5'000) now -= 10min;
        const Marker marker = book.next(now);
        CHECK(marker.slot < kMarkerSlots);
        REQUIRE(seen.insert(marker).second);
    }
    // The first fifty of a minute share its first second, so that the minute as a whole can be
    // read.
    MarkerBook fresh;
    for (int i = 0; i < 50; ++i)
        CHECK(fresh.next(kNow).second == kMinute);
    CHECK(fresh.next(kNow) == Marker{kMinute + 1, 0});
}

TEST_CASE("a marker is a datum that counts a bit", "[read-back]") {
    const auto datum = nlohmann::json::parse(marker_json({kMinute + 5, 49}, "0badcafe"));
    CHECK(datum["StatisticValues"]["SampleCount"].get<double>() == 562'949'953'421'312.0);
    CHECK(datum["StatisticValues"]["Maximum"] == 6);
    CHECK(datum["StorageResolution"] == 1);
    CHECK(datum["Timestamp"] == kMinute + 5);
    CHECK(datum["Dimensions"][0]["Value"] == "0badcafe");
}

TEST_CASE("seconds are asked for while CloudWatch has them, then minutes", "[read-back]") {
    const auto soon = read_back_query({{kMinute, 3}, {kMinute + 61, 0}}, kNow + 2h);
    REQUIRE(soon);
    CHECK_FALSE(soon->by_minute);
    CHECK(soon->from_s == kMinute);
    CHECK(soon->to_s == kMinute + 62);
    const auto late = read_back_query({{kMinute, 3}}, kNow + 4h);
    REQUIRE(late);
    CHECK(late->by_minute);
    CHECK(late->to_s == kMinute + 60);
    CHECK_FALSE(read_back_query({{kMinute + 1, 3}}, kNow + 4h));
    CHECK_FALSE(read_back_query({{kMinute, 3}}, kNow + 15 * 24h));
    // No more points than one answer has.
    CHECK(read_back_query({{kMinute, 0}, {kMinute + 9'000, 0}}, kNow)->to_s == kMinute + 1'440);
    const auto request = nlohmann::json::parse(read_back_json(*soon, "NS", "w"));
    CHECK(request["Period"] == 1);
    CHECK(request["Namespace"] == "NS");
}

TEST_CASE("the count's bits say which requests arrived", "[read-back]") {
    const ReadBackQuery seconds{kMinute, kMinute + 60, false};
    const auto seen = ReadBackAnswer::parse(answer(kMinute, 0b1010, 1), seconds);
    REQUIRE(seen);
    CHECK(seen->arrival_of({kMinute, 1}) == Arrival::arrived);
    CHECK(seen->arrival_of({kMinute, 3}) == Arrival::arrived);
    CHECK(seen->arrival_of({kMinute, 0}) == Arrival::absent);
    CHECK(seen->arrival_of({kMinute + 1, 1}) == Arrival::absent);
    CHECK(seen->arrival_of({kMinute + 60, 1}) == Arrival::unknown);

    // By the minute, only where nothing but the first second was used.
    const ReadBackQuery minutes{kMinute, kMinute + 60, true};
    CHECK(ReadBackAnswer::parse(answer(kMinute, 2, 1), minutes)->arrival_of({kMinute, 1}) ==
          Arrival::arrived);
    CHECK(ReadBackAnswer::parse(answer(kMinute, 3, 2), minutes)->arrival_of({kMinute, 1}) ==
          Arrival::unknown);
}

TEST_CASE("an answer that is none is refused", "[read-back]") {
    const ReadBackQuery query{kMinute, kMinute + 60, false};
    for (const char* bad :
         {"", "[]", "{\"Datapoints\":3}", "{\"Datapoints\":[3]}",
          "{\"Datapoints\":[{\"Timestamp\":1}]}",
          "{\"Datapoints\":[{\"Timestamp\":1,\"SampleCount\":-1,\"Maximum\":1}]}",
          "{\"Datapoints\":[{\"Timestamp\":1,\"SampleCount\":1e300,\"Maximum\":1}]}"})
        CHECK(ReadBackAnswer::parse(bad, query).error().code == Errc::corrupt);
    CHECK(ReadBackAnswer::parse("{\"Label\":\"x\"}", query)->arrival_of({kMinute, 0}) ==
          Arrival::absent);
}
