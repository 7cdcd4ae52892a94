#include "common/wire/block_codec.h"

#include <memory>

#include <zstd.h>

#include "common/wire/column_codec.h"

namespace ridgeline::wire {

namespace {

// Level 1: on blocks of some kilobytes, higher levels cost up to three times as much for 1–2 %
// (measured on host metrics at 10 s batches).
constexpr int kZstdLevel = 1;
// What a block may unpack to: 8 bytes for every sample a batch may hold, and its headers.
std::size_t unpacked_bytes_max(const Limits& limits) {
    return limits.samples_per_batch * 9 + limits.series_per_schema * 16 + 4096;
}

std::string pack(std::string_view raw) {
    std::string packed(ZSTD_compressBound(raw.size()), '\0');
    // ZSTD_compress writes the content size into the frame, which unpack() relies on.
    const std::size_t n =
        ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), kZstdLevel);
    packed.resize(ZSTD_isError(n) != 0 ? 0 : n);
    return packed;
}

struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using Context = std::unique_ptr<ZSTD_DCtx, FreeContext>;

Result<std::string> unpack(std::string_view bytes, std::size_t bytes_max, ZSTD_DCtx* context) {
    if (context == nullptr) return fail(Errc::limit, "block: no memory to unpack it");
    // The frame's own claim decides how much is allocated, and it is checked first: a bomb is
    // refused unopened.
    const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
        return fail(Errc::corrupt, "block: not a zstd frame of known size");
    }
    if (size > bytes_max) return fail(Errc::limit, "block: unpacks to more than the limit");
    std::string raw(static_cast<std::size_t>(size), '\0');
    const std::size_t n =
        ZSTD_decompressDCtx(context, raw.data(), raw.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(n) != 0 || n != raw.size())
        return fail(Errc::corrupt, "block: damaged zstd frame");
    return raw;
}

Result<SampleGroup> decode_group(std::string_view& in, std::size_t series_count,
                                 std::size_t& samples_left, const Limits& limits) {
    const auto ticks = take_varint(in);
    if (!ticks) return fail(Errc::corrupt, "block: cut short");
    if (*ticks > limits.ticks_per_group) return fail(Errc::limit, "block: too many instants");
    SampleGroup group;
    group.series_count = series_count;
    if (*ticks == 0) return group;
    const auto tick_count = static_cast<std::size_t>(*ticks);
    if (series_count > samples_left / tick_count)
        return fail(Errc::limit, "block: too many samples");
    samples_left -= series_count * tick_count;
    // A column takes at least a byte, so the bytes left bound what may be allocated.
    if (series_count > in.size()) return fail(Errc::corrupt, "block: cut short");
    group.timestamps_ms.resize(tick_count);
    RL_TRY(decode_timestamps(in, group.timestamps_ms));
    group.values.resize(series_count * tick_count);
    for (std::size_t i = 0; i < series_count; ++i)
        RL_TRY(decode_column(in, group.column(i)));
    return group;
}

}  // namespace

std::string pack_schema(std::string_view encoded) {
    return pack(encoded);
}

Result<std::string> unpack_schema(std::string_view packed, const Limits& limits) {
    return unpack(packed, limits.message_bytes, Context(ZSTD_createDCtx()).get());
}

std::string encode_block(const SampleBlock& block) {
    std::string raw;
    for (const SampleGroup& group : block.groups) {
        put_varint(raw, group.timestamps_ms.size());
        if (group.timestamps_ms.empty()) continue;
        encode_timestamps(group.timestamps_ms, raw);
        for (std::size_t i = 0; i < group.series_count; ++i)
            encode_column(group.column(i), raw);
    }
    return pack(raw);
}

struct BlockDecoder::State {
    Context context{ZSTD_createDCtx()};
};

BlockDecoder::BlockDecoder() : state_(std::make_unique<State>()) {}
BlockDecoder::~BlockDecoder() = default;
BlockDecoder::BlockDecoder(BlockDecoder&&) noexcept = default;
BlockDecoder& BlockDecoder::operator=(BlockDecoder&&) noexcept = default;

Result<SampleBlock> decode_block(std::string_view bytes, const Schema& schema,
                                 const Limits& limits) {
    return BlockDecoder().decode(bytes, schema, limits);
}

Result<SampleBlock> BlockDecoder::decode(std::string_view bytes, const Schema& schema,
                                         const Limits& limits) {
    RL_ASSIGN_OR_RETURN(const std::string raw,
                        unpack(bytes, unpacked_bytes_max(limits), state_->context.get()));
    std::string_view in = raw;
    SampleBlock block;
    block.groups.reserve(schema.groups.size());
    std::size_t samples_left = limits.samples_per_batch;
    for (const SchemaGroup& shape : schema.groups) {
        RL_ASSIGN_OR_RETURN(SampleGroup group,
                            decode_group(in, shape.series.size(), samples_left, limits));
        block.groups.push_back(std::move(group));
    }
    if (!in.empty())
        return fail(Errc::corrupt, "block: bytes are left over; it is of another schema");
    return block;
}

}  // namespace ridgeline::wire
