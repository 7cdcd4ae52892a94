// A log in memory: batches of one host, each 100 positions long.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/log/log_reader.h"

namespace ridgeline::test {

class FakeLog {
  public:
    using Series = std::vector<SeriesDescriptor>;
    struct Row {
        WallTime at;
        std::vector<double> values;  // one for each series
    };

    explicit FakeLog(Series series, std::string host_id = "web-1") {
        auto host = std::make_shared<collector::HostInfo>();
        host->host_id = std::move(host_id);
        host->tags = {{"role", "web"}};
        host_ = host;
        auto schema = std::make_shared<Schema>();
        schema->groups = {{"test", std::move(series)}};
        schema_ = schema;
    }

    void append(const std::vector<Row>& rows) {
        collector::LogBatch batch;
        batch.host = host_;
        batch.schema = schema_;
        batch.position = end();
        batch.next_position = end() + kRecordBytes;
        if (!rows.empty()) batch.received = rows.back().at + std::chrono::seconds{1};
        SampleGroup group;
        group.series_count = schema_->groups[0].series.size();
        for (const Row& row : rows)
            group.timestamps_ms.push_back(to_unix_ms(row.at));
        for (std::size_t series = 0; series < group.series_count; ++series)
            for (const Row& row : rows)
                group.values.push_back(row.values.at(series));
        batch.block.groups = {std::move(group)};
        batches_.push_back(std::move(batch));
    }

    collector::LogPosition end() const { return batches_.size() * kRecordBytes; }

    std::unique_ptr<collector::LogReader> open(collector::LogPosition from) const {
        return std::make_unique<Reader>(*this, std::max(from / kRecordBytes, trimmed_));
    }
    // The oldest `count` records fall off.
    void trim(std::size_t count) { trimmed_ = count; }

  private:
    static constexpr collector::LogPosition kRecordBytes = 100;

    class Reader final : public collector::LogReader {
      public:
        Reader(const FakeLog& log, std::size_t next) : log_(log), next_(next) {}
        Result<std::optional<collector::LogBatch>> next() override {
            if (next_ == log_.batches_.size()) return std::optional<collector::LogBatch>();
            return std::optional(log_.batches_[next_++]);
        }
        collector::LogPosition position() const override { return next_ * kRecordBytes; }
        const collector::LogReaderStats& stats() const override { return stats_; }

      private:
        const FakeLog& log_;
        std::size_t next_;
        collector::LogReaderStats stats_;
    };

    std::shared_ptr<const collector::HostInfo> host_;
    std::shared_ptr<const Schema> schema_;
    std::vector<collector::LogBatch> batches_;
    std::size_t trimmed_ = 0;
};

}  // namespace ridgeline::test
