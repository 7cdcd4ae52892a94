#include "collector/ctl/table.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

constexpr std::size_t kShrunkMin = 8;
constexpr std::string_view kGap = "  ";

bool continues(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

std::string cut(std::string_view text, std::size_t width, bool utf8) {
    std::string out;
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size() && columns + 1 < width; ++columns) {
        std::size_t end = i + 1;
        while (end < text.size() && continues(text[end]))
            ++end;
        out += text.substr(i, end - i);
        i = end;
    }
    return width == 0 ? out : out + (utf8 ? "…" : "~");
}

}  // namespace

std::size_t display_width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string fit(std::string_view text, std::size_t width, bool utf8) {
    const std::size_t present = display_width(text);
    if (present > width) return cut(text, width, utf8);
    return std::string(text) + std::string(width - present, ' ');
}

std::string fit_right(std::string_view text, std::size_t width, bool utf8) {
    const std::size_t present = display_width(text);
    if (present > width) return cut(text, width, utf8);
    return std::string(width - present, ' ') + std::string(text);
}

std::string format_table(const std::vector<Column>& columns,
                         const std::vector<std::vector<std::string>>& rows, std::size_t width,
                         bool utf8) {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns.size(); ++c) {
        std::size_t widest = display_width(columns[c].title);
        for (const auto& row : rows)
            widest = std::max(widest, display_width(row[c]));
        widths.push_back(widest);
    }
    std::size_t total = kGap.size() * (columns.size() - 1);
    for (const std::size_t w : widths)
        total += w;
    // The widest of those that may shrink gives way first, column by column.
    while (total > width) {
        std::size_t* widest = nullptr;
        for (std::size_t c = 0; c < columns.size(); ++c) {
            if (columns[c].may_shrink && widths[c] > kShrunkMin &&
                (widest == nullptr || widths[c] > *widest))
                widest = &widths[c];
        }
        if (widest == nullptr) break;
        --*widest;
        --total;
    }
    std::string out;
    const auto add_row = [&](auto cell) {
        std::string line;
        for (std::size_t c = 0; c < columns.size(); ++c) {
            if (c > 0) line += kGap;
            line += columns[c].right ? fit_right(cell(c), widths[c], utf8)
                                     : fit(cell(c), widths[c], utf8);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + '\n';
    };
    add_row([&](std::size_t c) { return columns[c].title; });
    for (const auto& row : rows)
        add_row([&](std::size_t c) { return row[c]; });
    return out;
}

}  // namespace ridgeline::collector
