#include "agent/pipeline/spool.h"

#include <algorithm>
#include <array>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool_format.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using test::FaultyStorage;
using test_batches::make_batch;
using test_batches::unpacked;

Spool reopened(Storage& storage, const SpoolOptions& options = {}) {
    auto spool = Spool::open(storage, options);
    REQUIRE(spool);
    return std::move(*spool);
}

void ack(Spool& spool, std::uint64_t sequence) {
    spool.ack(std::array{sequence});
}

std::vector<std::uint64_t> held(const Spool& spool) {
    std::vector<std::uint64_t> all;
    for (auto next = spool.oldest(); next; next = spool.next_held(*next + 1))
        all.push_back(*next);
    return all;
}
using Held = std::vector<std::uint64_t>;

std::uint32_t samples_of(Spool& spool, std::uint64_t sequence) {
    const auto body = spool.read(sequence);
    REQUIRE(body);
    return wire::decode_body(*body, wire::Limits{})->sample_count;
}

std::uint64_t dropped(const Spool& spool, DropReason reason) {
    return spool.stats().dropped_samples[static_cast<std::size_t>(reason)];
}

TEST_CASE("batches get numbers without gaps and are read back unchanged, also by the next run",
          "[spool]") {
    test::TempDir directory;
    auto storage = open_directory_storage(directory.path());
    std::uint64_t epoch = 0;
    {
        Spool spool = reopened(**storage);
        epoch = spool.epoch();
        for (std::uint32_t i = 1; i <= 5; ++i)
            REQUIRE(spool.append(make_batch(i)) == i);
        REQUIRE(held(spool) == Held{1, 2, 3, 4, 5});
    }
    Spool spool = reopened(**storage);
    REQUIRE(spool.epoch() != epoch);
    REQUIRE(spool.next_sequence() == 6);
    REQUIRE(spool.next_number() == BatchNumber{spool.epoch(), 1});
    REQUIRE(spool.number_of(3) == BatchNumber{epoch, 3});
    REQUIRE(spool.sequence_of({epoch, 3}) == 3);
    REQUIRE(held(spool) == Held{1, 2, 3, 4, 5});
    REQUIRE(*spool.read(3) == wire::encode_body(make_batch(3).body));
    const auto hash = make_batch(1).body.schema_hash;
    REQUIRE(wire::decode_schema(*spool.schema(hash), wire::Limits{}) ==
            unpacked(make_batch(1).schema));
    REQUIRE(spool.append(make_batch(6)) == 6);
    REQUIRE(spool.number_of(6) == BatchNumber{spool.epoch(), 1});
    REQUIRE(spool.stats().batches == 6);
}

TEST_CASE("every run draws an epoch", "[spool]") {
    FaultyStorage one;
    FaultyStorage other;
    REQUIRE(reopened(one).epoch() != reopened(other).epoch());
}

TEST_CASE("acknowledgements in any order free whole segments and survive a restart", "[spool]") {
    FaultyStorage storage;
    const SpoolOptions options{1U << 20, 1U << 20, 2000};
    Spool spool = reopened(storage, options);
    for (std::uint32_t i = 1; i <= 60; ++i)
        spool.append(make_batch(i));
    const std::uint64_t full = storage.bytes_stored();
    for (std::uint64_t i = 50; i > 1; i -= 2)
        ack(spool, i);
    REQUIRE(spool.stats().batches == 35);
    REQUIRE(storage.bytes_stored() >=
            full);  // every segment still holds something, and acks were noted
    for (std::uint64_t i = 1; i < 50; i += 2)
        ack(spool, i);
    ack(spool, 7);    // again
    ack(spool, 999);  // unknown
    REQUIRE(spool.stats().batches == 10);
    REQUIRE(storage.bytes_stored() < full / 2);
    REQUIRE(spool.stats().bytes == storage.bytes_stored());

    Spool next = reopened(storage, options);
    REQUIRE(held(next) == Held{51, 52, 53, 54, 55, 56, 57, 58, 59, 60});
    next.ack_range(spool.epoch(), 0, 55);
    next.ack_range(next.epoch(), 0, 99);
    REQUIRE(held(next) == Held{56, 57, 58, 59, 60});
    next.ack_range(spool.epoch(), 56, 60);
    REQUIRE(held(reopened(storage, options)).empty());
}

TEST_CASE("what a segment says of older ones outlives it", "[spool]") {
    FaultyStorage storage;
    const SpoolOptions options{1U << 20, 1U << 20, 2000};
    {
        Spool spool = reopened(storage, options);
        spool.append(make_batch(1));
        const auto next_segment = [&] {
            const std::size_t files = storage.snapshot().size();
            std::uint64_t first = 0;
            while (storage.snapshot().size() == files)
                first = spool.append(make_batch(1));
            return first;
        };
        const std::uint64_t live = next_segment();
        ack(spool, 1);  // of the backlog, noted where live data is being written
        spool.note_sent(2);
        const std::uint64_t newest = next_segment();
        for (std::uint64_t i = live; i < newest; ++i)
            ack(spool, i);
        REQUIRE(storage.snapshot().size() == 2);  // the backlog and the newest
        REQUIRE(spool.holds(2));
    }
    REQUIRE(reopened(storage, options).oldest() == 2);
    bool told_of_sending = false;
    for (const auto& [name, bytes] : storage.snapshot()) {
        if (!name.ends_with(".seg")) continue;
        REQUIRE(scan_segment(storage, name, spool_format::kFormat, [&](const Record& record) {
            told_of_sending = told_of_sending || (record.type == spool_format::kSentRecord &&
                                                  spool_format::read_sequences(record) == Held{2});
        }));
    }
    REQUIRE(told_of_sending);
}

TEST_CASE("what a damaged record says of numbers to come is not believed", "[spool]") {
    FaultyStorage storage;
    {
        auto writer = SegmentWriter::create(storage, spool_format::segment_name(1),
                                            spool_format::kFormat, 1, 0);
        ByteWriter note;
        for (const std::uint64_t sequence : {1U, 2U, 3U})
            note.u64(sequence);
        REQUIRE(writer->append(spool_format::kAckedRecord, note.bytes()));
        ByteWriter batch;
        batch.u64(std::uint64_t{1} << 63U);  // the number after it would be among the first again
        batch.text(wire::encode_body(make_batch(1).body));
        REQUIRE(writer->append(spool_format::kBatchRecord, batch.bytes()));
    }
    {
        Spool spool = reopened(storage);
        REQUIRE(spool.append(make_batch(1)) == 1);
        REQUIRE(spool.append(make_batch(2)) == 2);
    }
    REQUIRE(held(reopened(storage)) == Held{1, 2});
}

TEST_CASE("a tail torn at any byte costs the last batch and nothing else", "[spool]") {
    FaultyStorage storage;
    reopened(storage).append(make_batch(1));
    const auto with_one = storage.snapshot();
    reopened(storage).append(make_batch(2));
    const auto with_two = storage.snapshot();
    const std::string segment = "00000000000000000001.seg";
    const std::size_t whole = with_one.at(segment).size();
    for (std::size_t size = whole; size < with_two.at(segment).size(); ++size) {
        auto torn = with_two;
        torn[segment].resize(size);
        storage.restore(torn);
        Spool spool = reopened(storage);
        REQUIRE(held(spool) == Held{1});
        REQUIRE(samples_of(spool, 1) == 1);
        REQUIRE(spool.stats().torn_bytes == size - whole);
        REQUIRE(spool.append(make_batch(3)) == 2);
        Spool next = reopened(storage);
        REQUIRE(held(next) == Held{1, 2});
        REQUIRE(samples_of(next, 2) == 3);
        REQUIRE(next.stats().torn_bytes == 0);
    }
}

TEST_CASE("a file that is no segment is removed and counted", "[spool]") {
    FaultyStorage storage;
    reopened(storage).append(make_batch(1));
    auto files = storage.snapshot();
    files["00000000000000000009.seg"] = FaultyStorage::Bytes(100);
    files["stranger"] = FaultyStorage::Bytes(3);
    storage.restore(files);
    Spool spool = reopened(storage);
    REQUIRE(held(spool) == Held{1});
    REQUIRE(spool.stats().torn_bytes == 100);
    REQUIRE(spool.next_sequence() == 9);  // the numbers before it may have been used
    REQUIRE(storage.snapshot().contains("stranger"));
}

TEST_CASE("a spool that a newer version wrote is refused and left as it is", "[spool]") {
    FaultyStorage storage;
    reopened(storage).append(make_batch(1));
    constexpr SegmentFormat kNewer = {spool_format::kFormat.magic,
                                      spool_format::kFormat.version + 1};
    REQUIRE(SegmentWriter::create(storage, spool_format::segment_name(2), kNewer, 2, 0));
    const auto before = storage.snapshot();
    const auto spool = Spool::open(storage, {});
    REQUIRE(spool.error().code == Errc::unsupported);
    REQUIRE(storage.snapshot() == before);
}

TEST_CASE("a full spool drops its oldest batches and counts their samples", "[spool]") {
    FaultyStorage storage;
    const SpoolOptions options{64 * 1024, 1U << 20, 1U << 20};
    Spool spool = reopened(storage, options);
    std::uint64_t appended = 0;
    for (std::uint32_t i = 1; i <= 500; ++i) {
        spool.append(make_batch(i, 500));
        appended += i;
        REQUIRE(spool.stats().bytes <= options.bytes_max + 1000);
    }
    std::uint64_t kept = 0;
    for (const std::uint64_t sequence : held(spool))
        kept += samples_of(spool, sequence);
    REQUIRE(held(spool).back() == 500);
    REQUIRE(held(spool).size() > 80);
    REQUIRE(kept + dropped(spool, DropReason::spool_full) == appended);
    REQUIRE(spool.stats().batches == held(spool).size());
}

TEST_CASE("what was acknowledged is not counted as dropped when its segment goes", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {64 * 1024, 1U << 20, 1U << 20});
    for (std::uint32_t i = 1; i <= 5; ++i)
        spool.append(make_batch(1000, 500));
    for (std::uint64_t i = 1; i <= 4; ++i)
        ack(spool, i);
    for (int i = 0; i < 200; ++i)
        spool.append(make_batch(0, 500));
    REQUIRE(dropped(spool, DropReason::spool_full) == 1000);
}

TEST_CASE("while the disk refuses, batches wait in memory, and are written once it works",
          "[spool]") {
    const int error = GENERATE(ENOSPC, EIO, EROFS);
    FaultyStorage storage;
    {
        Spool spool = reopened(storage);
        spool.append(make_batch(1));
        storage.refuse_changes(error);
        for (std::uint32_t i = 2; i <= 4; ++i)
            REQUIRE(spool.append(make_batch(i)) == i);
        REQUIRE(held(spool) == Held{1, 2, 3, 4});
        for (std::uint32_t i = 1; i <= 4; ++i)
            REQUIRE(samples_of(spool, i) == i);
        REQUIRE(spool.stats().memory_batches == 3);
        REQUIRE_FALSE(spool.stats().disk_error.empty());
        REQUIRE(spool.stats().disk_errors >= 3);
        ack(spool, 3);
        storage.refuse_changes(0);
        spool.retry();
        REQUIRE(spool.stats().memory_batches == 0);
        REQUIRE(spool.stats().memory_bytes == 0);
        REQUIRE(spool.stats().disk_error.empty());
        REQUIRE(spool.append(make_batch(5)) == 5);
    }
    Spool spool = reopened(storage);
    REQUIRE(held(spool) == Held{1, 2, 4, 5});
    for (const std::uint64_t sequence : held(spool))
        REQUIRE(samples_of(spool, sequence) == sequence);
}

TEST_CASE("a disk that is full in the middle of a record loses nothing", "[spool]") {
    for (std::uint64_t room = 0; room < 700; ++room) {
        FaultyStorage storage;
        Spool spool = reopened(storage);
        storage.leave_bytes(room);
        for (std::uint32_t i = 1; i <= 3; ++i)
            spool.append(make_batch(i));
        REQUIRE(held(spool) == Held{1, 2, 3});
        storage.make_room();
        spool.retry();
        REQUIRE(spool.stats().memory_batches == 0);
        Spool next = reopened(storage);
        REQUIRE(held(next) == Held{1, 2, 3});
        for (std::uint32_t i = 1; i <= 3; ++i)
            REQUIRE(samples_of(next, i) == i);
    }
}

TEST_CASE("memory for what the disk refuses is bounded; the oldest goes and is counted",
          "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 1000, 1U << 20});
    storage.refuse_changes(EIO);
    for (std::uint32_t i = 1; i <= 20; ++i)
        spool.append(make_batch(i));
    REQUIRE(spool.stats().memory_bytes <= 1000);
    std::uint64_t kept = 0;
    for (const std::uint64_t sequence : held(spool))
        kept += samples_of(spool, sequence);
    REQUIRE(kept + dropped(spool, DropReason::memory_full) == 210);
    REQUIRE(held(spool).back() == 20);
}

TEST_CASE("what waits in memory counts with its schema, which may be larger than the batch",
          "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 10'000, 1U << 20});
    storage.refuse_changes(EIO);
    for (std::uint32_t i = 1; i <= 20; ++i)  // mounts that come and go
        spool.append(make_batch(i, 10, std::string(990, 'd') + std::to_string(i)));
    REQUIRE(spool.stats().memory_bytes <= 10'000);
    REQUIRE(held(spool).size() < 10);
    REQUIRE(held(spool).size() == spool.stats().memory_batches);
    std::uint64_t kept = 0;
    for (const std::uint64_t sequence : held(spool))
        kept += samples_of(spool, sequence);
    REQUIRE(kept + dropped(spool, DropReason::memory_full) == 210);
    ack(spool, held(spool).front());
    storage.refuse_changes(0);
    spool.append(make_batch(1));
    REQUIRE(spool.stats().memory_bytes == 0);
}

TEST_CASE("batches that share a schema count it once", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 10'000, 1U << 20});
    storage.refuse_changes(EIO);
    const SealedBatch batch = make_batch(1, 10, std::string(990, 'd'));
    for (int i = 0; i < 20; ++i)
        spool.append(batch);
    REQUIRE(held(spool).size() == 20);
    REQUIRE(spool.stats().memory_bytes > 1000);
    REQUIRE(spool.stats().memory_bytes < 3000);
}

TEST_CASE("a spool on a read-only disk still offers what it holds", "[spool]") {
    FaultyStorage storage;
    reopened(storage).append(make_batch(1));
    storage.refuse_changes(EROFS);
    Spool spool = reopened(storage);
    REQUIRE(samples_of(spool, 1) == 1);
    REQUIRE(spool.append(make_batch(2)) == 2);
    REQUIRE(held(spool) == Held{1, 2});
}

TEST_CASE("a damaged batch is dropped and counted when it is read", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    for (std::uint32_t i = 1; i <= 3; ++i)
        spool.append(make_batch(i));
    auto files = storage.snapshot();
    auto& segment = files["00000000000000000001.seg"];
    const std::string body = wire::encode_body(make_batch(2).body);
    const auto at =
        std::search(segment.begin(), segment.end(), as_bytes(body).begin(), as_bytes(body).end());
    REQUIRE(at != segment.end());
    *at ^= std::byte{1};
    storage.restore(files);
    REQUIRE(spool.read(2).error().code == Errc::corrupt);
    REQUIRE(held(spool) == Held{1, 3});
    REQUIRE(dropped(spool, DropReason::corrupt) == 2);
}

TEST_CASE("the schema of a batch outlives the segment it was first written to", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 1U << 20, 2000});
    const auto hash = make_batch(1).body.schema_hash;
    for (std::uint32_t i = 1; i <= 60; ++i)
        spool.append(make_batch(i));
    spool.append(make_batch(61, 100, "sdb"));
    spool.ack_range(spool.epoch(), 1, 59);
    REQUIRE(spool.schema(hash));
    REQUIRE(spool.schema(make_batch(1, 1, "sdb").body.schema_hash));
    REQUIRE(spool.schema(12345).error().code == Errc::not_found);
}

TEST_CASE("sync work covers what was appended, and a failed sync moves on to a fresh file",
          "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    spool.append(make_batch(1));
    SyncWork work = spool.take_unsynced();
    REQUIRE_FALSE(work.empty());
    REQUIRE(spool.take_unsynced().empty());
    spool.on_synced(work.run());
    storage.cut_power();
    REQUIRE(held(reopened(storage)) == Held{1});

    spool.append(make_batch(2));
    storage.refuse_syncs(EIO);
    spool.on_synced(spool.take_unsynced().run());
    REQUIRE_FALSE(spool.stats().disk_error.empty());
    storage.refuse_syncs(0);
    spool.append(make_batch(3));
    REQUIRE(storage.snapshot().contains("00000000000000000003.seg"));
    REQUIRE(held(spool) == Held{1, 2, 3});
}

TEST_CASE("a file that cannot be synced does not keep the others from it", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 1U << 20, 300});
    for (std::uint32_t i = 1; i <= 3; ++i)
        spool.append(make_batch(i, 400));
    REQUIRE(storage.snapshot().contains("00000000000000000003.seg"));
    storage.refuse_next_sync(EIO);
    spool.on_synced(spool.take_unsynced().run());
    REQUIRE_FALSE(spool.stats().disk_error.empty());
    spool.append(make_batch(4));
    spool.on_synced(spool.take_unsynced().run());
    storage.cut_power();
    // Of the first the disk has nothing; the two after it were synced all the same.
    REQUIRE(held(reopened(storage)) == Held{2, 3, 4});
}

TEST_CASE("a spool in memory is taken over, with the numbers its batches have", "[spool]") {
    FaultyStorage sick;
    sick.refuse_changes(EACCES);
    sick.refuse_reads(EACCES);
    Spool memory = Spool::in_memory(sick, {1U << 20, 1000, 1U << 20});
    for (std::uint32_t i = 1; i <= 20; ++i)
        memory.append(make_batch(i));  // the first ones do not fit
    const std::uint64_t lost = dropped(memory, DropReason::memory_full);
    REQUIRE(lost > 0);
    REQUIRE(memory.epoch() != 0);
    REQUIRE_FALSE(memory.stats().disk_error.empty());

    FaultyStorage storage;
    reopened(storage).append(make_batch(1000));  // of an earlier run
    Spool disk = reopened(storage);
    memory.note_sent(20);
    ack(memory, 19);
    const std::uint64_t epoch = memory.epoch();
    const Held in_memory = held(memory);
    disk.take_over(memory);
    memory = std::move(disk);
    REQUIRE(memory.next_number() == BatchNumber{epoch, 21});
    REQUIRE(held(memory).size() == 1 + in_memory.size());
    REQUIRE(held(memory).front() == 1);
    REQUIRE(samples_of(memory, 1) == 1000);
    for (std::size_t i = 0; i < in_memory.size(); ++i) {
        const std::uint64_t now = held(memory)[i + 1];
        REQUIRE(samples_of(memory, now) == in_memory[i]);
        REQUIRE(memory.number_of(now) == BatchNumber{epoch, in_memory[i]});
    }
    REQUIRE(dropped(memory, DropReason::memory_full) == lost);
    REQUIRE(memory.stats().memory_batches == 0);
    const Spool again = reopened(storage);
    REQUIRE(held(again).size() == 1 + in_memory.size());
    REQUIRE(again.number_of(held(again).back()) == BatchNumber{epoch, 20});
}

TEST_CASE("a segment of an older version is read, and gets no records that it does not have",
          "[spool]") {
    FaultyStorage storage;
    constexpr SegmentFormat kFirst = {spool_format::kFormat.magic, 1};
    {
        auto old = SegmentWriter::create(storage, spool_format::segment_name(1), kFirst, 1, 0);
        const auto put = [&](std::uint8_t type, std::uint64_t number, std::string_view bytes) {
            ByteWriter out;
            out.u64(number);
            out.text(bytes);
            REQUIRE(old->append(type, out.bytes()));
        };
        const auto batch = make_batch(7);
        put(spool_format::kSchemaRecord, batch.body.schema_hash, *batch.schema);
        put(spool_format::kBatchRecord, 1, wire::encode_body(batch.body));
    }
    const auto before = storage.snapshot();
    Spool spool = reopened(storage);
    REQUIRE(samples_of(spool, 1) == 7);
    REQUIRE(*spool.schema(make_batch(7).body.schema_hash) == *make_batch(7).schema);
    REQUIRE(spool.append(make_batch(8)) == 2);
    spool.note_sent(1);
    const auto after = storage.snapshot();
    REQUIRE(after.at(spool_format::segment_name(1)) == before.at(spool_format::segment_name(1)));
    REQUIRE(after.contains(spool_format::segment_name(2)));
    REQUIRE(held(reopened(storage)) == Held{1, 2});
}

TEST_CASE("batches of version 2 keep the spool's epoch, unless they may have another's number",
          "[spool]") {
    FaultyStorage storage;
    {
        constexpr SegmentFormat kSecond = {spool_format::kFormat.magic, 2};
        auto old = SegmentWriter::create(storage, spool_format::segment_name(4), kSecond, 4, 0);
        for (std::uint32_t sequence : {4U, 5U, 6U}) {
            const auto batch = make_batch(sequence);
            ByteWriter out;
            if (sequence == 4) {
                out.u64(batch.body.schema_hash);
                out.text(wire::pack_schema(*batch.schema));
                REQUIRE(old->append(spool_format::kPackedSchemaRecord, out.bytes()));
                out.clear();
            }
            spool_format::write_batch({sequence, std::nullopt, wire::encode_body(batch.body)}, out);
            REQUIRE(old->append(spool_format::kBatchRecord, out.bytes()));
        }
        REQUIRE(storage.open_append("epoch").value()->append(as_bytes("00000000000000ab\n")));
    }
    const auto files = storage.snapshot();
    REQUIRE(reopened(storage).number_of(6) == BatchNumber{0xAB, 6});
    // From there on it had asked no collector yet which numbers are taken.
    REQUIRE(storage.open_append("unconfirmed").value()->append(as_bytes("0000000000000006\n")));
    for (int restart = 0; restart < 2; ++restart) {
        const Spool spool = reopened(storage);
        REQUIRE(held(spool) == Held{4, 5, 6});
        REQUIRE(spool.number_of(5) == BatchNumber{0xAB, 5});
        REQUIRE(spool.number_of(6) == BatchNumber{~std::uint64_t{0xAB}, 6});
    }
    auto without = files;
    without.erase("epoch");
    storage.restore(without);
    REQUIRE(held(reopened(storage)) == Held{4, 5, 6});
}

// As the agent does about once a second.
void sync_all(Spool& spool) {
    for (bool complete = false; !complete;) {
        SyncWork work = spool.take_unsynced();
        complete = work.complete();
        const auto synced = work.run();
        REQUIRE(synced);
        spool.on_synced(synced);
    }
}

TEST_CASE("what a run finds that was killed before it could sync is synced, not by the start",
          "[spool]") {
    constexpr SpoolOptions kSmall{1U << 20, 1U << 20, 1000};
    FaultyStorage storage;
    {
        Spool spool = reopened(storage, kSmall);
        for (std::uint32_t i = 1; i <= 90; ++i)
            spool.append(make_batch(i));
    }
    const std::uint64_t stored = storage.bytes_stored();
    Spool next = reopened(storage, kSmall);
    REQUIRE(storage.syncs() <= 1);  // of the one that is gone on with
    sync_all(next);
    REQUIRE(storage.bytes_written_again() >= stored);
    REQUIRE(next.take_unsynced().empty());
    storage.cut_power();
    REQUIRE(held(reopened(storage)).size() == 90);
}

// A second sync may succeed without the pages that the first one lost.
TEST_CASE("what an earlier run left is written again until a sync of it succeeds", "[spool]") {
    constexpr SpoolOptions kSmall{1U << 20, 1U << 20, 1000};
    FaultyStorage storage;
    {
        Spool spool = reopened(storage, kSmall);
        for (std::uint32_t i = 1; i <= 90; ++i)
            spool.append(make_batch(i));
    }
    Spool next = reopened(storage, kSmall);
    const std::size_t files = storage.snapshot().size();
    storage.refuse_syncs(EIO);
    next.on_synced(next.take_unsynced().run());
    REQUIRE(next.stats().disk_errors == 1);
    storage.refuse_syncs(0);
    const std::uint64_t before = storage.bytes_written_again();
    const std::uint64_t stored = storage.bytes_stored();
    sync_all(next);
    REQUIRE(storage.bytes_written_again() - before >= stored - 2 * 1000 - 32);
    // Of one of them alone: what this run writes goes on in its file.
    Spool third = reopened(storage, kSmall);
    third.on_synced(third.take_unsynced().run());
    storage.refuse_next_sync(EIO);
    third.on_synced(third.take_unsynced().run());
    REQUIRE(third.stats().disk_errors == 1);
    third.append(make_batch(91));
    REQUIRE(storage.snapshot().size() <= files + 2);
    sync_all(third);
    storage.cut_power();
    REQUIRE(held(reopened(storage)).size() == 91);
}

TEST_CASE("a segment that cannot be read to its end stays, and its numbers are not given again",
          "[spool]") {
    FaultyStorage storage;
    {
        Spool spool = reopened(storage);
        for (std::uint32_t i = 1; i <= 3; ++i)
            spool.append(make_batch(i));
    }
    const std::string name = spool_format::segment_name(1);
    storage.refuse_reads_beyond(name, storage.snapshot().at(name).size() - 10, EIO);
    {
        Spool spool = reopened(storage);
        REQUIRE(held(spool).empty());
        const std::uint64_t own = spool.append(make_batch(4));
        REQUIRE(own > 3);
        ack(spool, own);
    }
    storage.refuse_reads_beyond(name, 0, 0);
    const Spool spool = reopened(storage);
    REQUIRE(held(spool) == Held{1, 2, 3});
}

TEST_CASE("a full spool drops a segment of which a part is not known last, and counts that",
          "[spool]") {
    constexpr SpoolOptions kSmall{64 * 1024, 1U << 20, 4 * 1024};
    FaultyStorage storage;
    {
        Spool spool = reopened(storage, kSmall);
        for (int i = 0; i < 30; ++i)
            spool.append(make_batch(1, 1'000));
    }
    const std::string name = spool_format::segment_name(1);
    const std::uint64_t size = storage.snapshot().at(name).size();
    const bool heals = GENERATE(true, false);
    storage.refuse_reads_beyond(name, size - 10, EIO);
    Spool spool = reopened(storage, kSmall);
    const std::uint64_t read = spool.stats().batches;
    REQUIRE(read < 30);
    REQUIRE(spool.stats().bytes == storage.bytes_stored());
    if (heals) storage.refuse_reads_beyond(name, 0, 0);
    // It outlasts those that came after it.
    for (int i = 0; i < 300; ++i) {
        spool.append(make_batch(1, 1'000));
        REQUIRE(storage.bytes_stored() <= kSmall.bytes_max);
    }
    REQUIRE(storage.snapshot().contains(name));
    REQUIRE(dropped(spool, DropReason::corrupt) == 0);
    // Nothing else is left to make room.
    spool.append(make_batch(1, kSmall.bytes_max - 1024));
    REQUIRE_FALSE(storage.snapshot().contains(name));
    REQUIRE(storage.bytes_stored() <= kSmall.bytes_max);
    if (heals) {
        REQUIRE(dropped(spool, DropReason::corrupt) == 30 - read);
        REQUIRE(spool.stats().torn_bytes == 0);
        REQUIRE(spool.stats().dropped_batches == 330);
    } else {
        REQUIRE(dropped(spool, DropReason::corrupt) == 0);
        REQUIRE(spool.stats().torn_bytes > 0);
    }
}

TEST_CASE("while a slow sync runs the spool takes batches, and the next sync is theirs",
          "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    spool.append(make_batch(1));
    SyncWork slow = spool.take_unsynced();
    const auto result = slow.run();
    for (std::uint32_t i = 2; i <= 5; ++i)
        REQUIRE(spool.append(make_batch(i)) == i);
    REQUIRE(samples_of(spool, 5) == 5);
    spool.on_synced(result);
    SyncWork next = spool.take_unsynced();
    REQUIRE_FALSE(next.empty());
    spool.on_synced(next.run());
    storage.cut_power();
    REQUIRE(held(reopened(storage)) == Held{1, 2, 3, 4, 5});
}

TEST_CASE("nothing is synced on the thread that appends, and a new segment's name is synced too",
          "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage, {1U << 20, 1U << 20, 1000});
    const std::uint64_t syncs = storage.syncs();
    for (std::uint32_t i = 1; i <= 30; ++i)
        spool.append(make_batch(i));
    REQUIRE(storage.syncs() == syncs);
    spool.on_synced(spool.take_unsynced().run());
    storage.cut_power();
    REQUIRE(held(reopened(storage)).size() == 30);
    // A power cut before the sync takes the names of the segments that were begun.
    for (std::uint32_t i = 31; i <= 60; ++i)
        spool.append(make_batch(i));
    storage.cut_power();
    REQUIRE(held(reopened(storage)).size() == 30);
}

TEST_CASE("a segment whose header is gone is counted as corrupt, batch by batch", "[spool]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    spool.append(make_batch(1));
    spool.append(make_batch(2));
    spool.append(make_batch(3));  // the newest is kept in memory as well
    auto files = storage.snapshot();
    for (auto& [name, bytes] : files) {
        if (name.ends_with(".seg")) std::fill_n(bytes.begin(), kSegmentHeaderBytes, std::byte{0});
    }
    storage.restore(files);
    REQUIRE(spool.read(1).error().code == Errc::corrupt);
    REQUIRE(dropped(spool, DropReason::corrupt) == 1);
    REQUIRE(held(spool) == Held{2, 3});
}

}  // namespace
}  // namespace ridgeline::agent
