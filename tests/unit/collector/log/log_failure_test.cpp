// The log on a disk that fails: nothing that was acked is lost, nothing that was lost is acked.
#include <cerrno>

#include "collector/log/log.h"
#include "tests/support/catch.h"
#include "tests/unit/collector/log/log_rig.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

// Lists its files, but cannot read them.
class Unreadable final : public Storage {
  public:
    explicit Unreadable(Storage& storage) : storage_(storage) {}
    Result<std::vector<std::string>> list() override { return storage_.list(); }
    Result<std::unique_ptr<AppendFile>> open_append(std::string_view name) override {
        return storage_.open_append(name);
    }
    Result<std::unique_ptr<ReadFile>> open_read(std::string_view name) override {
        return fail(errno_error(name, EIO));
    }
    Result<void> remove(std::string_view name) override { return storage_.remove(name); }
    Result<void> sync_directory() override { return storage_.sync_directory(); }
    Result<void> rename(std::string_view from, std::string_view to) override {
        return storage_.rename(from, to);
    }
    void reserve(std::string_view, std::uint64_t) override {}

  private:
    Storage& storage_;
};

}  // namespace

TEST_CASE("a full disk refuses the batch, and the log goes on when there is room", "[log]") {
    // Wherever the room runs out: in the header, the snapshot, the schema or the batch.
    for (std::uint64_t room = 0; room < 400; room += 7) {
        INFO("room for " << room << " bytes");
        LogRig rig;
        rig.append_durably(1);
        // Full now, so that the next append begins a segment; that one has room for several.
        rig.options.segment_bytes = rig.log->size_bytes();
        rig.open();
        rig.storage.leave_bytes(room);
        const auto refused = rig.append(2);
        if (!refused) {
            CHECK(rig.log->stats().append_errors == 1);
            CHECK_FALSE(rig.log->trouble().empty());
            CHECK_FALSE(rig.holds(2));
            rig.sync();
            CHECK(rig.read_all() == up_to(1));
        }
        rig.storage.make_room();
        if (!refused) REQUIRE(rig.append(2));
        CHECK(rig.log->trouble().empty());
        rig.sync();
        rig.open();
        CHECK(rig.read_all() == up_to(2));
        rig.append_durably(3);
        CHECK(rig.read_all() == up_to(3));
        rig.open();
        CHECK(rig.read_all() == up_to(3));
        for (const std::uint64_t n : up_to(3))
            CHECK(rig.holds(n));
    }
}

TEST_CASE("the log goes on after a disk that could not even cut back", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    rig.storage.refuse_changes(EIO);
    CHECK_FALSE(rig.append(2));
    rig.storage.refuse_changes(0);
    rig.append_durably(2);
    CHECK(rig.read_all() == up_to(2));
}

TEST_CASE("a failed fsync forgets what was not durable, so that it is taken once more", "[log]") {
    for (const LogOptions& options : {LogOptions{}, tiny_segments()}) {
        LogRig rig(options);
        rig.append_durably(1);
        const LogPosition durable = rig.log->durable_position();
        REQUIRE(rig.append(2));
        REQUIRE(rig.append(3));
        rig.storage.refuse_syncs(EIO);
        const auto ticket = rig.log->begin_sync();
        const auto result = ticket.run();
        CHECK_FALSE(result);
        rig.log->finish_sync(ticket, result);
        rig.storage.refuse_syncs(0);
        CHECK(rig.log->stats().sync_errors == 1);
        CHECK(rig.log->durable_position() == durable);
        CHECK(rig.holds(1));
        CHECK_FALSE(rig.holds(2));
        CHECK_FALSE(rig.holds(3));
        rig.append_durably(2);
        rig.append_durably(3);
        CHECK(rig.read_all() == up_to(3));
        rig.open();
        CHECK(rig.read_all() == up_to(3));
    }
}

TEST_CASE("a power cut takes nothing that was durable, at any roll-over", "[log]") {
    LogRig rig(tiny_segments());
    for (const std::uint64_t n : up_to(3))
        rig.append_durably(n);
    // The file of 4 is being synced while it grows no more and 5 is begun, then 6.
    REQUIRE(rig.append(4));
    const auto ticket = rig.log->begin_sync();
    REQUIRE(rig.append(5));
    REQUIRE(rig.append(6));
    rig.log->finish_sync(ticket, ticket.run());
    rig.sync();
    REQUIRE_FALSE(rig.log->needs_sync());
    rig.storage.cut_power();
    rig.open();
    CHECK(rig.read_all() == up_to(6));
}

TEST_CASE("a file that grows during a sync and is closed before its end is synced again", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    rig.options.segment_bytes = rig.log->size_bytes() + 50;
    rig.open();
    REQUIRE(rig.append(2));
    auto ticket = rig.log->begin_sync();
    const auto result = ticket.run();
    // The segment is full now; what is appended from here on is in the next one.
    while (rig.log->segments().size() == 1)
        REQUIRE(rig.append(rig.log->stats().batches_appended + 2));
    const std::uint64_t last = rig.log->stats().batches_appended + 1;
    rig.log->finish_sync(ticket, result);
    rig.sync();
    REQUIRE_FALSE(rig.log->needs_sync());
    rig.storage.cut_power();
    rig.open();
    CHECK(rig.read_all() == up_to(last));
}

TEST_CASE("after a kill at any write, what was durable is there and nothing is there twice",
          "[log]") {
    for (std::uint64_t changes = 0; changes < 60; ++changes) {
        INFO("killed after " << changes << " changes");
        LogRig rig(tiny_segments());
        rig.storage.kill_after(changes);
        std::uint64_t durable = 0;
        for (const std::uint64_t n : up_to(6)) {
            if (!rig.append(n)) break;
            rig.sync();
            if (!rig.storage.killed()) durable = n;
        }
        rig.storage.revive();
        rig.open();
        for (const std::uint64_t n : up_to(durable))
            CHECK(rig.holds(n));
        // The sender sends everything that it has no ack for, and what is there already is not
        // taken again.
        for (const std::uint64_t n : up_to(6)) {
            if (!rig.holds(n)) rig.append_durably(n);
        }
        CHECK(rig.read_all() == up_to(6));
    }
}

TEST_CASE("a segment that lost its tail is not vouched for by the snapshot after it", "[log]") {
    LogRig rig(tiny_segments());
    rig.append_durably(1);
    // Neither was synced; the disk wrote the second file before it wrote the first one's end.
    REQUIRE(rig.append(2));
    REQUIRE(rig.append(3));
    auto files = rig.storage.snapshot();
    REQUIRE(files.size() == 3);
    auto& second = std::next(files.begin())->second;
    second.pop_back();
    rig.storage.restore(files);
    rig.open();
    CHECK(rig.holds(1));
    CHECK_FALSE(rig.holds(2));
    CHECK(rig.holds(3));
    rig.append_durably(2);
    CHECK(rig.read_all() == std::vector<std::uint64_t>{1, 3, 2});
}

TEST_CASE("a disk that refuses, however, costs nothing that was durable, and the log goes on",
          "[log]") {
    const int error = GENERATE(EIO, ENOSPC, EROFS);
    const bool tiny = GENERATE(false, true);
    LogRig rig(tiny ? tiny_segments() : LogOptions{});
    rig.append_durably(1);
    rig.storage.refuse_changes(error);
    for (std::uint64_t sequence = 2; sequence <= 4; ++sequence)
        CHECK_FALSE(rig.append(sequence));
    CHECK_FALSE(rig.log->trouble().empty());
    CHECK_FALSE(rig.holds(2));
    CHECK(rig.read_all() == up_to(1));
    rig.sync();
    rig.log->trim();
    rig.storage.refuse_changes(0);
    for (std::uint64_t sequence = 2; sequence <= 4; ++sequence)
        REQUIRE(rig.append(sequence));
    CHECK(rig.log->trouble().empty());
    rig.sync();
    rig.open();
    CHECK(rig.read_all() == up_to(4));
}

TEST_CASE("while a slow sync runs, the log takes batches, and vouches for none of them", "[log]") {
    LogRig rig;
    REQUIRE(rig.append(1));
    const auto slow = rig.log->begin_sync();
    const auto result = slow.run();
    for (std::uint64_t sequence = 2; sequence <= 20; ++sequence)
        REQUIRE(rig.append(sequence));
    CHECK(rig.read_all().empty());
    rig.log->finish_sync(slow, result);
    CHECK(rig.read_all() == up_to(1));
    CHECK(rig.log->needs_sync());
    rig.sync();
    CHECK(rig.read_all() == up_to(20));
}

TEST_CASE("nothing is synced on the loop; what an earlier run left is, before it is promised",
          "[log]") {
    LogRig rig(tiny_segments());
    rig.append_durably(1);
    const std::uint64_t syncs = rig.storage.syncs();
    for (std::uint64_t sequence = 2; sequence <= 5; ++sequence)
        REQUIRE(rig.append(sequence));
    CHECK(rig.storage.syncs() == syncs);
    rig.storage.cut_power();
    rig.open();
    CHECK(rig.read_all() == up_to(1));
    for (std::uint64_t sequence = 2; sequence <= 5; ++sequence)
        REQUIRE(rig.append(sequence));
    rig.open();  // killed, the power stays on: all of it counts as durable
    CHECK(rig.read_all() == up_to(5));
    rig.storage.cut_power();
    rig.open();
    CHECK(rig.read_all() == up_to(5));
}

TEST_CASE("a disk that cannot be read is an error, not an empty log", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    Unreadable storage(rig.storage);
    CHECK_FALSE(Log::open(storage, {}, rig.clock));
    rig.open();
    CHECK(rig.read_all() == up_to(1));
}

// A sync that failed may have left pages unwritten that a later one takes for written (fsyncgate).
TEST_CASE("at start what the log does not say is durable is written once more, and no more",
          "[log]") {
    LogRig rig;
    for (const std::uint64_t n : up_to(20))
        rig.append_durably(n);
    const LogPosition noted = rig.log->durable_position();
    (void)rig.append(21).value();  // notes it
    (void)rig.append(22).value();
    const LogPosition end = rig.log->end_position();
    rig.open();
    CHECK(rig.storage.bytes_written_again() == end - noted);
    CHECK(rig.read_all() == up_to(22));
    rig.storage.cut_power();
    rig.open();
    CHECK(rig.read_all() == up_to(22));
}

TEST_CASE("a log that was cut short by a disk error is not begun while that cannot be mended",
          "[log]") {
    LogRig rig;
    rig.append_durably(1);
    (void)rig.append(2).value();
    rig.storage.refuse_changes(EIO);
    CHECK_FALSE(Log::open(rig.storage, {}, rig.clock));
    rig.storage.refuse_changes(0);
    rig.open();
    CHECK(rig.read_all() == up_to(2));
}

TEST_CASE("a log that a newer version wrote is refused by name and left as it is", "[log]") {
    LogRig rig;
    rig.append_durably(1);
    constexpr SegmentFormat kNewer = {kLogFormat.magic, kLogFormat.version + 1};
    const std::string name = "00000000000000099999.log";
    REQUIRE(SegmentWriter::create(rig.storage, name, kNewer, 99'999, 0));
    const auto before = rig.storage.snapshot();
    const auto log = Log::open(rig.storage, {}, rig.clock);
    REQUIRE_FALSE(log);
    CHECK(log.error().code == Errc::unsupported);
    CHECK(log.error().context.starts_with(name + ": written by a newer version"));
    CHECK(rig.storage.snapshot() == before);
}
