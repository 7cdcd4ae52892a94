#include "collector/alert/alert_text.h"

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

std::string_view change_word(Change change) {
    switch (change) {
        case Change::none:
            return "NONE";
        case Change::fired:
            return "FIRING";
        case Change::raised:
            return "RAISED";
        case Change::lowered:
            return "LOWERED";
        case Change::resolved:
            return "RESOLVED";
        case Change::episode:
            return "EPISODE";
        case Change::stale:
            return "STALE";
        case Change::fresh:
            return "FRESH";
    }
    return "?";
}

std::string alert_line(const Transition& transition) {
    std::string word(change_word(transition.change));
    word.resize(8, ' ');
    std::string line = format_rfc3339(from_unix_ms(transition.time_ms)) + ' ' + word + ' ' +
                       std::string(to_string(transition.severity)) + ' ' + transition.rule +
                       " host=" + transition.host + ": " + transition.summary;
    if (!transition.reason.empty()) line += " (" + transition.reason + ")";
    // Host names and attributes come from outside.
    return printable(line, 2000);
}

}  // namespace ridgeline::collector
