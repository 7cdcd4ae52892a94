#include "common/log/log.h"

#include <atomic>
#include <chrono>

#include <unistd.h>

#include "common/base/text.h"

namespace ridgeline::log {

namespace {

// The one mutable global: main sets it before anything else runs.
std::atomic<int> g_level{static_cast<int>(Level::info)};

bool needs_quotes(std::string_view value) {
    return value.empty() || value.find_first_of(" =\"\\") != std::string_view::npos;
}

void append_value(std::string& line, std::string_view value) {
    const std::string shown = printable(value);
    if (!needs_quotes(shown)) {
        line += shown;
        return;
    }
    line += '"';
    for (const char c : shown) {
        if (c == '"' || c == '\\') line += '\\';
        line += c;
    }
    line += '"';
}

}  // namespace

void set_level(Level level) {
    g_level = static_cast<int>(level);
}

void write(Level level, std::string_view message, Fields fields) {
    if (static_cast<int>(level) > g_level) return;
    static const bool terminal = ::isatty(STDERR_FILENO) == 1;
    std::string line;
    if (!terminal) line += '<' + std::to_string(static_cast<int>(level)) + '>';
    line += message;
    for (const Field& field : fields) {
        line += ' ';
        line += field.key;
        line += '=';
        append_value(line, field.value);
    }
    line += '\n';
    // One write per line, so that lines of several threads do not mix. A log that cannot be written
    // is not worth failing for.
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

void RateLimit::write(Level level, std::string_view message, Fields fields) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const std::int64_t minute = std::chrono::duration_cast<std::chrono::minutes>(now).count();
    if (minute != minute_) {
        minute_ = minute;
        written_ = 0;
        if (suppressed_ > 0) log::write(level, message, {{"suppressed", suppressed_}});
        suppressed_ = 0;
    }
    if (written_ >= per_minute_) {
        ++suppressed_;
        return;
    }
    ++written_;
    log::write(level, message, fields);
}

}  // namespace ridgeline::log
