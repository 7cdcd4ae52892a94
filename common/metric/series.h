// What a series is: a metric and its attributes, on one host.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline {

struct Attribute {
    std::string key;
    std::string value;
    auto operator<=>(const Attribute&) const = default;
};

// Sorted by key, keys unique (normalise() makes it so).
using Attributes = std::vector<Attribute>;
void normalise(Attributes& attributes);
// The value of `key`, or nullptr.
const std::string* find_attribute(const Attributes& attributes, std::string_view key);

struct SeriesDescriptor {
    std::string metric;  // a name of the catalog, e.g. "system.cpu.utilization"
    Attributes attributes;
    auto operator<=>(const SeriesDescriptor&) const = default;
};

// What the series counts for where series are limited: one, and one more for every 512 bytes of
// text, so that a limit on series bounds memory too.
std::size_t series_weight(const SeriesDescriptor& series);

// `system.filesystem.utilization{mountpoint="/",state="used"}`; quotes and backslashes escaped.
std::string to_string(const SeriesDescriptor& series);

// The series of one host in the order in which their values travel. A group is what one source
// samples at the same instants, so that its timestamps are stored once. Identified everywhere by
// its hash.
struct SchemaGroup {
    std::string source;
    std::vector<SeriesDescriptor> series;
    bool operator==(const SchemaGroup&) const = default;
};
struct Schema {
    std::vector<SchemaGroup> groups;
    bool operator==(const Schema&) const = default;
    std::size_t series_count() const;
};
// FNV-1a 64 over the canonical form; equal schemas hash equal on every machine.
std::uint64_t schema_hash(const Schema& schema);

}  // namespace ridgeline
