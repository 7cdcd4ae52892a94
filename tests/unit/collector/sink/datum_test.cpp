#include "collector/sink/datum.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

TEST_CASE("statistics agree with counting one by one", "[datum]") {
    std::mt19937 random(7);
    for (const int distinct : {1, 2, 149, 150, 151, 1000}) {
        INFO(distinct);
        std::uniform_int_distribution<int> pick(-distinct / 2, distinct - distinct / 2 - 1);
        Statistics statistics;
        std::map<double, std::uint32_t> naive;
        std::vector<double> all;
        for (int i = 0; i < 20'000; ++i) {
            const double value = pick(random) * 0.25;  // sums of quarters are exact
            statistics.add(value);
            ++naive[value];
            all.push_back(value);
        }
        CHECK(statistics.count() == all.size());
        CHECK(statistics.sum() == std::accumulate(all.begin(), all.end(), 0.0));
        CHECK(statistics.minimum() == *std::min_element(all.begin(), all.end()));
        CHECK(statistics.maximum() == *std::max_element(all.begin(), all.end()));
        REQUIRE(naive.size() == static_cast<std::size_t>(distinct));
        CHECK(statistics.exact() == (naive.size() <= kUniqueValuesMax));
        if (statistics.exact()) {
            const std::vector<std::pair<double, std::uint32_t>> expected(naive.begin(),
                                                                         naive.end());
            CHECK(statistics.values() == expected);
        }
    }
}

TEST_CASE("samples fall into the period they were taken in", "[datum]") {
    Aggregation aggregation(60s);
    const auto b = aggregation.series({"b", {}, "None"});
    const auto a = aggregation.series({"a", {{"host", "h"}}, "None"});
    CHECK(aggregation.series({"b", {}, "None"}) == b);
    const WallTime noon{12h};
    aggregation.add(b, noon, 1);
    aggregation.add(b, noon + 59'999ms, 2);
    aggregation.add(b, noon + 60s, 3);
    aggregation.add(b, noon - 1ms, 4);
    aggregation.add(a, noon + 5s, 5);
    CHECK(aggregation.datum_count() == 4);

    const auto datums = aggregation.take();
    REQUIRE(datums.size() == 4);  // by identity, then by time, whatever the order they came in
    CHECK(datums[0].metric.name == "a");
    CHECK(datums[0].timestamp == noon);
    CHECK(datums[1].timestamp == noon - 60s);
    CHECK(datums[2].timestamp == noon);
    CHECK(datums[2].statistics.count() == 2);
    CHECK(datums[3].timestamp == noon + 60s);
    CHECK(aggregation.take().empty());
}

TEST_CASE("the same name in another unit is another metric", "[datum]") {
    Aggregation aggregation(60s);
    CHECK(aggregation.series({"a", {}, "Bytes"}) != aggregation.series({"a", {}, "None"}));
}
