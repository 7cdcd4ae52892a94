// LogReader over the log's segments. Made by Log::open_reader.
#pragma once

#include <optional>

#include "collector/log/log.h"
#include "collector/log/log_reader.h"
#include "collector/log/record_decoder.h"

namespace ridgeline::collector {

class FileLogReader final : public LogReader {
  public:
    FileLogReader(Log& log, LogPosition from) : log_(log), position_(from) {}

    Result<std::optional<LogBatch>> next() override;
    LogPosition position() const override { return position_; }
    const LogReaderStats& stats() const override { return stats_; }

  private:
    Result<bool> open_segment();

    Log& log_;
    LogPosition position_;  // of the next record to read
    std::optional<SegmentReader> segment_;
    std::optional<LogPosition> doubted_;  // read anew once already
    LogPosition segment_base_ = 0;
    RecordDecoder decoder_;
    LogReaderStats stats_;
};

}  // namespace ridgeline::collector
