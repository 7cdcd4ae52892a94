// Columns of a block: whatever decodes is within the limits and comes back value for value.
//
// Input: u8 shape, then the block. Bits 0-2 of the shape are the number of groups, bits 3-6 the
// series in each. With bit 7 the rest is compressed here first, so that the columns are reached
// without having to guess a zstd frame.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <zstd.h>

#include "common/wire/block_codec.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

namespace {

Schema make_schema(std::size_t groups, std::size_t series) {
    Schema schema;
    for (std::size_t g = 0; g < groups; ++g) {
        SchemaGroup group{"source" + std::to_string(g), {}};
        for (std::size_t s = 0; s < series; ++s)
            group.series.push_back({"metric" + std::to_string(s), {}});
        schema.groups.push_back(std::move(group));
    }
    return schema;
}

std::string compress(std::string_view bytes) {
    std::string out(ZSTD_compressBound(bytes.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1));
    return out;
}

bool same_values(const SampleGroup& a, const SampleGroup& b) {
    if (a.timestamps_ms != b.timestamps_ms || a.values.size() != b.values.size()) return false;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const bool both_absent = !has_value(a.values[i]) && !has_value(b.values[i]);
        // == takes −0.0 for 0.0, which integer columns do too.
        if (!both_absent && !(a.values[i] == b.values[i])) return false;
    }
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::uint8_t shape = data[0];
    const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Schema schema = make_schema(shape & 7U, (shape >> 3U) & 15U);
    wire::Limits limits;
    limits.samples_per_batch = 100'000;
    limits.ticks_per_group = 10'000;
    const std::string bytes = (shape & 0x80U) != 0 ? compress(rest) : std::string(rest);

    const auto block = wire::decode_block(bytes, schema, limits);
    if (!block) return 0;
    fuzz::expect(block->groups.size() == schema.groups.size(), "every group is there");
    fuzz::expect(block->sample_count() <= limits.samples_per_batch, "the limit is kept");
    const auto again = wire::decode_block(wire::encode_block(*block), schema, limits);
    fuzz::expect(again.has_value(), "an encoded block decodes");
    for (std::size_t g = 0; g < block->groups.size(); ++g) {
        fuzz::expect(same_values(block->groups[g], again->groups[g]),
                     "values survive the round trip");
    }
    return 0;
}
