// What was sampled and is not yet known to be safe at the collector: batches in segment files,
// until acknowledged.
//
//   N….seg            common/segment of format RLSPOOL, version 3; 20 digits: its base, the first
//                     sequence it may hold
//     record 1 schema u64 hash, wire::encode_schema; of version 1
//     record 2 batch  u64 sequence, wire::encode_body; of versions 1 and 2
//     record 3 acked  u64 sequence, repeated; only spares a second sending after a restart
//     record 4 schema u64 hash, wire::pack_schema
//     record 5 sent   u64 sequence, repeated: may be at the collector, so must stay as it is
//     record 6 batch  u64 sequence, u64 epoch, u64 number (batch_number.h), wire::encode_body
//   N….thin           a segment that is being thinned; removed at start
//   epoch             of batches of records 2, whose number is their sequence; not written any more
//
// common/segment/FORMAT.md has the whole of it, byte by byte.
//
// Integers little-endian. Every segment holds the schemas of its batches. A segment goes when all
// its batches are acknowledged, or, when the spool is full, with what it still holds, which is
// counted. Before it is full, its oldest segments are thinned (thinner.h), one at a time and on a
// worker thread, of batches that were never sent. A disk that refuses never stops sampling: batches
// wait in bounded memory and are written once it works again. Loop thread; SyncWork on any.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pipeline/batch.h"
#include "agent/pipeline/batch_number.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"

namespace ridgeline::agent {

struct SpoolOptions {
    std::uint64_t bytes_max = 256U << 20;
    std::uint64_t memory_bytes_max = 16U << 20;  // batches the disk did not take
    std::uint64_t segment_bytes = 1U << 20;      // lowered to bytes_max / 16
};

// When more of the spool than this is used, its old data is thinned. The newest data stays as it
// was sampled, and what is before it stays at 10 s, as long as it takes no more than this share
// each: what is dropped at last has a sample a minute.
inline constexpr double kThinAbove = 0.75;
inline constexpr double kFineShare = 0.125;

enum class DropReason : std::uint8_t { spool_full, memory_full, rejected, corrupt, clock_unset };
inline constexpr std::size_t kDropReasons = 5;
std::string_view to_string(DropReason reason);  // as in samples_dropped{reason="…"}

struct SpoolStats {
    std::uint64_t batches = 0;  // held and not acknowledged, memory included
    std::uint64_t bytes = 0;    // of the files
    std::uint64_t memory_batches = 0;
    std::uint64_t memory_bytes = 0;
    std::uint64_t torn_bytes = 0;       // cut off at open, or unreadable when it was dropped
    std::uint64_t disk_errors = 0;      // refused writes and syncs
    std::uint64_t dropped_batches = 0;  // those that no collector refused
    std::uint64_t dropped_samples[kDropReasons] = {};
    std::uint64_t thinned_samples = 0;  // taken out of what is held, or was
    std::string disk_error;             // the last one, empty while the disk works
};

// What makes everything appended so far durable; run on a worker thread, then hand the result to
// Spool::on_synced.
class SyncWork {
  public:
    bool empty() const { return files_.empty() && directory_ == nullptr && !left_; }
    // False while there are more files to be synced that an earlier run left.
    bool complete() const { return complete_; }
    Result<void> run();

  private:
    friend class Spool;
    // Files that an earlier run left. A sync that it failed, or that failed since, may have left
    // pages that only seem to be on the disk, so they are written again before they are synced.
    struct Left {
        struct File {
            std::string name;
            std::shared_ptr<AppendFile> file;
            bool synced = false;
        };
        std::vector<File> files;
        bool alone_failed = false;  // everything else was synced
    };

    Storage* directory_ = nullptr;                    // names changed since it was synced
    std::vector<std::shared_ptr<AppendFile>> files_;  // shared: a segment may be closed meanwhile
    std::shared_ptr<Left> left_;                      // shared with the spool
    bool complete_ = true;
};

// Where a batch is in its segment.
struct SpoolEntry {
    std::uint64_t sequence = 0;
    std::uint32_t offset = 0;
    std::uint32_t samples = 0;
    std::uint32_t merged = 0;  // numbers before its own that it stands for as well
    std::uint16_t resolution_s = 0;
    bool acked = false;
    bool sent = false;

    std::uint64_t first() const { return sequence - merged; }
};
struct SpoolSchemaPlace {
    std::uint64_t hash = 0;
    std::uint64_t offset = 0;
};

class ThinWork;

class Spool {
  public:
    // Reads what an earlier run left. `storage` must outlive the spool. Fails only when the
    // directory cannot be read, or holds files of a newer version (Errc::unsupported).
    static Result<Spool> open(Storage& storage, const SpoolOptions& options);
    // One that reads nothing, for as long as its directory cannot be opened: `storage` refuses
    // everything, so its batches wait in memory, and may be sent.
    static Spool in_memory(Storage& storage, const SpoolOptions& options);
    // Goes on with the batches, the numbers and the counts of one in memory; nothing was appended
    // to this one yet. The batches have other sequences then.
    void take_over(Spool& in_memory);

    // This run's.
    std::uint64_t epoch() const { return epoch_; }
    // Draws another one for what is appended from now on: this run's numbers are not its alone.
    void begin_epoch();
    std::uint64_t next_sequence() const { return next_sequence_; }
    // What the next batch will be called.
    BatchNumber next_number() const { return {epoch_, next_number_}; }
    BatchNumber number_of(std::uint64_t sequence) const { return numbering_.number_of(sequence); }
    std::optional<std::uint64_t> sequence_of(BatchNumber number) const {
        return numbering_.sequence_of(number);
    }
    bool knows_epoch(std::uint64_t epoch) const {
        return epoch == epoch_ || numbering_.knows(epoch);
    }
    // Of earlier runs of which it holds batches, the one with the oldest batch first.
    std::vector<std::uint64_t> earlier_epochs() const;
    // The lowest number of this run that stands for something held; the next one when there is
    // none.
    std::uint64_t first_unacked_number() const;

    // Takes the batch and returns its sequence. Never fails: what the disk refuses waits in memory.
    std::uint64_t append(const SealedBatch& batch);
    // One that an earlier run had begun, before any other is appended. `sent`: that run may have
    // sent it. False when it is known already.
    bool append_earlier(const SealedBatch& batch, BatchNumber number, bool sent);
    // Of batches that were written before version 3.
    BatchNumber number_before_version_3(std::uint64_t sequence) const;
    // Tries to write what waits in memory.
    void retry();

    void ack(std::span<const std::uint64_t> sequences);
    // Of numbers, both included.
    void ack_range(std::uint64_t epoch, std::uint64_t first, std::uint64_t last);
    // Will never be accepted: forgets it and counts its samples.
    void drop(std::uint64_t sequence, DropReason reason);

    // The first batch held with a sequence of at least `from`.
    std::optional<std::uint64_t> next_held(std::uint64_t from) const;
    bool holds(std::uint64_t sequence) const { return next_held(sequence) == sequence; }
    // wire::encode_body's bytes. Errc::corrupt: dropped and counted, Errc::not_found: not held.
    Result<std::string> read(std::uint64_t sequence);
    // wire::encode_schema's bytes, for any schema a held batch needs.
    Result<std::string> schema(std::uint64_t hash);

    // To be told before a batch goes out: what may be at the collector is never merged with others.
    void note_sent(std::uint64_t sequence);
    // False while a power cut could undo the merging that made the batch; try after a sync.
    bool sendable(std::uint64_t sequence) const;

    SyncWork take_unsynced();
    void on_synced(const Result<void>& result);

    // A segment to be thinned, if it is time to; null otherwise. Its step() is called until it is
    // done(), on any thread, then finish_thinning() on this one.
    std::shared_ptr<ThinWork> begin_thinning();
    void finish_thinning(ThinWork& work);
    // Something is not sendable() before the next sync.
    bool awaits_sync() const;

    const SpoolStats& stats() const { return stats_; }
    std::optional<std::uint64_t> oldest() const { return next_held(0); }

  private:
    using Entry = SpoolEntry;
    using SchemaPlace = SpoolSchemaPlace;
    struct Segment {
        std::string name;
        std::uint64_t base = 0;
        std::uint64_t bytes = 0;         // of the file
        std::size_t held = 0;            // entries not acked
        std::uint32_t resolution_s = 0;  // thinned to, or in vain
        std::uint32_t version = 0;       // of the file that an earlier run left
        bool part_unread = false;        // the disk did not give all of it: stays as it is
        // Since its file was replaced, its name: not synced, being synced, synced.
        enum class Name : std::uint8_t { settled, new_one, syncing } name_state = Name::settled;
        std::vector<Entry> entries;  // by sequence
        std::vector<SchemaPlace> schemas;
    };
    struct Waiting {
        std::uint64_t sequence = 0;
        std::uint64_t schema_hash = 0;
        std::uint32_t samples = 0;
        bool sent = false;
        std::string body;
        std::shared_ptr<const std::string> schema;  // encoded; shared by the batches that wait
        std::size_t bytes = 0;  // that it takes in memory; of a shared schema the first one's
    };

    static bool before(const Entry& entry, std::uint64_t sequence) {
        return entry.sequence < sequence;
    }
    static bool waits_before(const Waiting& waiting, std::uint64_t sequence) {
        return waiting.sequence < sequence;
    }

    Spool(Storage& storage, const SpoolOptions& options);
    Result<void> load_earlier_epoch();
    void sync_what_is_left(SyncWork& work);
    void cut_off_tail(const std::string& name, const SegmentScan& scan);
    void note_what_was_left();
    void go_on_with_last_segment();
    struct Noted;  // acknowledgements and sendings that the segments tell of
    // `next_base`: of the segment after it, whose numbers it cannot hold.
    Result<void> load_segment(const std::string& name, std::uint64_t next_base, Noted& noted);

    std::uint64_t take(const SealedBatch& batch, BatchNumber number, bool sent);
    // The oldest sequence that stands for something held: a thinned batch stands for several.
    std::optional<std::uint64_t> first_unacked() const;
    bool write(const Waiting& batch);
    Result<void> write_to_segment(const Waiting& batch);
    Result<void> open_segment(std::uint64_t base);
    void close_segment();
    void keep_in_memory(Waiting batch);
    void note_disk_error(const Error& error);
    void make_room(std::uint64_t bytes);
    std::size_t segment_to_drop() const;
    void count_unread(const Segment& segment);
    void remove_segment(std::size_t index);
    void remove_acked_segments();
    void keep_notes_of(const std::string& name);
    // Marks as acknowledged; the samples it had, or nullopt when it was not held.
    std::optional<std::uint32_t> forget(std::uint64_t sequence);
    void append_note(std::uint8_t type, std::span<const std::uint64_t> sequences);
    Entry* find_entry(std::uint64_t sequence);
    std::size_t segment_to_thin(std::uint32_t resolution_s) const;
    const Segment* find_segment(std::uint64_t sequence) const;
    Segment* find_segment(std::uint64_t sequence);
    const Waiting* find_waiting(std::uint64_t sequence) const;

    Storage* storage_;
    SpoolOptions options_;
    std::uint64_t epoch_ = 0;
    std::uint64_t next_number_ = 1;
    std::uint64_t next_sequence_ = 1;
    Numbering numbering_;
    std::optional<std::uint64_t> earlier_epoch_;        // before version 3
    std::optional<std::uint64_t> earlier_unconfirmed_;  // likewise
    std::deque<Segment> segments_;                      // by base
    std::optional<SegmentWriter> writer_;               // of segments_.back()
    bool writer_dirty_ = false;
    bool directory_dirty_ = false;
    std::vector<std::shared_ptr<AppendFile>> unsynced_;  // of closed segments
    std::vector<std::string> left_unsynced_;             // by an earlier run
    std::shared_ptr<SyncWork::Left> left_syncing_;       // of these, those under way
    std::deque<Waiting> memory_;  // by sequence, all newer than what is on disk
    // The last batch appended, which is what is sent next as a rule, and its schema.
    Waiting newest_;
    // Kept while backlog is read in order; a reader has a buffer of its own.
    struct CachedReader {
        std::string name;
        SegmentReader reader;
    };
    std::optional<CachedReader> reader_;
    SpoolStats stats_;
};

}  // namespace ridgeline::agent
