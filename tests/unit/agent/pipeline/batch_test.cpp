#include "agent/pipeline/batch.h"

#include <limits>

#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using test_batches::unpacked;

using namespace std::chrono_literals;

SampleInstant at(std::int64_t ms) {
    return {from_unix_ms(ms), MonoTime{std::chrono::milliseconds{ms}}};
}
const WallTime kWall = from_unix_ms(99'000);
const MonoTime kMono{99s};

SampleBlock decoded(const SealedBatch& sealed) {
    auto block = wire::decode_block(sealed.body.columns, unpacked(sealed.schema), wire::Limits{});
    REQUIRE(block);
    return *block;
}

// One round of one source with values for its series, which are declared if need be.
std::optional<SealedBatch> round(Batcher& batcher, std::string_view source, std::int64_t ms,
                                 const std::vector<std::pair<std::string, double>>& values) {
    batcher.begin_round(source, at(ms));
    for (const auto& [device, value] : values) {
        batcher.record(batcher.declare("system.disk.io_time", {{"device", device}}), value);
    }
    return batcher.end_round(kWall, kMono);
}

TEST_CASE("a batch holds each source's rounds in columns, with what is missing left out",
          "[batch]") {
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}, {"b", 2}});
    batcher.seal(kWall, kMono);
    round(batcher, "disk", 2000, {{"a", 3}, {"b", 4}});
    round(batcher, "disk", 3000, {{"b", 6}});
    const auto sealed = batcher.seal(kWall, kMono);
    REQUIRE(sealed);
    REQUIRE(sealed->body.sample_count == 3);
    REQUIRE(sealed->body.schema_hash == schema_hash(unpacked(sealed->schema)));
    REQUIRE(sealed->body.sealed_wall_ms == 99'000);
    const SampleBlock block = decoded(*sealed);
    REQUIRE(block.groups.size() == 1);
    REQUIRE(block.groups[0].timestamps_ms == std::vector<std::int64_t>{2000, 3000});
    REQUIRE(block.groups[0].column(0)[0] == 3);
    REQUIRE_FALSE(has_value(block.groups[0].column(0)[1]));
    REQUIRE(block.groups[0].column(1)[1] == 6);
    REQUIRE(batcher.empty());
    REQUIRE_FALSE(batcher.seal(kWall, kMono));
}

TEST_CASE("a series declared in mid-batch seals what was collected under the old schema",
          "[batch]") {
    Batcher batcher;
    REQUIRE_FALSE(round(batcher, "disk", 1000, {{"a", 1}}));
    const std::uint64_t old_hash = batcher.schema_hash();
    const auto sealed = round(batcher, "disk", 2000, {{"a", 2}, {"b", 20}});
    REQUIRE(sealed);
    REQUIRE(sealed->body.schema_hash == old_hash);
    REQUIRE(decoded(*sealed).groups[0].timestamps_ms == std::vector<std::int64_t>{1000});
    REQUIRE(batcher.schema_hash() != old_hash);
    const auto rest = batcher.seal(kWall, kMono);
    REQUIRE(decoded(*rest).groups[0].column(0)[0] == 2);
    REQUIRE(decoded(*rest).groups[0].column(1)[0] == 20);
}

TEST_CASE("sources that come one after the other share the first batch", "[batch]") {
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}});
    REQUIRE_FALSE(round(batcher, "other", 1000, {{"z", 26}}));
    const auto sealed = round(batcher, "disk", 2000, {{"a", 2}, {"b", 3}});
    REQUIRE(sealed);
    REQUIRE(unpacked(sealed->schema).groups.size() == 2);
    REQUIRE(decoded(*sealed).groups[1].column(0)[0] == 26);
    REQUIRE_FALSE(round(batcher, "other", 2000, {{"z", 27}, {"y", 25}}));
    const SampleBlock block = decoded(*batcher.seal(kWall, kMono));
    REQUIRE(block.groups[0].column(0)[0] == 2);
    REQUIRE(block.groups[1].column(1)[0] == 25);
}

TEST_CASE("a retired series leaves with the next batch and comes back under the same name",
          "[batch]") {
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}, {"b", 2}, {"c", 3}});
    batcher.begin_round("disk", at(2000));
    const SlotId b = batcher.declare("system.disk.io_time", {{"device", "b"}});
    batcher.retire(b);
    batcher.record(b, 5);
    REQUIRE_FALSE(batcher.end_round(kWall, kMono));  // no seal for that
    const auto with = batcher.seal(kWall, kMono);
    REQUIRE(unpacked(with->schema).series_count() == 3);
    REQUIRE_FALSE(has_value(decoded(*with).groups[0].column(1)[1]));

    batcher.begin_round("disk", at(3000));
    batcher.record(batcher.declare("system.disk.io_time", {{"device", "c"}}), 33);
    batcher.end_round(kWall, kMono);
    const auto without = batcher.seal(kWall, kMono);
    REQUIRE(unpacked(without->schema).series_count() == 2);
    REQUIRE(decoded(*without).groups[0].column(1)[0] == 33);

    round(batcher, "disk", 4000, {{"b", 4}});
    const auto back = batcher.seal(kWall, kMono);
    REQUIRE(unpacked(back->schema).series_count() == 3);
    REQUIRE(unpacked(back->schema).groups[0].series.back().attributes[0].value == "b");
}

TEST_CASE("a series that is declared again before it left stays", "[batch]") {
    Batcher batcher;
    batcher.begin_round("disk", at(1000));
    const SlotId a = batcher.declare("system.disk.io_time", {{"device", "a"}});
    batcher.retire(a);
    REQUIRE(batcher.declare("system.disk.io_time", {{"device", "a"}}) == a);
    batcher.record(a, 7);
    batcher.end_round(kWall, kMono);
    REQUIRE(decoded(*batcher.seal(kWall, kMono)).groups[0].column(0)[0] == 7);
}

TEST_CASE("a stale slot is not mistaken for the series that took its place", "[batch]") {
    Batcher batcher;
    batcher.begin_round("disk", at(1000));
    const SlotId gone = batcher.declare("system.disk.io_time", {{"device", "gone"}});
    batcher.record(gone, 1);
    batcher.retire(gone);
    batcher.end_round(kWall, kMono);
    batcher.begin_round("disk", at(2000));
    batcher.record(gone, 2);  // its slot is free by now
    batcher.end_round(kWall, kMono);
    REQUIRE(batcher.counts().samples == 0);
}

TEST_CASE("stamps that do not advance begin a batch of their own", "[batch]") {
    const std::int64_t next = GENERATE(1000, 400, -5000);
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}});
    REQUIRE(round(batcher, "disk", next, {{"a", 2}}));
    REQUIRE(decoded(*batcher.seal(kWall, kMono)).groups[0].timestamps_ms ==
            std::vector<std::int64_t>{next});
}

TEST_CASE("sources are groups of their own, and a silent one has no instants", "[batch]") {
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}});
    round(batcher, "other", 1000, {{"a", 10}});
    batcher.seal(kWall, kMono);
    round(batcher, "other", 2000, {{"a", 11}});
    const auto sealed = batcher.seal(kWall, kMono);
    REQUIRE(unpacked(sealed->schema).groups.size() == 2);
    REQUIRE(unpacked(sealed->schema).groups[1].source == "other");
    const SampleBlock block = decoded(*sealed);
    REQUIRE(block.groups[0].timestamps_ms.empty());
    REQUIRE(block.groups[1].column(0)[0] == 11);
}

TEST_CASE("NaN and infinities are refused and counted", "[batch]") {
    Batcher batcher;
    constexpr double kInf = std::numeric_limits<double>::infinity();
    round(batcher, "disk", 1000, {{"a", kNoValue}, {"b", kInf}, {"c", -kInf}, {"d", 4}});
    REQUIRE(batcher.counts().values_refused == 3);
    REQUIRE(batcher.counts().samples == 1);
    REQUIRE(batcher.seal(kWall, kMono)->body.sample_count == 1);
}

TEST_CASE("series beyond the wire's limits are refused and counted", "[batch]") {
    Batcher batcher;
    batcher.begin_round("disk", at(1000));
    batcher.record(batcher.declare("system.disk.io_time", {{"device", std::string(1025, 'x')}}), 1);
    for (std::size_t i = 0; i < wire::Limits{}.series_per_schema + 2; ++i) {
        batcher.declare("system.disk.io_time", {{"device", std::to_string(i)}});
    }
    batcher.end_round(kWall, kMono);
    // A group counts as a series.
    REQUIRE(batcher.counts().series_refused == 4);
    REQUIRE(unpacked(batcher.schema()).series_count() == wire::Limits{}.series_per_schema - 1);
}

TEST_CASE("however long its attributes are, a schema fits into a message", "[batch]") {
    Batcher batcher;
    batcher.begin_round("disk", at(1000));
    std::size_t declared = 0;
    while (batcher.counts().series_refused == 0) {
        const std::string name = std::to_string(declared++) + std::string(1000, 'x');
        batcher.declare("system.disk.io_time", {{"device", name}});
    }
    batcher.end_round(kWall, kMono);
    REQUIRE(declared == 3'953);
    REQUIRE(unpacked(batcher.schema()).series_count() == declared - 1);

    // What is retired makes room again.
    REQUIRE(batcher.seal(kWall, kMono));
    batcher.begin_round("disk", at(2000));
    batcher.retire(
        batcher.declare("system.disk.io_time", {{"device", "0" + std::string(1000, 'x')}}));
    batcher.end_round(kWall, kMono);
    batcher.begin_round("disk", at(3000));
    batcher.declare("system.disk.io_time", {{"device", "0" + std::string(999, 'y')}});
    batcher.end_round(kWall, kMono);
    REQUIRE(batcher.counts().series_refused == 1);
}

TEST_CASE("a batch is sealed before it outgrows a message", "[batch]") {
    Batcher batcher;
    batcher.begin_round("disk", at(0));
    std::vector<SlotId> slots;
    for (int i = 0; i < 10'000; ++i) {
        slots.push_back(batcher.declare("system.disk.io_time", {{"device", std::to_string(i)}}));
    }
    batcher.end_round(kWall, kMono);
    std::size_t sealed_after = 0;
    std::uint64_t noise = 88172645463325252ULL;
    for (std::int64_t tick = 1; sealed_after == 0; ++tick) {
        batcher.begin_round("disk", at(tick * 1000));
        for (const SlotId slot : slots) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            batcher.record(slot, static_cast<double>(noise) / 3.0);
        }
        if (const auto sealed = batcher.end_round(kWall, kMono)) {
            sealed_after = static_cast<std::size_t>(tick);
            REQUIRE(wire::encode_body(sealed->body).size() < wire::Limits{}.message_bytes);
        }
    }
    REQUIRE(sealed_after == kBatchSamplesMax / slots.size());
}

TEST_CASE("rounds of a clock that was not set are stamped anew", "[batch][TIM-03]") {
    Batcher batcher;
    REQUIRE_FALSE(round(batcher, "disk", 4'000, {{"sda", 1}}));
    REQUIRE_FALSE(round(batcher, "disk", 5'000, {{"sda", 2}}));
    batcher.shift_stamps(std::chrono::seconds{1'772'445'600});
    REQUIRE_FALSE(round(batcher, "disk", 1'772'445'606'000, {{"sda", 3}}));
    const SampleBlock block = decoded(*batcher.seal(kWall, kMono));
    REQUIRE(block.groups[0].timestamps_ms ==
            std::vector<std::int64_t>{1'772'445'604'000, 1'772'445'605'000, 1'772'445'606'000});
}

TEST_CASE("the last round is shown as it lies in the schema", "[batch]") {
    Batcher batcher;
    round(batcher, "disk", 1000, {{"a", 1}, {"b", 2}});
    round(batcher, "other", 1000, {{"z", 26}});
    const auto view = batcher.last_round();
    REQUIRE(view);
    REQUIRE(view->group == 1);
    REQUIRE(view->stamp_ms == 1000);
    REQUIRE(view->values.size() == 1);
    REQUIRE(view->values[0] == 26);
    batcher.begin_round("nothing", at(1000));
    batcher.end_round(kWall, kMono);
    REQUIRE_FALSE(batcher.last_round());
}

TEST_CASE("a batcher that takes another's place counts on", "[batch]") {
    Batcher before;
    before.begin_round("a", at(1));
    before.record(before.declare("a.b", {}), 1.0);
    before.record(before.declare("a.c", {}), std::numeric_limits<double>::quiet_NaN());
    before.freeze_series(true);
    (void)before.declare("a.d", {});
    (void)before.end_round({}, {});
    const Batcher after(16, before.counts());
    CHECK(after.counts().samples == 1);
    CHECK(after.counts().values_refused == 1);
    CHECK(after.counts().series_refused == 1);
}

}  // namespace
}  // namespace ridgeline::agent
