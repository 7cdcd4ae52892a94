// What one message says: the present state of the alerts that go together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/alert/alert_book.h"

namespace ridgeline::collector {

enum class Telling : std::uint8_t {
    firing,        // for the first time
    raised,        // graver than what was told
    lowered,       // milder; nobody is woken for it
    again,         // still, and nobody has acknowledged it
    acknowledged,  // somebody has; for targets that keep incidents of their own
    resolved,
    was_firing,  // began and ended before anybody could be told
};
std::string_view to_string(Telling telling);  // "firing", … "was_firing"

struct MessageItem {
    Telling telling = Telling::firing;
    Alert alert;
    std::int64_t transition = 0;  // the newest it takes into account
    // The same for as long as the target may have an incident of it, and no other's; for targets
    // that keep incidents of their own.
    std::string incident{};
};

struct Message {
    std::string target;
    std::int64_t thread = 0;         // the outbox's
    std::string group;               // "rule=cpu.sustained"
    std::string key;                 // the same for every try to send this very message
    std::vector<MessageItem> items;  // the gravest first, never empty
    std::string remote;      // what the target calls the message it was told first (Slack: its ts)
    std::size_t firing = 0;  // of the group, whether they are news or not
    Severity gravest = Severity::p4;  // of those that fire, or of all items when none does
    bool is_test = false;
};

// At most so many alerts are spelled out; the rest is a number.
inline constexpr std::size_t kItemsSpelledOut = 20;

// "[P2] cpu.sustained on web-1", "[P2] 40 alerts: cpu.sustained", "[RESOLVED] …"; one line.
std::string title_of(const Message& message);
// "P2 FIRING web-1: CPU 93.1% for 5m", without markup; one line.
std::string line_of(const MessageItem& item);
// The spelled-out lines, and "… and 20 more".
std::vector<std::string> lines_of(const Message& message);

// Cut to `bytes_max`, never within a UTF-8 character; control characters and invalid bytes become
// '?', line feeds blanks.
std::string clean(std::string_view text, std::size_t bytes_max);

}  // namespace ridgeline::collector
