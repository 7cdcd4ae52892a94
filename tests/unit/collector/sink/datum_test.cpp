#include "collector/sink/datum.h"

#include <algorithm>
#include <cmath>
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
            std::vector<CountedValue> expected;
            for (const auto& [value, count] : naive)
                expected.push_back({value, count});
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
    CHECK(datums[0].metric->name == "a");
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

namespace {

// The largest relative error of percentiles, as the statistics' values give them.
double percentile_error(std::vector<double> all, const Statistics& statistics) {
    std::sort(all.begin(), all.end());
    const std::vector<CountedValue> values = statistics.values();
    double worst = 0;
    for (int percent = 0; percent <= 1'000; ++percent) {
        const auto rank = static_cast<std::size_t>(
            std::llround(percent / 1'000.0 * static_cast<double>(all.size() - 1)));
        std::uint64_t before = 0;
        std::size_t i = 0;
        while (before + values[i].count <= rank)
            before += values[i++].count;
        const double truth = all[rank];
        if (truth != 0)
            worst = std::max(worst, std::abs(values[i].value - truth) / std::abs(truth));
        else
            CHECK(values[i].value == 0);
    }
    return worst;
}

}  // namespace

TEST_CASE("beyond 150 values, percentiles are right within the stated error", "[datum]") {
    std::mt19937_64 random(3);
    std::lognormal_distribution<double> latency(-5, 1.5);
    std::exponential_distribution<double> waits(1);
    std::normal_distribution<double> percent(0.4, 0.05);
    std::uniform_real_distribution<double> anything(0, 1e6);
    for (int kind = 0; kind < 4; ++kind) {
        INFO(kind);
        Statistics whole, left, right;
        std::vector<double> all;
        for (int i = 0; i < 30'000; ++i) {
            const double value = kind == 0   ? latency(random)
                                 : kind == 1 ? (i % 3 == 0 ? 0 : waits(random))
                                 : kind == 2 ? std::abs(percent(random))
                                             : anything(random);
            all.push_back(value);
            whole.add(value);
            (i % 2 == 0 ? left : right).add(value);
        }
        left.merge(right);
        for (const Statistics* statistics : {&whole, &left}) {
            CHECK_FALSE(statistics->exact());
            CHECK(statistics->relative_error() <= 0.0202);
            CHECK(percentile_error(all, *statistics) <= statistics->relative_error());
            const auto values = statistics->values();
            CHECK(values.front().value == *std::min_element(all.begin(), all.end()));
            CHECK(values.back().value == *std::max_element(all.begin(), all.end()));
            std::uint64_t count = 0;
            double sum = 0;
            for (const CountedValue& value : values) {
                count += value.count;
                sum += value.value * static_cast<double>(value.count);
            }
            CHECK(count == all.size());
            CHECK(std::abs(sum / statistics->sum() - 1) < 1e-9);
            CHECK(statistics->count() == all.size());
            CHECK(values.size() <= ValueBuckets::kBucketsMax + 2);
        }
    }
}

TEST_CASE("negative, zero and extreme magnitudes keep their order", "[datum]") {
    Statistics statistics;
    for (int i = -300; i <= 300; ++i)
        statistics.add(std::ldexp(i < 0 ? -1.0 : 1.0, i));
    statistics.add(0);
    const auto values = statistics.values();
    CHECK(std::is_sorted(values.begin(), values.end(),
                         [](const auto& a, const auto& b) { return a.value < b.value; }));
    CHECK(values.size() <= ValueBuckets::kBucketsMax + 2);
    CHECK(statistics.minimum() == -std::ldexp(1.0, -1));
    CHECK(statistics.maximum() == std::ldexp(1.0, 300));
}

TEST_CASE("what is kept back is carried to the next flush, and taken then", "[datum]") {
    Aggregation aggregation(60s);
    const auto a = aggregation.series({"a", {}, "None"});
    const WallTime noon{12h};
    aggregation.add(a, noon - 30s, 1);
    aggregation.add(a, noon + 5s, 2);
    const KeptBack kept{noon, noon + 120s};
    auto datums = aggregation.take(kept, false);
    REQUIRE(datums.size() == 1);
    CHECK(datums[0].timestamp == noon - 60s);
    CHECK(aggregation.carries());
    aggregation.add(a, noon + 30s, 3);
    aggregation.add(a, noon + 61s, 4);
    aggregation.add(a, noon - 1s, 5);
    SECTION("a flush in the middle of the period leaves it") {
        datums = aggregation.take(kept, true);
        REQUIRE(datums.size() == 1);
        CHECK(datums[0].statistics.sum() == 5);
        datums = aggregation.take({noon + 60s, noon + 180s}, false);
        REQUIRE(datums.size() == 2);
        CHECK(datums[0].statistics.sum() == 5);
        CHECK(datums[0].statistics.count() == 2);
        CHECK(datums[1].statistics.sum() == 4);
    }
    SECTION("the next flush takes it") {
        datums = aggregation.take({noon + 60s, noon + 180s}, false);
        REQUIRE(datums.size() == 2);
        CHECK(datums[0].statistics.sum() == 5);
        CHECK(datums[1].timestamp == noon);
        CHECK(datums[1].statistics.sum() == 5);
        aggregation.compact();
        datums = aggregation.take();
        REQUIRE(datums.size() == 1);
        CHECK(datums[0].statistics.sum() == 4);
    }
}
