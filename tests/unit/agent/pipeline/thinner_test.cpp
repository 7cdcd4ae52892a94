#include "agent/pipeline/thinner.h"

#include <cmath>

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

using std::chrono::seconds;

constexpr std::int64_t kStart_ms = 1'772'445'600'000;  // a whole minute
constexpr std::size_t kManySeries = 20'000;
const SeriesDescriptor kGauge{"system.memory.usage", {{"state", "used"}}};
const SeriesDescriptor kCounter{"system.cpu.time", {{"cpu", "0"}}};

SeriesDescriptor named(SeriesDescriptor series, const char* suffix) {
    series.metric += suffix;
    return series;
}

Schema two() {
    return {{{"host", {kGauge, kCounter}}}};
}

// One instant a second from second `from` on; one row of values each.
SampleBlock rows(std::int64_t from, const std::vector<std::vector<double>>& values) {
    SampleGroup group;
    group.series_count = values.front().size();
    for (std::size_t i = 0; i < values.size(); ++i)
        group.timestamps_ms.push_back(kStart_ms + (from + static_cast<std::int64_t>(i)) * 1000);
    for (std::size_t column = 0; column < group.series_count; ++column) {
        for (const auto& row : values)
            group.values.push_back(row[column]);
    }
    return {{group}};
}
std::vector<double> column_of(const Thinner::Thinned& thinned, const SeriesDescriptor& series) {
    const auto& all = thinned.schema.groups[0].series;
    const auto it = std::find(all.begin(), all.end(), series);
    REQUIRE(it != all.end());
    const auto column = thinned.block.groups[0].column(static_cast<std::size_t>(it - all.begin()));
    return {column.begin(), column.end()};
}
using Column = std::vector<double>;

TEST_CASE("ten seconds become one instant: last, min, max, avg of gauges, last of counters",
          "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    std::vector<std::vector<double>> values;
    for (int i = 0; i < 20; ++i)
        values.push_back({i % 2 == 0 ? 10.0 + i : 5.0, 100.0 + i});
    REQUIRE(thinner.add(rows(0, values)));
    const auto thinned = thinner.take();
    REQUIRE(thinned.schema.groups[0].source == "host");
    REQUIRE(thinned.schema.groups[0].series ==
            std::vector<SeriesDescriptor>{kGauge, kCounter, named(kGauge, ".min"),
                                          named(kGauge, ".max"), named(kGauge, ".avg")});
    REQUIRE(thinned.block.groups[0].timestamps_ms ==
            std::vector<std::int64_t>{kStart_ms + 9000, kStart_ms + 19'000});
    REQUIRE(column_of(thinned, kGauge) == Column{5, 5});
    REQUIRE(column_of(thinned, kCounter) == Column{109, 119});
    REQUIRE(column_of(thinned, named(kGauge, ".min")) == Column{5, 5});
    REQUIRE(column_of(thinned, named(kGauge, ".max")) == Column{18, 28});
    REQUIRE(column_of(thinned, named(kGauge, ".avg")) == Column{9.5, 14.5});
}

TEST_CASE("a window that spans batches is one window", "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(0, {{1, 1}, {2, 2}, {3, 3}})));
    REQUIRE(thinner.add(rows(3, {{4, 4}, {5, 5}, {6, 6}})));
    const auto thinned = thinner.take();
    REQUIRE(column_of(thinned, kGauge) == Column{6});
    REQUIRE(column_of(thinned, named(kGauge, ".avg")) == Column{3.5});
}

TEST_CASE("what was thinned to ten seconds is thinned to sixty without new series", "[thin]") {
    Thinner ten(two(), seconds{10}, kManySeries);
    std::vector<std::vector<double>> values;
    for (int i = 0; i < 120; ++i)
        values.push_back({static_cast<double>(i), static_cast<double>(i)});
    REQUIRE(ten.add(rows(0, values)));
    const auto first = ten.take();
    Thinner sixty(first.schema, seconds{60}, kManySeries);
    REQUIRE(sixty.add(first.block));
    const auto thinned = sixty.take();
    REQUIRE(thinned.schema == first.schema);
    REQUIRE(column_of(thinned, kGauge) == Column{59, 119});
    REQUIRE(column_of(thinned, named(kGauge, ".min")) == Column{0, 60});
    REQUIRE(column_of(thinned, named(kGauge, ".max")) == Column{59, 119});
    REQUIRE(column_of(thinned, named(kGauge, ".avg")) == Column{29.5, 89.5});
}

TEST_CASE("four instants in a window stay as they are, also beside a window that is thinned",
          "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(6, {{1, 1}, {2, 2}, {3, 3}, {4, 4}})));  // the window ends
    auto thinned = thinner.take();
    REQUIRE(thinned.schema == two());
    REQUIRE(column_of(thinned, kGauge) == Column{1, 2, 3, 4});
    REQUIRE(thinner.add(rows(16, {{1, 1}, {2, 2}, {3, 3}, {4, 4}})));
    REQUIRE(thinner.add(rows(20, {{1, 1}, {2, 2}, {3, 3}, {4, 4}, {8, 8}})));
    thinned = thinner.take();
    REQUIRE(column_of(thinned, kGauge) == Column{1, 2, 3, 4, 8});
    const Column max = column_of(thinned, named(kGauge, ".max"));
    REQUIRE(std::isnan(max[3]));
    REQUIRE(max[4] == 8);
}

TEST_CASE("instants without a value are passed over", "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(0, {{kNoValue, kNoValue},
                                 {7, kNoValue},
                                 {kNoValue, kNoValue},
                                 {5, kNoValue},
                                 {kNoValue, kNoValue}})));
    const auto thinned = thinner.take();
    REQUIRE(column_of(thinned, kGauge) == Column{5});
    REQUIRE(column_of(thinned, named(kGauge, ".avg")) == Column{6});
    REQUIRE(std::isnan(column_of(thinned, kCounter)[0]));
    REQUIRE(thinned.block.sample_count() == 4);
}

TEST_CASE("a clock that went back ends what can be merged", "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(30, {{1, 1}})));
    REQUIRE_FALSE(thinner.add(rows(29, {{2, 2}})));
    REQUIRE(thinner.add(rows(30, {{3, 3}})));
    REQUIRE(column_of(thinner.take(), kGauge) == Column{1, 3});
    REQUIRE_FALSE(thinner.add(SampleBlock{}));  // of another schema
}

TEST_CASE("with too many series, gauges keep their last value alone", "[thin]") {
    const std::vector<std::vector<double>> values = {{1, 1}, {2, 2}, {9, 3}, {4, 4}, {5, 5}};
    Thinner enough(two(), seconds{10}, 9);
    REQUIRE(enough.add(rows(0, values)));
    REQUIRE(enough.take().schema.series_count() == 5);
    Thinner thinner(two(), seconds{10}, 8);
    REQUIRE(thinner.add(rows(0, values)));
    const auto thinned = thinner.take();
    REQUIRE(thinned.schema == two());
    REQUIRE(column_of(thinned, kGauge) == Column{5});
}

TEST_CASE("a metric of the catalog that ends like an aggregate is none", "[thin]") {
    const SeriesDescriptor late{"ridgeline.agent.sampling.lateness.max", {}};
    const SeriesDescriptor lone = named(kGauge, ".max");  // without its siblings
    Thinner thinner({{{"agent", {late, kGauge, lone}}}}, seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(0, {{1, 1, 1}, {9, 9, 9}, {3, 3, 3}, {4, 4, 4}, {5, 5, 5}})));
    const auto thinned = thinner.take();
    REQUIRE(column_of(thinned, late) == Column{5});
    REQUIRE(column_of(thinned, lone) == Column{5});
}

TEST_CASE("an average has one decimal more than its values", "[thin]") {
    Thinner thinner(two(), seconds{10}, kManySeries);
    REQUIRE(thinner.add(rows(0, {{0.1, 0}, {0.2, 0}, {0.2, 0}, {0.2, 0}, {0.2, 0}, {0.2, 0}})));
    REQUIRE(column_of(thinner.take(), named(kGauge, ".avg")) == Column{0.18});
}

}  // namespace
}  // namespace ridgeline::agent
