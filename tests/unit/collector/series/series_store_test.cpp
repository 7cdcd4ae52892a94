#include "collector/series/series_store.h"

#include "tests/support/batches.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr std::int64_t kStart = 1'772'445'600'000;

LogBatch batch(const std::string& host, std::shared_ptr<const Schema> schema, SampleBlock block) {
    LogBatch out;
    HostInfo info;
    info.host_id = host;
    out.host = std::make_shared<const HostInfo>(std::move(info));
    out.schema = std::move(schema);
    out.block = std::move(block);
    return out;
}

std::size_t append(SeriesStore& store, const LogBatch& b) {
    std::size_t fresh = 0;
    store.append(b,
                 [&](const SeriesStore::NewSamples& samples) { fresh += samples.times_ms.size(); });
    return fresh;
}

}  // namespace

TEST_CASE("each sample is handed on once, however often its batch comes", "[series_store]") {
    SeriesStore store({});
    const auto schema = std::make_shared<const Schema>(test::small_schema());
    CHECK(append(store, batch("a", schema, test::small_block(kStart, 10, 1))) == 20);
    CHECK(append(store, batch("a", schema, test::small_block(kStart, 10, 2))) == 0);
    CHECK(append(store, batch("a", schema, test::small_block(kStart + 5000, 10, 3))) == 10);
    CHECK(store.stats().duplicates == 30);
    const auto found = store.find({"a", "system.uptime", {}});
    REQUIRE(found.size() == 1);
    const auto steps = store.aggregate(found[0], kStart, kStart + 15'000, 10'000);
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].count == 10);
    CHECK(steps[0].max == 1);
    CHECK(steps[1].count == 5);
    CHECK(steps[1].last == 3);
}

TEST_CASE("absent values and repeated stamps are no samples", "[series_store]") {
    SeriesStore store({});
    const auto schema = std::make_shared<const Schema>(test::small_schema());
    SampleBlock block = test::small_block(kStart, 3, 1);
    block.groups[0].values[1] = kNoValue;
    block.groups[0].timestamps_ms[2] = block.groups[0].timestamps_ms[1];
    CHECK(append(store, batch("a", schema, block)) == 4);
}

TEST_CASE("series are found by host, metric and attributes, present or absent", "[series_store]") {
    SeriesStore store({});
    const auto schema = std::make_shared<const Schema>(
        Schema{{{"cpu",
                 {{"system.cpu.utilization", {{"cpu", "0"}, {"state", "used"}}},
                  {"system.cpu.utilization", {{"state", "used"}}}}}}});
    append(store, batch("web-1", schema, test::small_block(kStart, 1, 1)));
    append(store, batch("web-2", schema, test::small_block(kStart, 1, 1)));
    append(store, batch("db-1", schema, test::small_block(kStart, 1, 1)));
    CHECK(store.find({}).size() == 6);
    CHECK(store.find({"web-*", "", {}}).size() == 4);
    CHECK(store.find({"web-1", "system.*", {{"state", "us*"}}}).size() == 2);
    CHECK(store.find({"web-1", "", {{"cpu", ""}}}).size() == 1);
    CHECK(store.find({"web-1", "", {{"cpu", "0"}}}).size() == 1);
    CHECK(store.find({"web-1", "", {{"mountpoint", "/"}}}).empty());
    CHECK(store.series_count("db-1") == 2);
    CHECK(store.hosts().size() == 3);
    store.trim(from_unix_ms(kStart) + std::chrono::hours{25});
    CHECK(store.find({}).empty());
    CHECK(store.hosts().empty());
}

TEST_CASE("series beyond the limit are counted, those that are there go on", "[series_store]") {
    SeriesStoreOptions options;
    options.series_max = 2;
    SeriesStore store(options);
    const auto schema = std::make_shared<const Schema>(test::small_schema());
    CHECK(append(store, batch("a", schema, test::small_block(kStart, 5, 1))) == 10);
    CHECK(append(store, batch("b", schema, test::small_block(kStart, 5, 1))) == 0);
    CHECK(store.stats().series_refused == 10);
    CHECK(append(store, batch("a", schema, test::small_block(kStart + 5000, 5, 1))) == 10);
}

TEST_CASE("a step of a chart holds what lies in it", "[series_store]") {
    SeriesStore store({});
    const auto schema = std::make_shared<const Schema>(test::small_schema());
    SampleBlock block = test::small_block(kStart, 10, 0);
    for (std::size_t i = 0; i < 10; ++i)
        block.groups[0].column(1)[i] = static_cast<double>(i);
    append(store, batch("a", schema, block));
    const auto id = store.find({"a", "system.uptime", {}}).at(0);
    const auto steps = store.aggregate(id, kStart + 1000, kStart + 8000, 5000);
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].t_ms == kStart);
    CHECK(steps[0].min == 1);
    CHECK(steps[0].max == 4);
    CHECK(steps[0].sum == 10);
    CHECK(steps[0].last == 4);
    CHECK(steps[0].count == 4);
    CHECK(steps[1].t_ms == kStart + 5000);
    CHECK(steps[1].last == 8);
}

TEST_CASE("schemas that the log let go of are not kept by the window, and ids stay",
          "[series_store]") {
    SeriesStore store({});
    auto schema = std::make_shared<const Schema>(test::small_schema());
    const std::weak_ptr<const Schema> watched = schema;
    append(store, batch("a", schema, test::small_block(kStart, 10, 0)));
    const auto ids = store.find({});
    store.trim(from_unix_ms(kStart));
    CHECK_FALSE(watched.expired());
    schema.reset();
    store.trim(from_unix_ms(kStart));
    CHECK(watched.expired());
    const auto again = std::make_shared<const Schema>(test::small_schema());
    CHECK(append(store, batch("a", again, test::small_block(kStart + 10'000, 10, 0))) == 20);
    CHECK(store.find({}) == ids);
}
