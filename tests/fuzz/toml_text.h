// Which inputs the targets for TOML leave out.
#pragma once

#include <algorithm>
#include <string_view>

namespace ridgeline::fuzz {

// toml++ 3.3 (Debian 12) has a __builtin_unreachable where its table of Unicode blanks has no
// entry, so UndefinedBehaviorSanitizer stops at almost any letter beyond ASCII that is not in a
// string or comment. Until that is kept from it, such inputs would hide everything else.
inline bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace ridgeline::fuzz
