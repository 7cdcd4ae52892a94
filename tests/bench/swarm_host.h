// What a host of the swarm measures: about 130 series at 1 s, recorded values among them.
//
// A value depends on the host, the series and the second alone, so that who sends a host's samples
// and who is asked for them say the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/metric/sample_block.h"
#include "common/metric/series.h"
#include "tests/bench/recording.h"

namespace ridgeline::bench {

// What tells hosts of one kind apart.
struct HostData {
    std::uint64_t number = 0;
    std::int64_t epoch_ms = 0;              // a whole second, no later than any that is asked for
    std::int64_t busy_from_ms = INT64_MAX;  // from then on its CPU is used to 97 %
};

// Hosts of one kind have the same series, as machines of one image and size do.
class HostKind {
  public:
    static constexpr std::size_t kSeriesPerHost = 130;

    HostKind(const std::vector<RecordedSeries>& recording, std::size_t number,
             std::size_t series = kSeriesPerHost);

    const Schema& schema() const { return schema_; }
    const std::shared_ptr<const std::string>& encoded_schema() const { return encoded_; }
    std::uint64_t hash() const { return hash_; }
    std::size_t series_count() const { return schema_.series_count(); }

    // `ticks` seconds from `start_ms` on.
    SampleBlock block(const HostData& host, std::int64_t start_ms, std::size_t ticks) const;
    // At one moment, in the schema's order; kNoValue where there is none.
    void values_at(const HostData& host, std::int64_t time_ms, std::vector<double>& out) const;

  private:
    struct Column {
        const RecordedSeries* recorded = nullptr;  // null: a utilization that wanders
        double gain = 0;           // a counter goes on from one pass of the recording to the next
        std::uint64_t number = 0;  // of all of the kind
    };
    void add(std::string metric, Attributes attributes, const RecordedSeries* recorded);
    static double value(const Column& column, const HostData& host, std::int64_t time_ms);

    Schema schema_;
    std::vector<std::vector<Column>> columns_;  // by group
    std::shared_ptr<const std::string> encoded_;
    std::uint64_t hash_ = 0;
};

}  // namespace ridgeline::bench
