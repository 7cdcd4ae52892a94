#include "agent/pipeline/head_journal.h"

#include <array>
#include <map>

#include "agent/pipeline/spool_format.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;
using test::FaultyStorage;

// An agent without its loop: two sources, a batch every four ticks, a new series at tick 10.
// Returns the stamps whose journal write returned before the storage was dead: those that must not
// be lost.
struct Run {
    FaultyStorage& storage;
    std::vector<std::int64_t> promised;

    void go(int ticks) {
        auto opened = Spool::open(storage, {});
        REQUIRE(opened);
        Spool spool = std::move(*opened);
        REQUIRE(recover_head(storage, spool));
        HeadJournal head(storage);
        Batcher batcher;
        for (int tick = 1; tick <= ticks && !storage.killed(); ++tick) {
            const SampleInstant at{from_unix_ms(tick * 1000), MonoTime{tick * 1s}};
            for (const char* source : {"cpu", "disk"}) {
                batcher.begin_round(source, at);
                batcher.record(batcher.declare("system.uptime", {{"source", source}}), tick);
                if (tick >= 10) batcher.record(batcher.declare("system.boot_time", {}), tick * 0.5);
                if (const auto sealed = batcher.end_round(at.wall, at.mono)) {
                    spool.append(*sealed);
                    head.discard();
                }
                head.add(*batcher.last_round(), batcher.schema(), spool.next_number());
            }
            const auto written = head.write();
            if (storage.killed()) return;
            REQUIRE(written);
            promised.push_back(tick * 1000);
            if (tick % 4 != 0) continue;
            spool.append(*batcher.seal(at.wall, at.mono));
            head.discard();
        }
    }
};

// How often each stamp is in the spool, by source.
std::map<std::int64_t, std::array<int, 2>> stamps_held(FaultyStorage& storage) {
    std::map<std::int64_t, std::array<int, 2>> counts;
    auto spool = Spool::open(storage, {});
    REQUIRE(spool);
    REQUIRE(recover_head(storage, *spool));
    for (auto next = spool->oldest(); next; next = spool->next_held(*next + 1)) {
        const auto body = wire::decode_body(*spool->read(*next), wire::Limits{});
        const auto schema = wire::decode_schema(*spool->schema(body->schema_hash), wire::Limits{});
        const auto block = wire::decode_block(body->columns, *schema, wire::Limits{});
        REQUIRE(block);
        for (std::size_t group = 0; group < block->groups.size(); ++group) {
            const auto& stamps = block->groups[group].timestamps_ms;
            for (std::size_t i = 0; i < stamps.size(); ++i) {
                ++counts[stamps[i]][group];
                REQUIRE(block->groups[group].column(0)[i] == static_cast<double>(stamps[i]) / 1000);
            }
        }
    }
    return counts;
}

TEST_CASE("an agent killed before any write loses no sample and doubles none", "[head]") {
    std::uint64_t changes = 0;
    for (bool finished = false; !finished; ++changes) {
        INFO("killed after " << changes << " changes of the disk");
        FaultyStorage storage;
        storage.kill_after(changes);
        Run run{storage, {}};
        run.go(15);
        finished = !storage.killed();
        storage.revive();
        for (int restart = 0; restart < 2; ++restart) {  // a second restart finds the same
            const auto held = stamps_held(storage);
            for (const std::int64_t stamp : run.promised) {
                INFO("stamp " << stamp);
                REQUIRE(held.contains(stamp));
            }
            for (const auto& [stamp, count] : held)
                REQUIRE(count == std::array{1, 1});
        }
    }
    REQUIRE(changes > 30);
}

TEST_CASE("an agent killed again while it recovers still loses nothing", "[head]") {
    FaultyStorage storage;
    Run first{storage, {}};
    first.go(7);  // one batch in the spool, three ticks in the head
    const auto files = storage.snapshot();
    for (std::uint64_t changes = 0; changes < 40; ++changes) {
        storage.revive();
        storage.restore(files);
        storage.kill_after(changes);
        auto spool = Spool::open(storage, {});
        if (spool) (void)recover_head(storage, *spool);
        storage.revive();
        const auto held = stamps_held(storage);
        REQUIRE(held.size() == 7);
        for (const auto& [stamp, count] : held)
            REQUIRE(count == std::array{1, 1});
    }
}

// The disk may keep an old state of the head, and lose what the spool had sealed and sent since:
// the collector knows it by its number.
TEST_CASE("a head is recovered under the number its batch has, after a power cut as well",
          "[head]") {
    FaultyStorage storage;
    HeadJournal head(storage, "before");
    Batcher batcher;
    batcher.begin_round("cpu", {from_unix_ms(1000), MonoTime{}});
    batcher.record(batcher.declare("system.uptime", {}), 1);
    batcher.end_round(WallTime{}, MonoTime{});
    head.add(*batcher.last_round(), batcher.schema(), {77, 7});
    REQUIRE(head.write());

    auto spool = Spool::open(storage, {});
    REQUIRE(spool);
    REQUIRE(recover_head(storage, *spool, "after").value() == 1);
    REQUIRE(spool->number_of(spool->oldest().value()) == BatchNumber{77, 7});
    REQUIRE(recover_head(storage, *spool, "after").value() == 0);  // it is there
    auto again = Spool::open(storage, {});
    REQUIRE(recover_head(storage, *again, "after").value() == 0);
    REQUIRE(again->stats().batches == 1);
}

// After a power cut the collector may have it already: it must not be merged with others.
TEST_CASE("a head of another boot counts as sent", "[head]") {
    FaultyStorage storage;
    HeadJournal head(storage, "before");
    Batcher batcher;
    batcher.begin_round("cpu", {from_unix_ms(1000), MonoTime{}});
    batcher.record(batcher.declare("system.uptime", {}), 1);
    batcher.end_round(WallTime{}, MonoTime{});
    head.add(*batcher.last_round(), batcher.schema(), {0xAB, 7});
    REQUIRE(head.write());
    const bool same_boot = GENERATE(true, false);
    auto spool = Spool::open(storage, {});
    REQUIRE(recover_head(storage, *spool, same_boot ? "before" : "after").value() == 1);
    std::vector<std::uint64_t> marked;
    REQUIRE(scan_segment(storage, spool_format::segment_name(1), spool_format::kFormat,
                         [&](const Record& record) {
                             if (record.type == spool_format::kSentRecord)
                                 marked = spool_format::read_sequences(record);
                         }));
    REQUIRE(marked == (same_boot ? std::vector<std::uint64_t>{} : std::vector<std::uint64_t>{1}));
}

// It does not say which run's batch it is.
TEST_CASE("a head of version 1 is recovered within its boot alone", "[head]") {
    FaultyStorage storage;
    {
        Batcher batcher;
        batcher.begin_round("cpu", {from_unix_ms(1000), MonoTime{}});
        batcher.record(batcher.declare("system.uptime", {}), 1);
        batcher.end_round(WallTime{}, MonoTime{});
        constexpr SegmentFormat kFirst = {{'R', 'L', 'H', 'E', 'A', 'D', '1', '\n'}, 1};
        auto writer = SegmentWriter::create(storage, "head", kFirst, 0, 0).value();
        REQUIRE(writer.append(3, as_bytes("before")));
        ByteWriter out;
        out.u64(7);
        out.text(*batcher.schema());
        REQUIRE(writer.append(1, out.bytes()));
        out.clear();
        out.u32(0);
        out.u32(1);
        out.u64(1000);
        out.f64(1);
        REQUIRE(writer.append(2, out.bytes()));
        REQUIRE(storage.open_append("epoch").value()->append(as_bytes("00000000000000ab\n")));
    }
    auto spool = Spool::open(storage, {});
    REQUIRE(recover_head(storage, *spool, "after").value() == 0);
    REQUIRE(recover_head(storage, *spool, "before").value() == 1);
    REQUIRE(spool->number_of(spool->oldest().value()) == BatchNumber{0xAB, 7});
}

TEST_CASE("a tick costs one write", "[head]") {
    FaultyStorage storage;
    Run run{storage, {}};
    run.go(3);
    const std::uint64_t before = storage.appends();
    HeadJournal head(storage);
    Batcher batcher;
    for (int tick = 1; tick <= 10; ++tick) {
        batcher.begin_round("cpu", {from_unix_ms(tick * 1000), MonoTime{}});
        batcher.record(batcher.declare("system.uptime", {}), tick);
        batcher.end_round(WallTime{}, MonoTime{});
        head.add(*batcher.last_round(), batcher.schema(), {1, 9});
        head.add(*batcher.last_round(), batcher.schema(), {1, 9});
        REQUIRE(head.write());
    }
    REQUIRE(storage.appends() - before == 10 + 3);  // header, boot and schema come once
}

TEST_CASE("a head that a newer version wrote is left as it is", "[head]") {
    FaultyStorage storage;
    constexpr SegmentFormat kNewer = {{'R', 'L', 'H', 'E', 'A', 'D', '1', '\n'}, 1000};
    REQUIRE(SegmentWriter::create(storage, "head", kNewer, 0, 0)->append(1, as_bytes("later")));
    const auto before = storage.snapshot();
    REQUIRE(HeadJournal::recover(storage).error().code == Errc::unsupported);
    Batcher batcher;
    batcher.begin_round("cpu", {from_unix_ms(1000), {}});
    batcher.record(batcher.declare("system.uptime", {}), 1);
    REQUIRE_FALSE(batcher.end_round(from_unix_ms(1000), {}));
    HeadJournal head(storage);
    head.add(*batcher.last_round(), batcher.schema(), {1, 1});
    REQUIRE(head.write().error().code == Errc::unsupported);
    head.discard();
    REQUIRE(storage.snapshot() == before);
}

TEST_CASE("a disk that refuses pauses the journal until the next batch", "[head]") {
    FaultyStorage storage;
    HeadJournal head(storage);
    Batcher batcher;
    const auto tick = [&](int n, std::uint64_t sequence) {
        batcher.begin_round("cpu", {from_unix_ms(n * 1000), MonoTime{}});
        batcher.record(batcher.declare("system.uptime", {}), n);
        batcher.end_round(WallTime{}, MonoTime{});
        head.add(*batcher.last_round(), batcher.schema(), {5, sequence});
        return head.write().has_value();
    };
    REQUIRE(tick(1, 1));
    storage.refuse_changes(EIO);
    REQUIRE_FALSE(tick(2, 1));
    storage.refuse_changes(0);
    REQUIRE(tick(3, 1));
    auto recovered = HeadJournal::recover(storage);
    REQUIRE((*recovered)->batch->body.sample_count == 1);
    head.discard();
    REQUIRE(tick(4, 2));
    recovered = HeadJournal::recover(storage);
    REQUIRE((*recovered)->number == BatchNumber{5, 2});
    REQUIRE((*recovered)->batch->body.sample_count == 1);
}

TEST_CASE("no head, an empty one and a foreign file are nothing to recover", "[head]") {
    FaultyStorage storage;
    REQUIRE_FALSE(*HeadJournal::recover(storage));
    storage.restore({{"head", FaultyStorage::Bytes(0)}});
    REQUIRE_FALSE(*HeadJournal::recover(storage));
    storage.restore({{"head", FaultyStorage::Bytes(200, std::byte{7})}});
    REQUIRE_FALSE(*HeadJournal::recover(storage));
}

TEST_CASE("a head with any byte flipped is recovered up to there or not at all", "[head]") {
    FaultyStorage storage;
    Run run{storage, {}};
    run.go(3);
    const auto files = storage.snapshot();
    for (std::size_t i = 0; i < files.at("head").size(); ++i) {
        auto damaged = files;
        damaged["head"][i] ^= std::byte{0x40};
        storage.restore(damaged);
        for (const auto& [stamp, count] : stamps_held(storage))
            REQUIRE(count == std::array{1, 1});
    }
}

}  // namespace
}  // namespace ridgeline::agent
