// Small batches for the spool's tests.
#pragma once

#include <memory>
#include <string>

#include "agent/pipeline/batch.h"

namespace ridgeline::agent::test_batches {

inline SharedSchema schema_of(const std::string& device) {
    return std::make_shared<const Schema>(
        Schema{{{"disk", {{"system.disk.io_time", {{"device", device}}}}}}});
}

// `samples` is what the spool counts; `columns` stands for the coded block and is never decoded
// here.
inline SealedBatch make_batch(std::uint32_t samples, std::size_t columns_bytes = 100,
                              const std::string& device = "sda") {
    SealedBatch batch;
    batch.schema = schema_of(device);
    batch.body.schema_hash = schema_hash(*batch.schema);
    batch.body.sealed_wall_ms = 1'772'445'600'000 + samples;
    batch.body.sample_count = samples;
    batch.body.columns.assign(columns_bytes, static_cast<char>('a' + samples % 26));
    return batch;
}

}  // namespace ridgeline::agent::test_batches
