#include "collector/ctl/print.h"

#include <ostream>

#include <nlohmann/json.hpp>

#include "collector/ctl/commands.h"
#include "common/base/text.h"

namespace ridgeline::collector {

using nlohmann::json;

int complain(const Error& error, std::ostream& err) {
    err << "ridgeline: " << error.context << '\n';
    return kExitUnreachable;
}

void print_json(const json& document, std::ostream& out) {
    out << document.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
}

std::string text_of(const json& entry, const char* key) {
    const auto it = entry.find(key);
    return it == entry.end() || !it->is_string() ? "-" : printable(it->get<std::string>(), 500);
}

std::string pairs_of(const json& entry, const char* key) {
    std::string out;
    const auto pairs = entry.find(key);
    if (pairs == entry.end() || !pairs->is_object()) return out;
    for (const auto& [name, value] : pairs->items()) {
        if (!value.is_string()) continue;
        if (!out.empty()) out += ' ';
        out += printable(name, 100) + '=' + printable(value.get<std::string>(), 200);
    }
    return out;
}

}  // namespace ridgeline::collector
