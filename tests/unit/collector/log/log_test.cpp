#include "collector/log/log.h"

#include <cerrno>
#include <optional>
#include <string>

#include "tests/support/batches.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

class Disk {
  public:
    Disk() { options.segment_bytes = 4096; }

    void open() { log = Log::open(storage, options, clock).value(); }
    Result<LogPosition> append(std::uint64_t sequence, const std::string& host = "a1") {
        const Schema schema = test::small_schema();
        const std::string body = test::body_of(
            test::small_block(to_unix_ms(clock.wall_now()), 3, static_cast<double>(sequence)),
            schema);
        return log->append(
            {host, 1, sequence, false, body, schema_hash(schema), wire::encode_schema(schema)});
    }
    void sync() {
        const auto ticket = log->begin_sync();
        log->finish_sync(ticket, ticket.run());
    }
    // The sequences a reader meets from `from` on.
    std::vector<std::uint64_t> sequences(LogPosition from = 0) {
        std::vector<std::uint64_t> found;
        const auto reader = log->open_reader(from);
        for (auto batch = reader->next().value(); batch; batch = reader->next().value()) {
            found.push_back(batch->sequence);
            CHECK(batch->host->host_id == "a1");
            CHECK(batch->block.groups[0].column(0)[0] == static_cast<double>(batch->sequence));
        }
        CHECK(reader->stats().records_skipped == 0);
        return found;
    }
    static std::vector<std::uint64_t> up_to(std::uint64_t last, std::uint64_t first = 1) {
        std::vector<std::uint64_t> all;
        for (std::uint64_t n = first; n <= last; ++n)
            all.push_back(n);
        return all;
    }

    test::FaultyStorage storage;
    test::ManualClock clock;
    LogOptions options;
    std::unique_ptr<Log> log;
};

}  // namespace

TEST_CASE("readers see what is durable and nothing else", "[log]") {
    Disk disk;
    disk.open();
    REQUIRE(disk.append(1));
    CHECK(disk.sequences().empty());
    disk.sync();
    REQUIRE(disk.append(2));
    CHECK(disk.sequences() == Disk::up_to(1));
    CHECK(disk.log->contains("a1", 1, 2));
    CHECK(disk.log->needs_sync());
    disk.sync();
    CHECK_FALSE(disk.log->needs_sync());
    CHECK(disk.sequences() == Disk::up_to(2));
}

TEST_CASE("a reader goes on across segments and from any position it saved", "[log]") {
    Disk disk;
    disk.open();
    for (std::uint64_t n = 1; n <= 200; ++n)
        REQUIRE(disk.append(n));
    disk.sync();
    REQUIRE(disk.log->segments().size() > 3);
    const auto reader = disk.log->open_reader(0);
    std::uint64_t expected = 1;
    for (auto batch = reader->next().value(); batch; batch = reader->next().value()) {
        CHECK(batch->sequence == expected++);
        CHECK(disk.sequences(batch->next_position) == Disk::up_to(200, expected));
        if (expected % 40 == 0) CHECK(disk.sequences(batch->position).front() == batch->sequence);
    }
    CHECK(expected == 201);
    REQUIRE(disk.append(201));
    disk.sync();
    CHECK(reader->next().value()->sequence == 201);
}

TEST_CASE("a restart knows what the log holds, from the newest segment alone", "[log]") {
    Disk disk;
    disk.open();
    for (std::uint64_t n = 1; n <= 100; ++n)
        REQUIRE(disk.append(n));
    disk.sync();
    const LogPosition end = disk.log->end_position();
    disk.log.reset();
    disk.open();
    CHECK(disk.log->end_position() == end);
    CHECK(disk.log->durable_position() == end);
    for (std::uint64_t n = 1; n <= 100; ++n)
        CHECK(disk.log->contains("a1", 1, n));
    CHECK_FALSE(disk.log->contains("a1", 1, 101));
    REQUIRE(disk.append(101));
    disk.sync();
    CHECK(disk.sequences() == Disk::up_to(101));
}

TEST_CASE("a log cut at any byte keeps exactly its whole batches", "[log]") {
    Disk disk;
    disk.options.segment_bytes = 1 << 20;
    disk.open();
    REQUIRE(disk.append(1));
    REQUIRE(disk.append(2));
    const auto before_third = disk.log->end_position();
    REQUIRE(disk.append(3));
    disk.sync();
    const auto whole = disk.storage.snapshot();
    const std::string name = whole.begin()->first;
    disk.log.reset();
    for (std::size_t cut = before_third; cut <= whole.at(name).size(); ++cut) {
        auto files = whole;
        files[name].resize(cut);
        disk.storage.restore(files);
        disk.open();
        const std::uint64_t kept = cut == whole.at(name).size() ? 3 : 2;
        CHECK(disk.sequences() == Disk::up_to(kept));
        CHECK(disk.log->stats().torn_bytes == (kept == 3 ? 0 : cut - before_third));
        CHECK(disk.log->contains("a1", 1, 3) == (kept == 3));
        disk.log.reset();
    }
}

TEST_CASE("a crash while a segment is begun loses that segment's header and nothing else",
          "[log]") {
    Disk disk;
    disk.open();
    for (std::uint64_t n = 1; n <= 60; ++n)
        REQUIRE(disk.append(n));
    disk.sync();
    const LogPosition end = disk.log->end_position();
    disk.log.reset();
    auto files = disk.storage.snapshot();
    files["99999999999999999999.log"] = {std::byte{1}, std::byte{2}};
    disk.storage.restore(files);
    disk.open();
    CHECK(disk.log->end_position() == end);
    CHECK(disk.sequences() == Disk::up_to(60));
}

TEST_CASE("a full disk refuses the append, and it goes on when there is room", "[log]") {
    Disk disk;
    disk.open();
    REQUIRE(disk.append(1));
    disk.storage.leave_bytes(5);
    CHECK_FALSE(disk.append(2));
    CHECK_FALSE(disk.log->trouble().empty());
    CHECK_FALSE(disk.log->contains("a1", 1, 2));
    disk.storage.make_room();
    REQUIRE(disk.append(2));
    CHECK(disk.log->trouble().empty());
    disk.sync();
    CHECK(disk.sequences() == Disk::up_to(2));
}

TEST_CASE("what a failed fsync left in doubt is cut off and taken again", "[log]") {
    for (const bool across_segments : {false, true}) {
        Disk disk;
        disk.open();
        REQUIRE(disk.append(1));
        disk.sync();
        const std::uint64_t last = across_segments ? 80 : 3;
        for (std::uint64_t n = 2; n <= last; ++n)
            REQUIRE(disk.append(n));
        disk.storage.refuse_syncs(EIO);
        disk.sync();
        CHECK(disk.log->stats().sync_errors == 1);
        CHECK_FALSE(disk.log->contains("a1", 1, 2));
        CHECK(disk.sequences() == Disk::up_to(1));
        disk.storage.refuse_syncs(0);
        for (std::uint64_t n = 2; n <= last; ++n)
            REQUIRE(disk.append(n));
        disk.sync();
        CHECK(disk.sequences() == Disk::up_to(last));
        disk.log.reset();
        disk.open();
        CHECK(disk.sequences() == Disk::up_to(last));
    }
}

TEST_CASE("segments go when they are old and read, or when there is too much", "[log]") {
    Disk disk;
    disk.options.window = 1h;
    disk.open();
    disk.log->hold("slow", 0);
    for (std::uint64_t n = 1; n <= 200; ++n) {
        REQUIRE(disk.append(n));
        disk.clock.advance(1min);
    }
    disk.sync();
    const std::size_t all = disk.log->segments().size();
    disk.log->trim();
    CHECK(disk.log->segments().size() == all);  // old, but not read
    disk.log->hold("slow", disk.log->end_position());
    disk.log->trim();
    const auto kept = disk.sequences();
    CHECK(disk.log->segments().size() < all);
    CHECK(kept.front() <= 140);  // the last hour is there
    CHECK(kept.back() == 200);
    const auto late = disk.log->open_reader(0);
    CHECK(late->next().value()->sequence == kept.front());
    CHECK(late->stats().bytes_fell_off > 0);

    Disk small;
    small.options.max_size_bytes = 10'000;
    small.open();
    small.log->hold("slow", 0);
    for (std::uint64_t n = 1; n <= 300; ++n)
        REQUIRE(small.append(n));
    small.sync();
    small.log->trim();
    CHECK(small.log->size_bytes() <= 10'000 + small.options.segment_bytes);
    CHECK(small.log->stats().segments_dropped_unread > 0);
}

TEST_CASE("the place to read from for a time meets everything received since", "[log]") {
    Disk disk;
    disk.open();
    std::optional<WallTime> at_100;
    for (std::uint64_t n = 1; n <= 200; ++n) {
        if (n == 100) at_100 = disk.clock.wall_now();
        REQUIRE(disk.append(n));
        disk.clock.advance(1s);
    }
    disk.sync();
    const auto found = disk.sequences(disk.log->position_at(*at_100));
    CHECK(found.front() <= 100);
    CHECK(found.front() > 50);
}
