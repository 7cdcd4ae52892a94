// Readers of the log: where they begin, how they cross segments, what they skip and count.
#include "collector/log/log_reader.h"

#include "tests/support/catch.h"
#include "tests/unit/collector/log/log_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

TEST_CASE("a reader goes on from any position it saved", "[log]") {
    for (const LogOptions& options : {LogOptions{}, tiny_segments()}) {
        LogRig rig(options);
        for (const std::uint64_t n : up_to(6))
            rig.append_durably(n, n % 2 == 0 ? "a1" : "b2");
        const auto reader = rig.log->open_reader(0);
        while (const auto batch = reader->next().value()) {
            CHECK(reader->position() == batch->next_position);
            std::vector<std::uint64_t> rest;
            for (std::uint64_t n = batch->sequence + 1; n <= 6; ++n)
                rest.push_back(n);
            CHECK(rig.read(*rig.log->open_reader(batch->next_position)) == rest);
            const auto again = rig.log->open_reader(batch->position)->next().value();
            REQUIRE(again);
            CHECK(again->sequence == batch->sequence);
            CHECK(again->host->host_id == batch->host->host_id);
        }
        CHECK(reader->stats().batches == 6);
        CHECK(reader->stats().samples == 120);
    }
}

TEST_CASE("a schema is the same object through all segments", "[log]") {
    LogRig rig(tiny_segments());
    for (const std::uint64_t n : up_to(4))
        rig.append_durably(n);
    const auto reader = rig.log->open_reader(0);
    const auto first = reader->next().value()->schema;
    for (int i = 0; i < 3; ++i)
        CHECK(reader->next().value()->schema == first);
}

TEST_CASE("a position inside a record goes on with the record after it", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    const LogPosition second = rig.append(2).value();
    rig.append_durably(3);
    CHECK(rig.read(*rig.log->open_reader(second)) == std::vector<std::uint64_t>{2, 3});
    CHECK(rig.read(*rig.log->open_reader(second + 1)) == std::vector<std::uint64_t>{3});
}

TEST_CASE("damage in a segment costs the rest of it and is counted", "[log]") {
    LogRig rig(tiny_segments());
    for (const std::uint64_t n : up_to(4))
        rig.append_durably(n);
    auto files = rig.storage.snapshot();
    auto& second = std::next(files.begin())->second;
    second.back() ^= std::byte{1};
    rig.storage.restore(files);
    rig.open();
    const auto reader = rig.log->open_reader(0);
    CHECK(rig.read(*reader) == std::vector<std::uint64_t>{1, 3, 4});
    CHECK(reader->stats().records_skipped == 1);
    CHECK(reader->position() == rig.log->end_position());
}

TEST_CASE("a batch that does not decode is skipped and counted", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    const Schema schema = test::small_schema();
    REQUIRE(rig.log->append(
        {"a1", 1, 2, false, "no body", schema_hash(schema), wire::encode_schema(schema)}));
    rig.append_durably(3);
    const auto reader = rig.log->open_reader(0);
    CHECK(rig.read(*reader) == std::vector<std::uint64_t>{1, 3});
    CHECK(reader->stats().records_skipped == 1);
}

TEST_CASE("what is trimmed under a reader is counted in bytes, and it goes on after it", "[log]") {
    LogOptions options = tiny_segments();
    options.window = 1h;
    LogRig rig(options);
    rig.append_durably(1);
    const auto reader = rig.log->open_reader(0);
    REQUIRE(reader->next().value()->sequence == 1);
    const LogPosition read_to = reader->position();
    for (const std::uint64_t n : {2, 3})
        rig.append_durably(n);
    rig.clock.advance(2h);
    rig.append_durably(4);
    rig.log->trim();
    CHECK(rig.read(*reader) == std::vector<std::uint64_t>{3, 4});
    CHECK(reader->stats().bytes_fell_off == rig.log->oldest_position() - read_to);
}

TEST_CASE("a reader from a time meets every batch received since", "[log]") {
    LogRig rig(tiny_segments());
    for (const std::uint64_t n : up_to(5)) {
        rig.append_durably(n);
        rig.clock.advance(1min);
    }
    const WallTime start = rig.clock.wall_now() - 5min;
    CHECK(rig.read(*rig.log->open_reader(rig.log->position_at(start + 2min + 30s))) ==
          std::vector<std::uint64_t>{3, 4, 5});
    CHECK(rig.log->position_at(start - 1h) == rig.log->oldest_position());
    CHECK(rig.read(*rig.log->open_reader(rig.log->position_at(start + 1h))) ==
          std::vector<std::uint64_t>{5});
}
