// What a host of the swarm measures: about 130 series at 1 s, recorded values among them.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "agent/pipeline/batch.h"
#include "common/metric/sample_block.h"
#include "tests/bench/recording.h"

namespace ridgeline::bench {

// Hosts of one kind have the same series, as machines of one image and size do.
class HostKind {
  public:
    HostKind(const std::vector<RecordedSeries>& recording, std::size_t number);

    const Schema& schema() const { return schema_; }
    const agent::SharedSchema& encoded_schema() const { return encoded_; }
    std::uint64_t hash() const { return hash_; }
    std::size_t series_count() const { return schema_.series_count(); }

    // `ticks` seconds from `start_ms` on; `second` says where in the recording the host is.
    SampleBlock block(std::int64_t start_ms, std::size_t ticks, std::uint64_t second,
                      std::mt19937& rng) const;

  private:
    struct Column {
        const RecordedSeries* recorded = nullptr;  // null: a utilization that wanders
        double gain = 0;  // a counter goes on from one pass of the recording to the next
    };
    void add(std::string metric, Attributes attributes, const RecordedSeries* recorded);

    Schema schema_;
    std::vector<std::vector<Column>> columns_;  // by group
    agent::SharedSchema encoded_;
    std::uint64_t hash_ = 0;
};

}  // namespace ridgeline::bench
