// How the commands print what the API answers.
#pragma once

#include <iosfwd>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "common/base/result.h"

namespace ridgeline::collector {

// Returns the exit code.
int complain(const Error& error, std::ostream& err);
void print_json(const nlohmann::json& document, std::ostream& out);
// A text of the answer, made harmless for a terminal; "-" when there is none.
std::string text_of(const nlohmann::json& entry, const char* key);
// "a=1 b=2"
std::string pairs_of(const nlohmann::json& entry, const char* key);

}  // namespace ridgeline::collector
