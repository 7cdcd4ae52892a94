#include "collector/notify/message.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace ridgeline::collector {

namespace {

constexpr std::size_t kLineBytesMax = 500;
constexpr std::size_t kTitleBytesMax = 200;

std::string_view word(Telling telling) {
    switch (telling) {
        case Telling::firing:
            return "FIRING";
        case Telling::raised:
            return "RAISED";
        case Telling::lowered:
            return "LOWERED";
        case Telling::again:
            return "STILL FIRING";
        case Telling::acknowledged:
            return "ACKNOWLEDGED";
        case Telling::resolved:
            return "RESOLVED";
        case Telling::was_firing:
            return "WAS FIRING";
    }
    return "";
}

bool fires(Telling telling) {
    return telling != Telling::resolved && telling != Telling::was_firing;
}

std::string clock_time(std::int64_t unix_ms) {
    const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 32> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%SZ", &utc);
    return {text.data(), n};
}

// How many bytes the UTF-8 character at the front has; 0 when it is none.
std::size_t character_bytes(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    if (length == 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    }
    // Overlong forms, surrogates and what is past U+10FFFF (RFC 3629).
    if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
        (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F))
        return 0;
    return length;
}

}  // namespace

std::string_view to_string(Telling telling) {
    constexpr std::array<std::string_view, 7> kNames = {
        "firing", "raised", "lowered", "again", "acknowledged", "resolved", "was_firing"};
    return kNames[static_cast<std::size_t>(telling)];
}

std::string clean(std::string_view text, std::size_t bytes_max) {
    std::string out;
    while (!text.empty()) {
        const std::size_t bytes = character_bytes(text);
        const auto lead = static_cast<unsigned char>(text.front());
        std::string_view character = text.substr(0, std::max<std::size_t>(bytes, 1));
        text.remove_prefix(character.size());
        if (lead == '\n' || lead == '\t')
            character = " ";
        else if (bytes == 0 || lead < 0x20 || lead == 0x7F)
            character = "?";
        if (out.size() + character.size() > bytes_max) break;
        out += character;
    }
    return out;
}

std::string line_of(const MessageItem& item) {
    const Alert& alert = item.alert;
    std::string line =
        std::string(to_string(alert.severity)) + " " + std::string(word(item.telling)) + " ";
    // A template that came to nothing must not hide what is known.
    line += alert.summary.empty() ? alert.rule + " on " + alert.host : alert.summary;
    if (item.telling == Telling::was_firing) {
        line += " (" + clock_time(alert.since_ms) + " to " + clock_time(alert.resolved_ms) + ")";
    } else if (item.telling == Telling::resolved && !alert.reason.empty()) {
        line += " (" + alert.reason + ")";
    }
    return clean(line, kLineBytesMax);
}

std::vector<std::string> lines_of(const Message& message) {
    std::vector<std::string> lines;
    for (const MessageItem& item : message.items) {
        if (lines.size() == kItemsSpelledOut) break;
        lines.push_back(line_of(item));
    }
    if (message.items.size() > kItemsSpelledOut)
        lines.push_back("… and " + std::to_string(message.items.size() - kItemsSpelledOut) +
                        " more");
    return lines;
}

std::string title_of(const Message& message) {
    const MessageItem& first = message.items.front();
    bool any_fires = false;
    bool one_rule = true;
    for (const MessageItem& item : message.items) {
        any_fires = any_fires || fires(item.telling);
        one_rule = one_rule && item.alert.rule == first.alert.rule;
    }
    std::string title = message.is_test ? "[TEST] " : "";
    title += any_fires ? "[" + std::string(to_string(message.gravest)) + "] " : "[RESOLVED] ";
    if (message.items.size() == 1) {
        title += first.alert.rule + " on " + first.alert.host;
    } else {
        title += std::to_string(message.items.size()) + " alerts";
        if (one_rule) title += ": " + first.alert.rule;
    }
    return clean(title, kTitleBytesMax);
}

}  // namespace ridgeline::collector
