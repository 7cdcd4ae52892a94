// Small batches for the spool's tests.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "agent/pipeline/batch.h"
#include "common/wire/messages.h"

namespace ridgeline::agent::test_batches {

inline Schema schema_of(const std::string& device) {
    return {{{"disk", {{"system.disk.io_time", {{"device", device}}}}}}};
}

// The schema that a batch carries encoded.
inline Schema unpacked(const SharedSchema& encoded) {
    auto schema = wire::decode_schema(*encoded, wire::Limits{});
    return schema ? std::move(*schema) : Schema{};
}

// `samples` is what the spool counts; `columns` stands for the coded block and is never decoded
// here.
inline SealedBatch make_batch(std::uint32_t samples, std::size_t columns_bytes = 100,
                              const std::string& device = "sda") {
    SealedBatch batch;
    const Schema schema = schema_of(device);
    batch.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
    batch.body.schema_hash = schema_hash(schema);
    batch.body.sealed_wall_ms = 1'772'445'600'000 + samples;
    batch.body.sample_count = samples;
    batch.body.columns.assign(columns_bytes, static_cast<char>('a' + samples % 26));
    return batch;
}

}  // namespace ridgeline::agent::test_batches
