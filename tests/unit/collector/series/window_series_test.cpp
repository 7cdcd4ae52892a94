#include "collector/series/window_series.h"

#include <map>
#include <random>

#include "tests/support/catch.h"

using namespace ridgeline::collector;

namespace {

std::map<std::int64_t, double> all(const WindowSeries& series, std::int64_t from = INT64_MIN,
                                   std::int64_t to = INT64_MAX) {
    std::map<std::int64_t, double> found;
    std::int64_t last = INT64_MIN;
    series.for_each(from, to, [&](std::int64_t t, double v) {
        CHECK(t > last);
        last = t;
        found[t] = v;
    });
    return found;
}

}  // namespace

TEST_CASE("a series agrees with a plain map, whatever order its samples come in",
          "[window_series]") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 rng(seed);
        WindowSeries series;
        std::map<std::int64_t, double> model;
        std::int64_t now = 0;
        for (int i = 0; i < 120; ++i) {
            // Mostly new data; now and then a run from the past, partly known already.
            std::int64_t t = rng() % 4 == 0 && now > 0
                                 ? static_cast<std::int64_t>(rng() % static_cast<unsigned>(now))
                                 : now + 1;
            std::vector<std::int64_t> times;
            std::vector<double> values;
            for (auto n = 1 + rng() % 30; n > 0;
                 --n, t += 1 + static_cast<std::int64_t>(rng() % 3)) {
                times.push_back(t);
                values.push_back(static_cast<double>(rng() % 100) / 4);
            }
            now = std::max(now, times.back());
            std::vector<std::size_t> fresh;
            const std::size_t added = series.append(times, values, &fresh);
            std::size_t expected = 0;
            for (std::size_t k = 0; k < times.size(); ++k)
                expected += model.emplace(times[k], values[k]).second ? 1 : 0;
            CHECK(added == expected);
            if (added < times.size()) CHECK(fresh.size() == added);
        }
        INFO("seed " << seed);
        CHECK(all(series) == model);
        const std::int64_t from = now / 3, to = 2 * now / 3;
        CHECK(all(series, from, to) ==
              std::map<std::int64_t, double>(model.lower_bound(from), model.upper_bound(to)));
        CHECK(series.latest_ms() == model.rbegin()->first);
        CHECK(series.latest_value() == model.rbegin()->second);
    }
}

TEST_CASE("noisy data on a regular grid takes about two bytes a sample", "[window_series]") {
    WindowSeries series;
    std::mt19937 rng(1);
    double value = 0.4;
    for (std::int64_t t = 0; t < 86'400; t += 10) {
        std::vector<std::int64_t> times;
        std::vector<double> values;
        for (std::int64_t i = 0; i < 10; ++i) {
            if (rng() % 3 == 0) value = static_cast<double>(4000 + rng() % 400) / 10'000;
            times.push_back((t + i) * 1000);
            values.push_back(value);
        }
        series.append(times, values, nullptr);
    }
    CHECK(series.bytes() < 86'400 * 22 / 10);
}

TEST_CASE("the head of a regular series takes eight bytes a sample", "[window_series]") {
    WindowSeries series;
    std::map<std::int64_t, double> expected;
    const auto append = [&](std::int64_t from, std::int64_t to, std::int64_t step) {
        std::vector<std::int64_t> times;
        std::vector<double> values;
        for (std::int64_t t = from; t < to; t += step) {
            times.push_back(t);
            values.push_back(static_cast<double>(t % 97));
            expected[t] = values.back();
        }
        series.append(times, values, nullptr);
    };
    for (std::int64_t t = 0; t < 110'000; t += 10'000)
        append(t, t + 10'000, 1000);
    CHECK(series.bytes() == WindowSeries::kChunkSamples * sizeof(double));
    CHECK(all(series) == expected);
    // One that is off the beat has them all written out, until the chunk is full.
    append(110'500, 110'501, 1);
    CHECK(all(series) == expected);
    append(111'000, 119'000, 1000);
    CHECK(all(series) == expected);
    append(119'000, 129'000, 1000);
    CHECK(all(series) == expected);
    append(129'000, 500'000, 1000);
    CHECK(all(series) == expected);
}

TEST_CASE("old chunks go, the latest value stays known", "[window_series]") {
    WindowSeries series;
    for (std::int64_t t = 0; t < 1000; ++t) {
        const double value = static_cast<double>(t);
        series.append(std::span(&t, 1), std::span(&value, 1), nullptr);
    }
    series.trim(500);
    const auto kept = all(series);
    CHECK(kept.begin()->first <= 500);
    CHECK(kept.begin()->first > 300);
    CHECK(kept.rbegin()->first == 999);
    series.trim(5000);
    CHECK(series.empty());
    CHECK(series.latest_ms() == 999);
}
