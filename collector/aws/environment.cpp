#include "collector/aws/environment.h"

#include <unistd.h>

namespace ridgeline::collector {

Environment process_environment() {
    Environment out;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::size_t equals = text.find('=');
        if (equals == std::string_view::npos) continue;
        out.insert_or_assign(std::string(text.substr(0, equals)),
                             std::string(text.substr(equals + 1)));
    }
    return out;
}

std::optional<std::string> variable(const Environment& environment, std::string_view name) {
    const auto it = environment.find(name);
    if (it == environment.end() || it->second.empty()) return std::nullopt;
    return it->second;
}

bool flag(const Environment& environment, std::string_view name) {
    return lower_ascii(variable(environment, name).value_or("")) == "true";
}

std::string lower_ascii(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

}  // namespace ridgeline::collector
