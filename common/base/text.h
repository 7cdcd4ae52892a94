// Text helpers without a locale: splitting, number parsing, globs, spelling distance.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline {

std::string_view trim(std::string_view text);

// Cuts the next field (separated by blanks) off the front of `rest`; empty when none is left.
std::string_view next_field(std::string_view& rest);
// Cuts the next line (without '\n') off the front of `rest`. Call while !rest.empty().
std::string_view next_line(std::string_view& rest);
std::vector<std::string_view> split(std::string_view text, char separator);

// Whole-string, decimal, no sign for u64, no locale; nullopt on anything else or on overflow.
std::optional<std::uint64_t> to_u64(std::string_view text);
std::optional<std::int64_t> to_i64(std::string_view text);
// As from_chars(general); NaN and infinities are refused.
std::optional<double> to_double(std::string_view text);

// Shortest text that reads back as the same double ("0.1", "1e+300").
std::string shortest(double value);

// '*' any run, '?' one character, everything else literal. Linear time (no backtracking blow-up).
bool glob_match(std::string_view pattern, std::string_view text);

// The candidate with the smallest edit distance, if it is near enough to be what was meant.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

// Replaces control characters and invalid UTF-8 and cuts at `bytes_max` on a character boundary, so
// that text from outside can be printed and logged.
std::string printable(std::string_view text, std::size_t bytes_max = 1024);

// Rows of cells as lines, the columns under each other two blanks apart; what begins with a digit
// stands at the right of its column.
std::string align(const std::vector<std::vector<std::string>>& rows);

std::string to_hex(std::span<const unsigned char> bytes);

}  // namespace ridgeline
