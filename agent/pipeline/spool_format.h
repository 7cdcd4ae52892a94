// Names and record types of the spool's files, as spool.h describes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pipeline/batch_number.h"
#include "agent/pipeline/bytes.h"
#include "common/base/text.h"
#include "common/segment/segment.h"
#include "common/wire/block_codec.h"

namespace ridgeline::agent::spool_format {

inline constexpr SegmentFormat kFormat = {{'R', 'L', 'S', 'P', 'O', 'O', 'L', '\n'}, 3};
// Written before version 3, and needed for as long as there are batches of such a version.
inline constexpr std::string_view kEpochFileName = "epoch";
inline constexpr std::string_view kUnconfirmedFileName = "unconfirmed";
inline constexpr std::size_t kEpochDigits = 16;
inline constexpr std::string_view kSegmentSuffix = ".seg";
inline constexpr std::size_t kSequenceDigits = 20;

// No spool comes so far; what claims to is damage, and must not make later numbers wrap.
inline constexpr std::uint64_t kSequencesEnd = std::uint64_t{1} << 63U;

// What thinning writes until it takes the place of the segment.
inline constexpr std::string_view kThinnedSuffix = ".thin";

enum RecordType : std::uint8_t {
    kSchemaRecord = 1,  // of version 1
    kBatchRecord = 2,   // before version 3
    kAckedRecord = 3,
    kPackedSchemaRecord = 4,
    kSentRecord = 5,
    kNumberedBatchRecord = 6,
};

// What a record says; views refer into the record.
struct SchemaRecord {
    std::uint64_t hash = 0;
    std::string_view bytes;
    bool packed = false;

    // wire::encode_schema
    Result<std::string> encoded() const {
        if (packed) return wire::unpack_schema(bytes, wire::Limits{});
        return std::string(bytes);
    }
};
struct BatchRecord {
    std::uint64_t sequence = 0;
    std::optional<BatchNumber> number;  // nullopt: before version 3
    std::string_view body;              // wire::encode_body

    // What the body's first_sequence counts in.
    std::uint64_t number_in_epoch() const { return number ? number->number : sequence; }
};

inline std::optional<SchemaRecord> read_schema(const Record& record) {
    ByteReader in(record.payload);
    const auto hash = in.u64();
    const bool packed = record.type == kPackedSchemaRecord;
    if ((record.type != kSchemaRecord && !packed) || !hash) return std::nullopt;
    return SchemaRecord{*hash, as_text(in.rest()), packed};
}
inline std::optional<BatchRecord> read_batch(const Record& record) {
    ByteReader in(record.payload);
    const auto sequence = in.u64();
    if (!sequence) return std::nullopt;
    if (record.type == kBatchRecord)
        return BatchRecord{*sequence, std::nullopt, as_text(in.rest())};
    if (record.type != kNumberedBatchRecord) return std::nullopt;
    const auto epoch = in.u64();
    const auto number = in.u64();
    if (!number) return std::nullopt;
    return BatchRecord{*sequence, BatchNumber{*epoch, *number}, as_text(in.rest())};
}
// The record's type, and in `out` its payload.
inline std::uint8_t write_batch(const BatchRecord& batch, ByteWriter& out) {
    out.u64(batch.sequence);
    if (batch.number) {
        out.u64(batch.number->epoch);
        out.u64(batch.number->number);
    }
    out.text(batch.body);
    return batch.number ? kNumberedBatchRecord : kBatchRecord;
}
// Of an acked or a sent record.
inline std::vector<std::uint64_t> read_sequences(const Record& record) {
    std::vector<std::uint64_t> sequences;
    ByteReader in(record.payload);
    while (record.type == kAckedRecord || record.type == kSentRecord) {
        const auto sequence = in.u64();
        if (!sequence) break;
        sequences.push_back(*sequence);
    }
    return sequences;
}

inline std::string segment_name(std::uint64_t base) {
    const std::string digits = std::to_string(base);
    return std::string(kSequenceDigits - digits.size(), '0') + digits + std::string(kSegmentSuffix);
}

// nullopt: not a segment's name.
inline std::optional<std::uint64_t> base_of(std::string_view name) {
    if (name.size() != kSequenceDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
        return std::nullopt;
    }
    const auto base = to_u64(name.substr(0, kSequenceDigits));
    return base && *base < kSequencesEnd ? base : std::nullopt;
}

}  // namespace ridgeline::agent::spool_format
