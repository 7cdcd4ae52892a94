#include "collector/series/series_store.h"

#include <set>

#include "tests/support/batches.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr std::int64_t kStart = 1'772'445'600'000;

LogBatch batch(const std::string& host, std::shared_ptr<const Schema> schema, SampleBlock block,
               std::int64_t received_ms = kStart) {
    LogBatch out;
    out.received = from_unix_ms(received_ms);
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
    CHECK(store.stats().refused_total == 10);
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

namespace {

// `count` series that no other `name` has.
std::shared_ptr<const Schema> wide_schema(const std::string& name, std::size_t count,
                                          std::size_t text = 0) {
    Schema schema{{{"app", {}}}};
    for (std::size_t i = 0; i < count; ++i) {
        schema.groups[0].series.push_back(
            {"app.requests", {{"name", name + std::to_string(i) + std::string(text, 'x')}}});
    }
    return std::make_shared<const Schema>(std::move(schema));
}

SampleBlock wide_block(std::int64_t at_ms, std::size_t count) {
    return {{{{at_ms}, count, std::vector<double>(count, 1.0)}}};
}

constexpr std::int64_t kHour = 3'600'000;

}  // namespace

TEST_CASE("series that have left the window make room, and their ids are no more",
          "[series_store]") {
    SeriesStoreOptions options;
    options.window = std::chrono::hours{1};
    options.series_max = 4;
    SeriesStore store(options);
    const auto schema = std::make_shared<const Schema>(test::small_schema());
    append(store, batch("old", schema, test::small_block(kStart, 10, 1)));
    append(store, batch("steady", schema, test::small_block(kStart, 10, 1)));
    const auto steady = store.find({"steady", "", {}});
    CHECK(append(store, batch("new", schema, test::small_block(kStart, 10, 1))) == 0);
    append(store, batch("steady", schema, test::small_block(kStart + kHour, 10, 1)));
    const auto gone = store.find({"old", "", {}});
    const auto freed = store.trim(from_unix_ms(kStart + kHour + 15'000));
    CHECK(std::set<SeriesId>(freed.begin(), freed.end()) ==
          std::set<SeriesId>(gone.begin(), gone.end()));
    CHECK(store.series_count() == 2);
    CHECK(store.series_count("old") == 0);
    CHECK(store.stats().series_freed == 2);
    CHECK_FALSE(store.contains(gone[0]));
    CHECK(store.find({"steady", "", {}}) == steady);
    const std::int64_t now = kStart + kHour + 60'000;
    CHECK(append(store, batch("new", schema, test::small_block(now, 10, 1), now)) == 20);
    for (const SeriesId id : store.find({"new", "", {}}))
        CHECK(id > gone[1]);
    // The old host comes back under other ids.
    CHECK(append(store, batch("old", schema, test::small_block(now, 1, 1), now)) == 0);
    store.trim(from_unix_ms(now + 2 * kHour));
    CHECK(store.series_count() == 0);
    CHECK(append(store, batch("old", schema, test::small_block(now + 2 * kHour, 1, 1),
                              now + 2 * kHour)) == 2);
}

TEST_CASE("a series without a sample takes no room", "[series_store]") {
    SeriesStore store({});
    SampleBlock block = test::small_block(kStart, 3, 1);
    for (double& value : block.groups[0].column(1))
        value = kNoValue;
    append(store, batch("a", std::make_shared<const Schema>(test::small_schema()), block));
    CHECK(store.series_count() == 1);
}

TEST_CASE("one host's series do not use up the room of others", "[series_store]") {
    SeriesStoreOptions options;
    options.series_per_host = 100;
    SeriesStore store(options);
    CHECK(append(store, batch("bomb", wide_schema("a", 150), wide_block(kStart, 150))) == 100);
    CHECK(store.stats().refused_per_host == 50);
    CHECK(append(store, batch("b", wide_schema("a", 100), wide_block(kStart, 100))) == 100);
    // Long texts count for what they take.
    CHECK(append(store, batch("long", wide_schema("a", 100, 1000), wide_block(kStart, 100))) == 50);
}

TEST_CASE("a host may have so many new series in an hour, and known ones go on", "[series_store]") {
    SeriesStoreOptions options;
    options.window = std::chrono::hours{1};
    options.series_per_host = 100;
    options.new_series_per_hour = 60;
    SeriesStore store(options);
    const auto steady = wide_schema("steady", 1);  // while it has one, the host is not new
    append(store, batch("h", steady, wide_block(kStart, 1)));
    CHECK(append(store, batch("h", wide_schema("a", 99), wide_block(kStart, 99))) == 99);
    const auto two_hours_later = [&](std::int64_t now) {
        append(store, batch("h", steady, wide_block(now, 1), now));
        store.trim(from_unix_ms(now));
        CHECK(store.series_count() == 1);
    };
    std::int64_t now = kStart + 2 * kHour;
    two_hours_later(now);
    // They made room for as many new ones as it may have.
    CHECK(append(store, batch("h", wide_schema("b", 90), wide_block(now, 90), now)) == 90);
    options.new_series_per_hour = 6;
    store.change(options);
    now += 2 * kHour;
    two_hours_later(now);
    const auto third = wide_schema("c", 100);
    CHECK(append(store, batch("h", third, wide_block(now, 100), now)) == 22);
    CHECK(store.stats().refused_new == 78);
    // Asked again after a minute, not before; ten minutes let one more in.
    now += 10 * 60'000;
    CHECK(append(store, batch("h", third, wide_block(now, 100), now)) == 23);
    CHECK(append(store, batch("h", third, wide_block(now + 1, 100), now + 1)) == 23);
}

TEST_CASE("churn for days stays within the window's series", "[series_store]") {
    SeriesStoreOptions options;
    options.window = std::chrono::hours{1};
    SeriesStore store(options);
    for (std::int64_t minute = 0; minute < 3 * 24 * 60; ++minute) {
        const std::int64_t now = kStart + minute * 60'000;
        CHECK(append(store, batch("h", wide_schema(std::to_string(minute) + "-", 10),
                                  wide_block(now, 10), now)) == 10);
        (void)store.trim(from_unix_ms(now));
        CHECK(store.series_count() <= 61 * 10);
    }
    CHECK(store.stats().series_freed == (3 * 24 * 60 - 61) * 10);
}
