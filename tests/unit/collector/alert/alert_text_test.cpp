#include "collector/alert/alert_text.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("a transition is one line, whatever its texts hold", "[alert_text]") {
    Transition t;
    t.change = Change::fired;
    t.rule = "cpu.sustained";
    t.host = "web1";
    t.severity = Severity::p3;
    t.time_ms = 1'772'445'600'000;
    t.summary = "web1: CPU 93.1% for 5m";
    CHECK(alert_line(t) ==
          "2026-03-02T10:00:00Z FIRING   P3 cpu.sustained host=web1: web1: CPU 93.1% for 5m");
    t.change = Change::resolved;
    t.reason = "rule removed";
    t.summary = "a\nb\x1b[31m";
    const std::string line = alert_line(t);
    CHECK(line.find("RESOLVED P3") != std::string::npos);
    CHECK(line.find("(rule removed)") != std::string::npos);
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find('\x1b') == std::string::npos);
}
