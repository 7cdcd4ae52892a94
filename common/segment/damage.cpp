#include "common/segment/damage.h"

namespace ridgeline {

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
