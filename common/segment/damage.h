// A place where a file does not hold what it should, as `inspect` and `verify` report it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json_writer.h"
#include "common/segment/segment.h"

namespace ridgeline {

struct Damage {
    std::string file;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::string what;
};

// A segment's file as a whole.
struct SegmentReport {
    std::string name;
    std::uint32_t version = 0;
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
    std::uint64_t tail_bytes = 0;  // being written, or torn: cut off at the next start

    // `newest`: the segment that is written to, whose end may be in the making. The damage of any
    // other that ends so, and of any that cannot be read to its end.
    std::optional<Damage> take(const SegmentScan& scan, bool newest);
};

// A line each; "whole" when there is none.
std::string to_text(const std::vector<Damage>& damage);
// The field "damage", an array.
void put(JsonWriter& json, const std::vector<Damage>& damage);

}  // namespace ridgeline
