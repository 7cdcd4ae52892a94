#include "common/segment/damage.h"

namespace ridgeline {

std::optional<Damage> SegmentReport::take(const SegmentScan& scan, bool newest) {
    version = scan.version;
    bytes = scan.sound_bytes + scan.tail_bytes;
    records = scan.records;
    // A closed segment ends with a whole record, or it lost something.
    const std::string what = scan.damage.empty() ? "the file is cut short" : scan.damage;
    if (!scan.damage.empty() || (scan.tail_bytes > 0 && !newest))
        return Damage{name, scan.sound_bytes, scan.tail_bytes, what};
    tail_bytes = scan.tail_bytes;
    return std::nullopt;
}

std::string to_text(const std::vector<Damage>& damage) {
    if (damage.empty()) return "whole\n";
    std::string out;
    for (const Damage& one : damage) {
        out += "DAMAGED: " + one.file + " at " + std::to_string(one.offset) + ", " +
               std::to_string(one.bytes) + " bytes: " + one.what + "\n";
    }
    return out;
}

void put(JsonWriter& json, const std::vector<Damage>& damage) {
    json.key("damage").begin_array();
    for (const Damage& one : damage) {
        json.begin_object().field("file", one.file).field("offset", one.offset);
        json.field("bytes", one.bytes).field("what", one.what).end_object();
    }
    json.end_array();
}

}  // namespace ridgeline
