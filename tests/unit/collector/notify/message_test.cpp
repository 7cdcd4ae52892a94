#include "collector/notify/message.h"

#include "tests/support/catch.h"

namespace ridgeline::collector {
namespace {

MessageItem item(Telling telling, const std::string& summary = "web-1: CPU 93%") {
    MessageItem made;
    made.telling = telling;
    made.alert.rule = "cpu.sustained";
    made.alert.host = "web-1";
    made.alert.severity = Severity::p2;
    made.alert.summary = summary;
    made.alert.since_ms = 1'772'445'600'000;
    made.alert.resolved_ms = 1'772'445'660'000;
    return made;
}

TEST_CASE("a line says how grave, what became of it and what it is", "[message]") {
    REQUIRE(line_of(item(Telling::firing)) == "P2 FIRING web-1: CPU 93%");
    REQUIRE(line_of(item(Telling::raised)) == "P2 RAISED web-1: CPU 93%");
    REQUIRE(line_of(item(Telling::was_firing)) ==
            "P2 WAS FIRING web-1: CPU 93% (2026-03-02 10:00:00Z to 2026-03-02 10:01:00Z)");
    MessageItem gone = item(Telling::resolved);
    gone.alert.reason = "rule removed";
    REQUIRE(line_of(gone) == "P2 RESOLVED web-1: CPU 93% (rule removed)");
}

TEST_CASE("without a summary the facts are said", "[message]") {
    REQUIRE(line_of(item(Telling::firing, "")) == "P2 FIRING cpu.sustained on web-1");
}

TEST_CASE("what is clean is one line of whole characters", "[message]") {
    REQUIRE(clean("a\nb\tc\r\x1b[31md\x7f", 100) == "a b c??[31md?");
    REQUIRE(clean("Müller €", 100) == "Müller €");
    REQUIRE(clean("Müller", 2) == "M");  // ü has two bytes, and is not cut
    REQUIRE(clean("\xc3", 10) == "?");
    REQUIRE(clean("\xed\xa0\x80", 10) == "???");  // a surrogate
    REQUIRE(clean("\xf4\x90\x80\x80", 10) == "????");
    REQUIRE(clean("\xc0\xaf", 10) == "??");  // an overlong slash
    REQUIRE(clean(std::string("a\0b", 3), 10) == "a?b");
    REQUIRE(clean(std::string(10'000, 'x'), 500).size() == 500);
}

TEST_CASE("a title counts, and names the rule when it is one", "[message]") {
    Message message;
    message.gravest = Severity::p2;
    message.items = {item(Telling::firing)};
    REQUIRE(title_of(message) == "[P2] cpu.sustained on web-1");
    message.items.push_back(item(Telling::firing));
    REQUIRE(title_of(message) == "[P2] 2 alerts: cpu.sustained");
    message.items.back().alert.rule = "mem.sustained";
    REQUIRE(title_of(message) == "[P2] 2 alerts");
    message.items = {item(Telling::resolved)};
    message.is_test = true;
    REQUIRE(title_of(message) == "[TEST] [RESOLVED] cpu.sustained on web-1");
}

}  // namespace
}  // namespace ridgeline::collector
