#include "agent/pipeline/bytes.h"

#include <charconv>

namespace ridgeline::agent {

std::string hex_u64(std::uint64_t value) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t i = text.size(); i-- > 0; value >>= 4)
        text[i] = kDigits[value & 15];
    return text;
}

std::optional<std::uint64_t> parse_hex_u64(std::string_view digits) {
    std::uint64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stopped, error] = std::from_chars(digits.data(), end, value, 16);
    if (error != std::errc{} || stopped != end || digits.size() != 16) return std::nullopt;
    return value;
}

}  // namespace ridgeline::agent
