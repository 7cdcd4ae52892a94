// A look at TOML text before the parser gets it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/config/toml_reader.h"

namespace ridgeline {

// The first byte outside strings and comments that is not ASCII. TOML 1.0 has no use for one there,
// and toml++ 3.3 runs into undefined behaviour over many of them.
std::optional<ConfigPlace> stray_non_ascii(std::string_view text, const std::string& file);

}  // namespace ridgeline
