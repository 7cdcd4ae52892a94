// A reader of the durable log with its own position: rules, series and sinks each have one.
//
// Reads only what is durable (fsynced). Damaged or undecodable records are skipped and counted,
// never silent. Loop thread, like the log itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "collector/log/log_batch.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct LogReaderStats {
    std::uint64_t batches = 0;
    std::uint64_t samples = 0;
    std::uint64_t records_skipped = 0;  // damaged, or of a batch whose schema is missing
    std::uint64_t bytes_fell_off = 0;   // trimmed from the log before this reader came to them
};

class LogReader {
  public:
    virtual ~LogReader() = default;
    // The next batch, or nullopt when everything durable was read.
    virtual Result<std::optional<LogBatch>> next() = 0;
    virtual LogPosition position() const = 0;
    virtual const LogReaderStats& stats() const = 0;
};

}  // namespace ridgeline::collector
