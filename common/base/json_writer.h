// Writes JSON (RFC 8259), for the agent, which carries no JSON library. Builds a string; the caller
// keeps begin and end in balance. Text that is not UTF-8 is made printable; numbers that are not
// finite become null.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline {

class JsonWriter {
  public:
    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
    JsonWriter& value(double number);
    JsonWriter& value(std::int64_t number);
    JsonWriter& value(std::uint64_t number);
    JsonWriter& value(bool flag);
    JsonWriter& null();

    // key and value in one
    template <class T>
    JsonWriter& field(std::string_view name, const T& content) {
        key(name);
        return value(content);
    }

    const std::string& text() const { return out_; }

  private:
    void separate();
    void quote(std::string_view text);

    std::string out_;
    std::vector<bool> has_elements_;
    bool after_key_ = false;
};

}  // namespace ridgeline
