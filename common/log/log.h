// Diagnostics to stderr: one line an event, with the priority prefix that journald reads ("<4>"),
// key=value fields.
//
// A function either logs or returns its error. Messages are constant text; what varies goes into
// fields, with units in their names. Values are made printable, so nothing from outside can forge a
// line. Never log secrets.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace ridgeline::log {

// sd-daemon(3) priorities.
enum class Level : int { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

struct Field {
    std::string_view key;
    std::string value;

    Field(std::string_view k, std::string_view v) : key(k), value(v) {}
    Field(std::string_view k, const char* v) : key(k), value(v) {}
    Field(std::string_view k, const std::string& v) : key(k), value(v) {}
    Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
    template <class Number>
    Field(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
};
using Fields = std::initializer_list<Field>;

// Process-wide, set once by main. Prefixes are left out when stderr is a terminal.
void set_level(Level level);
void write(Level level, std::string_view message, Fields fields = {});

inline void error(std::string_view message, Fields fields = {}) {
    write(Level::error, message, fields);
}
inline void warning(std::string_view message, Fields fields = {}) {
    write(Level::warning, message, fields);
}
inline void notice(std::string_view message, Fields fields = {}) {
    write(Level::notice, message, fields);
}
inline void info(std::string_view message, Fields fields = {}) {
    write(Level::info, message, fields);
}
inline void debug(std::string_view message, Fields fields = {}) {
    write(Level::debug, message, fields);
}

// For events a peer can cause at will: at most `per_minute` lines a minute; what was left out is
// said in the next line that gets through (field suppressed=N). One object per call site.
class RateLimit {
  public:
    explicit RateLimit(std::uint32_t per_minute) : per_minute_(per_minute) {}
    void write(Level level, std::string_view message, Fields fields = {});

  private:
    std::uint32_t per_minute_;
    std::int64_t minute_ = -1;
    std::uint32_t written_ = 0;
    std::uint64_t suppressed_ = 0;
};

}  // namespace ridgeline::log
