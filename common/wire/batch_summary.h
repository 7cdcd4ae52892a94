// Of many batches: how many, of what sequence numbers and times. For reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json_writer.h"
#include "common/metric/sample_block.h"
#include "common/wire/messages.h"

namespace ridgeline::wire {

struct BatchSummary {
    std::uint64_t batches = 0;
    std::uint64_t samples = 0;
    std::uint64_t thinned = 0;             // samples that thinning took out
    std::vector<SequenceRange> sequences;  // in the order they came, neighbours joined
    std::int64_t oldest_ms = 0;            // of the samples; 0 when there are none
    std::int64_t newest_ms = 0;

    void add(SequenceRange range, const SampleBlock& block, std::uint64_t thinned_samples);
    void add(const BatchSummary& other);
};

// "1-60", "1-90 in 3 ranges", "none"
std::string range_text(const std::vector<SequenceRange>& ranges);
std::string time_text(std::int64_t unix_ms);  // "" for 0
// The field "sequences": an array of [first, last].
void put(JsonWriter& json, const std::vector<SequenceRange>& ranges);
// The summary's fields of an object.
void put(JsonWriter& json, const BatchSummary& summary);

}  // namespace ridgeline::wire
