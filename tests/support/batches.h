// Batches as agents send them, for tests of the collector.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/metric/sample_block.h"
#include "common/metric/series.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::test {

inline Schema small_schema() {
    return {{{"cpu", {{"system.cpu.utilization", {{"state", "used"}}}, {"system.uptime", {}}}}}};
}

// One instant a second from `start_ms`; both series have `value`.
inline SampleBlock small_block(std::int64_t start_ms, std::size_t ticks, double value) {
    SampleGroup group;
    group.series_count = 2;
    for (std::size_t i = 0; i < ticks; ++i)
        group.timestamps_ms.push_back(start_ms + static_cast<std::int64_t>(i) * 1000);
    group.values.assign(2 * ticks, value);
    return {{group}};
}

inline std::string body_of(const SampleBlock& block, const Schema& schema) {
    wire::BatchBody body;
    body.schema_hash = schema_hash(schema);
    body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    body.columns = wire::encode_block(block);
    return wire::encode_body(body);
}

}  // namespace ridgeline::test
