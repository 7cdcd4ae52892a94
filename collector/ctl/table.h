// Aligned columns of text, fitted to a width.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline::collector {

// Columns a UTF-8 text takes on a terminal; every character counts one.
std::size_t display_width(std::string_view text);
// Cut to `width` columns (with '…' where something was cut, if `utf8`, else '~') or filled up with
// blanks.
std::string fit(std::string_view text, std::size_t width, bool utf8);
std::string fit_right(std::string_view text, std::size_t width, bool utf8);

struct Column {
    std::string title;
    bool right = false;
    bool may_shrink = false;  // gives way when the table is too wide
};
// Every line at most `width` columns as long as the columns that may shrink allow it.
std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows, std::size_t width,
                         bool utf8);

}  // namespace ridgeline::collector
