#include "common/config/toml_text.h"

namespace ridgeline {

std::optional<ConfigPlace> stray_non_ascii(std::string_view text, const std::string& file) {
    std::string_view closing;  // of the string or comment we are in; empty outside
    ConfigPlace place{file, 1, 1};
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string_view rest = text.substr(i);
        std::size_t taken = 1;
        if (closing.empty()) {
            if ((static_cast<unsigned char>(text[i]) & 0x80) != 0) return place;
            for (const std::string_view opening : {"\"\"\"", "'''", "\"", "'", "#"}) {
                if (!rest.starts_with(opening)) continue;
                closing = opening == "#" ? std::string_view("\n") : opening;
                taken = opening.size();
                break;
            }
        } else if (rest.starts_with(closing)) {
            taken = closing.size();
            closing = {};
        } else if (closing.size() == 1 && text[i] == '\n') {
            closing = {};  // an unclosed string; toml++ says so
        } else if (text[i] == '\\' && closing.front() == '"') {
            taken = 2;
        }
        for (std::size_t n = 0; n < taken && i + n < text.size(); ++n) {
            const bool newline = text[i + n] == '\n';
            place.line += newline ? 1 : 0;
            place.column = newline ? 1 : place.column + 1;
        }
        i += taken - 1;
    }
    return {};
}

}  // namespace ridgeline
