// SampleBlock <-> bytes: columns, each coded by what it holds, zstd level 1 over the whole.
//
//   block   zstd( group* )                      groups in schema order
//   group   varint ticks; if ticks > 0: timestamps column, then one column per series of the group
//   column  u8 kind, then by kind; see column_codec.h
//
// Self-contained: no state from one block to the next. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/metric/sample_block.h"
#include "common/metric/series.h"
#include "common/wire/messages.h"

namespace ridgeline::wire {

std::string encode_block(const SampleBlock& block);

// `schema` gives the number of groups and series. Errc::corrupt when the bytes do not fit it,
// Errc::limit over a limit. Infinite values are Errc::corrupt; NaN cannot be expressed.
Result<SampleBlock> decode_block(std::string_view bytes, const Schema& schema,
                                 const Limits& limits);

// Decodes block after block with what zstd needs for it, a tenth of a megabyte, made once. For who
// decodes all the time: of small blocks, making it anew is much of the cost. Of one thread.
class BlockDecoder {
  public:
    BlockDecoder();
    ~BlockDecoder();
    BlockDecoder(BlockDecoder&&) noexcept;
    BlockDecoder& operator=(BlockDecoder&&) noexcept;

    // As decode_block().
    Result<SampleBlock> decode(std::string_view bytes, const Schema& schema, const Limits& limits);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// encode_schema()'s bytes as one zstd frame, as they are spooled: names repeat a lot.
std::string pack_schema(std::string_view encoded);
Result<std::string> unpack_schema(std::string_view packed, const Limits& limits);

}  // namespace ridgeline::wire
