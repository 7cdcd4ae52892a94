// LogReader over the log's segments. Made by Log::open_reader.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "collector/log/log.h"
#include "collector/log/log_reader.h"

namespace ridgeline::collector {

class FileLogReader final : public LogReader {
  public:
    FileLogReader(Log& log, LogPosition from) : log_(log), position_(from) {}

    Result<std::optional<LogBatch>> next() override;
    LogPosition position() const override { return position_; }
    const LogReaderStats& stats() const override { return stats_; }

  private:
    Result<bool> open_segment();
    void learn(const Record& record);
    std::optional<LogBatch> make_batch(const Record& record);

    Log& log_;
    LogPosition position_;  // of the next record to read
    std::optional<SegmentReader> segment_;
    LogPosition segment_base_ = 0;
    std::map<std::string, std::shared_ptr<const HostInfo>, std::less<>> hosts_;
    struct KnownSchema {
        std::shared_ptr<const Schema> schema;
        bool in_this_segment = false;
    };
    std::map<std::pair<std::string, std::uint64_t>, KnownSchema> schemas_;
    LogReaderStats stats_;
};

}  // namespace ridgeline::collector
