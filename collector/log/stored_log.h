// The log's batches as they lie on disk, read beside the collector that writes them: nothing is
// locked, changed or held, so what the collector drops meanwhile is missed and counted. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/log/record_decoder.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"

namespace ridgeline::collector {

struct StoredLogStats {
    std::uint64_t batches = 0;
    std::uint64_t records_skipped = 0;   // damaged, or of a batch whose schema is missing
    std::uint64_t segments_skipped = 0;  // damaged, or dropped while they were to be read
};

class StoredLog {
  public:
    // Every batch received at `from` or later will be met, and some before. `storage` must outlive
    // it.
    static Result<StoredLog> open(Storage& storage, WallTime from);

    // In the order in which they were received; nullopt at the end of what is there now.
    Result<std::optional<LogBatch>> next();

    // When the oldest segment was begun; nullopt when the log is empty.
    std::optional<WallTime> oldest() const { return oldest_; }
    const StoredLogStats& stats() const { return stats_; }

  private:
    explicit StoredLog(Storage& storage) : storage_(&storage) {}
    Result<bool> open_segment();

    Storage* storage_;
    std::vector<std::string> segments_;  // still to be read, the next one last
    std::optional<SegmentReader> reader_;
    RecordDecoder decoder_;
    std::optional<WallTime> oldest_;
    StoredLogStats stats_;
};

}  // namespace ridgeline::collector
