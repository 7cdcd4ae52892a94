// Runs one test of rules on the real engine, on the time that the test says.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "collector/trial/rule_test.h"

namespace ridgeline::collector {

struct TestFailure {
    ConfigPlace place;
    std::string at;  // "4m45s (2026-03-02T10:04:45Z)", or empty: of the whole test
    std::string expected;
    std::string got;
    // What the rule looked at until then: "web1 system.cpu.utilization{…}: 70.0%x4 85.0%"
    std::vector<std::string> values;
};

struct TestOutcome {
    std::string name;
    ConfigPlace place;
    std::vector<TestFailure> failures;
};

TestOutcome run_rule_test(const RuleTest& test, std::span<const Rule> rules);

}  // namespace ridgeline::collector
