// The durable log: the collector's only input. Append-only segments; everything else reads them.
//
// A LogPosition counts bytes over the log's whole life: a segment's base is the position of its
// file's first byte, and the next segment begins where it ends. Each segment is self-contained: it
// opens with a snapshot of which batches the log holds, and repeats a host's facts and schema
// before that host's first batch, so that old segments can be dropped. Readers see only what is
// durable. Loop thread; SyncTicket::run() alone may run elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/log/log_reader.h"
#include "collector/log/record_codec.h"
#include "collector/log/sequence_book.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"

namespace ridgeline::collector {

struct LogOptions {
    std::uint64_t segment_bytes = 64U << 20;
    // A segment goes on up to here while the hosts and schemas it repeats are much of it.
    std::uint64_t segment_bytes_max = 0;  // 0: no further than segment_bytes
    std::uint64_t max_size_bytes = 8ULL << 30;
    std::chrono::milliseconds window = std::chrono::hours{24};
};

struct LogStats {
    std::uint64_t batches_appended = 0;
    std::uint64_t append_errors = 0;
    std::uint64_t sync_errors = 0;
    std::uint64_t torn_bytes = 0;  // cut off at open
    std::uint64_t segments_dropped_unread =
        0;  // past max_size although a reader was not done with them
};

// A batch on its way into the log.
struct LogAppend {
    std::string_view host;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    bool backlog = false;
    std::string_view body;  // encode_body()
    std::uint64_t schema_hash = 0;
    std::string_view encoded_schema;   // wire::encode_schema()
    std::uint64_t first_sequence = 0;  // of a thinned batch: it stands for all from here on
    wire::SequenceRange range() const {
        return {first_sequence == 0 ? sequence : first_sequence, sequence};
    }
};

// The names of the log's segments, oldest first.
Result<std::vector<std::string>> list_segments(Storage& storage);

class Log {
  public:
    // Finds out what the log holds; cuts off a torn tail. A damaged newest segment header (a crash
    // while it was begun) drops that segment alone.
    static Result<std::unique_ptr<Log>> open(Storage& storage, LogOptions options,
                                             const Clock& clock);

    // What the host says of itself from now on; written before its next batch.
    void set_host(const HostInfo& host);
    // Where the record begins. On an error nothing was added.
    Result<LogPosition> append(const LogAppend& batch);
    bool contains(std::string_view host, std::uint64_t epoch, std::uint64_t sequence) const {
        return book_.contains(host, epoch, sequence);
    }
    // All of the range.
    bool contains(std::string_view host, std::uint64_t epoch, wire::SequenceRange range) const {
        return book_.contains(host, epoch, range);
    }
    const SequenceBook& book() const { return book_; }
    // SequenceBook::keep
    void keep_epochs(std::string_view host, const std::vector<std::uint64_t>& epochs) {
        book_.keep(host, epochs);
    }

    // The parts of one fsync: begin on the loop, run anywhere, finish on the loop. One at a time.
    struct SyncTicket {
        std::vector<std::shared_ptr<AppendFile>> files;
        std::size_t closed = 0;        // the first so many of them are not written to any more
        Storage* directory = nullptr;  // a segment was begun since it was synced
        LogPosition upto = 0;
        Result<void> run() const;
    };
    bool needs_sync() const { return durable_ < end_; }
    SyncTicket begin_sync();
    // After a failed sync the kernel may have dropped the pages: what was not durable is cut off
    // and forgotten, so that its senders, which have no ack, send it again.
    void finish_sync(const SyncTicket& ticket, const Result<void>& result);
    LogPosition durable_position() const { return durable_; }
    LogPosition end_position() const { return end_; }

    // From `from`, or from the oldest there is when that is gone already (and counted in the
    // reader's stats).
    std::unique_ptr<LogReader> open_reader(LogPosition from);
    LogPosition oldest_position() const;
    // A position from which every batch received at or after `since` is met.
    LogPosition position_at(WallTime since) const;

    // Segments from `position` on are kept for `reader`; replaces its last hold.
    void hold(const std::string& reader, LogPosition position);
    // Drops what is older than the window and not held, and what exceeds the size cap in any case.
    void trim();

    std::uint64_t size_bytes() const;
    const LogStats& stats() const { return stats_; }
    // Why the log cannot be written to now; empty when it can.
    const std::string& trouble() const { return trouble_; }

    struct SegmentInfo {
        std::string name;
        LogPosition base = 0;
        LogPosition end = 0;  // the active segment's is end_position()
        std::int64_t created_ms = 0;
    };
    const std::vector<SegmentInfo>& segments() const { return segments_; }
    Storage& storage() const { return storage_; }

  private:
    Log(Storage& storage, LogOptions options, const Clock& clock)
        : storage_(storage), options_(options), clock_(clock) {}
    struct Unsynced {
        std::string host;
        std::uint64_t epoch;
        wire::SequenceRange range;
        LogPosition position;
    };

    Result<void> recover();
    Result<void> find_segments();
    Result<bool> is_whole(const SegmentInfo& segment);
    void recall(const Record& record, bool believe_snapshot);
    Result<void> recover_last(bool believe_snapshot);
    Result<void> begin_segment();
    Result<void> note_durable();
    Result<void> write(LogRecordType type, std::string_view payload);
    Result<void> write_context(const LogAppend& batch);
    void drop_segment(std::size_t index);
    bool segment_is_full() const;

    Storage& storage_;
    LogOptions options_;
    const Clock& clock_;
    std::vector<SegmentInfo>
        segments_;  // oldest first; the last is being written when writer_ is set
    std::optional<SegmentWriter> writer_;
    std::vector<std::shared_ptr<AppendFile>>
        unsynced_files_;  // of segments that were closed since the last sync
    bool directory_dirty_ = false;
    std::vector<Unsynced> unsynced_;
    LogPosition end_ = 0;
    LogPosition durable_ = 0;
    LogPosition noted_durable_ = 0;  // in the log
    SequenceBook book_;
    std::map<std::string, HostInfo, std::less<>> hosts_;
    std::set<std::string, std::less<>> hosts_written_;                 // in the active segment
    std::set<std::pair<std::string, std::uint64_t>> schemas_written_;  // in the active segment
    std::uint64_t context_bytes_ = 0;  // of what the active segment repeats
    std::map<std::string, LogPosition> holds_;
    LogStats stats_;
    std::string trouble_;
};

}  // namespace ridgeline::collector
