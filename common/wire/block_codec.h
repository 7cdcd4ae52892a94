// SampleBlock <-> bytes: columns, each coded by what it holds, zstd level 1 over the whole.
//
//   block   zstd( group* )                      groups in schema order
//   group   varint ticks; if ticks > 0: timestamps column, then one column per series of the group
//   column  u8 kind, then by kind; see column_codec.h
//
// Self-contained: no state from one block to the next. Pure.
#pragma once

#include <cstddef>
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

// encode_schema()'s bytes as one zstd frame, as they are spooled: names repeat a lot.
std::string pack_schema(std::string_view encoded);
Result<std::string> unpack_schema(std::string_view packed, const Limits& limits);

}  // namespace ridgeline::wire
