// One column of values <-> bytes. Also used for the chunks of the in-memory window.
//
//   column   u8 kind | 0x80 if some instants have no value
//   [gaps]   alternating varint run lengths, present first, until all instants are covered
//   kind 0   no value at all
//   kind 1   constant       f64
//   kind 2   scaled integers u8 k; values × 10^k are integers: zigzag first, zigzag first delta,
//   then
//                            delta-of-deltas: zigzag varint; a zero is followed by varint (run
//                            length − 1)
//   kind 3   XOR            f64 first; then per value: u8 0 = same as the one before, else
//                            u8 (leading zero bytes << 4 | kept bytes) and the kept middle bytes of
//                            the XOR
//
// Delta-of-delta and XOR after Pelkonen et al., "Gorilla: A Fast, Scalable, In-Memory Time Series
// Database", VLDB 2015, on bytes instead of bits: zstd goes over the whole block afterwards and
// works better on whole bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ridgeline::wire {

void put_varint(std::string& out, std::uint64_t value);
// Reads from the front of `in`; nullopt when it is cut short or longer than ten bytes.
std::optional<std::uint64_t> take_varint(std::string_view& in);

// Values may be kNoValue, never infinite. Every value comes back bit for bit (−0.0 as 0.0 in
// integer columns).
void encode_column(std::span<const double> values, std::string& out);
// Fills `values`; takes the column off the front of `in`.
Result<void> decode_column(std::string_view& in, std::span<double> values);

// Unix milliseconds, in any order (ascending ones are small).
void encode_timestamps(std::span<const std::int64_t> timestamps_ms, std::string& out);
Result<void> decode_timestamps(std::string_view& in, std::span<std::int64_t> timestamps_ms);

}  // namespace ridgeline::wire
