// Names and record types of the spool's files, as spool.h describes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/text.h"
#include "common/segment/segment.h"

namespace ridgeline::agent::spool_format {

inline constexpr SegmentFormat kFormat = {{'R', 'L', 'S', 'P', 'O', 'O', 'L', '\n'}, 1};
inline constexpr std::string_view kEpochFileName = "epoch";
inline constexpr std::size_t kEpochDigits = 16;
inline constexpr std::string_view kSegmentSuffix = ".seg";
inline constexpr std::size_t kSequenceDigits = 20;

enum RecordType : std::uint8_t { kSchemaRecord = 1, kBatchRecord = 2, kAckedRecord = 3 };

inline std::string segment_name(std::uint64_t base) {
    const std::string digits = std::to_string(base);
    return std::string(kSequenceDigits - digits.size(), '0') + digits + std::string(kSegmentSuffix);
}

// nullopt: not a segment's name.
inline std::optional<std::uint64_t> base_of(std::string_view name) {
    if (name.size() != kSequenceDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
        return std::nullopt;
    }
    return to_u64(name.substr(0, kSequenceDigits));
}

}  // namespace ridgeline::agent::spool_format
