#include "common/base/json_writer.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "common/base/text.h"

namespace ridgeline {

void JsonWriter::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (has_elements_.empty()) return;
    if (has_elements_.back()) out_ += ',';
    has_elements_.back() = true;
}

void JsonWriter::quote(std::string_view text) {
    out_ += '"';
    // Control characters that JSON can express are kept; the rest of what is not text becomes '?'.
    while (!text.empty()) {
        const std::size_t special = text.find_first_of("\"\\\n\t");
        out_ += printable(text.substr(0, special), std::string::npos);
        if (special == std::string_view::npos) break;
        const char c = text[special];
        out_ += c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '"' ? "\\\"" : "\\\\";
        text.remove_prefix(special + 1);
    }
    out_ += '"';
}

JsonWriter& JsonWriter::begin_object() {
    separate();
    out_ += '{';
    has_elements_.push_back(false);
    return *this;
}
JsonWriter& JsonWriter::end_object() {
    out_ += '}';
    has_elements_.pop_back();
    return *this;
}
JsonWriter& JsonWriter::begin_array() {
    separate();
    out_ += '[';
    has_elements_.push_back(false);
    return *this;
}
JsonWriter& JsonWriter::end_array() {
    out_ += ']';
    has_elements_.pop_back();
    return *this;
}
JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    quote(name);
    out_ += ':';
    after_key_ = true;
    return *this;
}
JsonWriter& JsonWriter::value(std::string_view text) {
    separate();
    quote(text);
    return *this;
}
JsonWriter& JsonWriter::value(double number) {
    if (!std::isfinite(number)) return null();
    separate();
    out_ += shortest(number);
    return *this;
}
JsonWriter& JsonWriter::value(std::int64_t number) {
    separate();
    out_ += std::to_string(number);
    return *this;
}
JsonWriter& JsonWriter::value(std::uint64_t number) {
    separate();
    out_ += std::to_string(number);
    return *this;
}
JsonWriter& JsonWriter::value(bool flag) {
    separate();
    out_ += flag ? "true" : "false";
    return *this;
}
JsonWriter& JsonWriter::null() {
    separate();
    out_ += "null";
    return *this;
}

}  // namespace ridgeline
