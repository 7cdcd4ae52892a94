// A place where a file does not hold what it should, as `inspect` and `verify` report it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json_writer.h"

namespace ridgeline {

struct Damage {
    std::string file;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::string what;
};

// A line each; "whole" when there is none.
std::string to_text(const std::vector<Damage>& damage);
// The field "damage", an array.
void put(JsonWriter& json, const std::vector<Damage>& damage);

}  // namespace ridgeline
