// A test of rules as its file says it.
//
//   rules = ["host.toml"]            # files and directories beside this file; default: those in
//   force
//   [[test]]
//   name = "CPU fires once, after five minutes"
//   rule = "cpu.sustained"           # default: all of the rules
//   start = "2026-03-02T10:00:00Z"   # default
//   interval = "15s"                 # default
//   until = "30m"                    # time goes on until then; default: the last sample or
//   expectation
//   alerts = 1                       # how many fire in all
//   [[test.series]]
//   host = "web1"                    # default "host1"
//   tags = { role = "web" }
//   metric = "system.cpu.utilization"
//   attributes = { state = "used" }
//   values = "70%x19 85%x40 60%x20"  # series_notation.h
//   from = "0s"                      # when the first value is
//   held_until = "0s"                # nothing of it is received before: an outage
//   [[test.expect]]
//   at = "10m"
//   state = "firing"                 # ok, pending, firing or clearing
//   stale = true                     # its data have stayed away
//   severity = "P3"
//   value = "85%"
//   summary = "web1: CPU 85.0% for 5m"
//   alerts = 1                       # how many have fired so far
//
// A host sends a batch at each instant at which it has samples; what is held comes as backlog. Time
// passes as in the service, a tick a second, so silent hosts, missing data and fleets are judged.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/rule/rule.h"
#include "common/base/clock.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

struct TestSeries {
    std::string host;
    std::map<std::string, std::string> tags;
    SeriesDescriptor series;
    std::string unit;
    std::vector<std::optional<double>> values;  // one per interval
    std::chrono::milliseconds interval{};
    std::chrono::milliseconds from{};
    std::chrono::milliseconds held_until{};  // nothing is received before: an outage
};

struct Expectation {
    ConfigPlace place;
    std::chrono::milliseconds at{};
    std::string rule;
    std::string host;                               // empty: any
    std::map<std::string, std::string> attributes;  // of the alert; those not named may be anything
    std::optional<std::string> state;
    std::optional<bool> stale;
    std::optional<Severity> severity;
    std::optional<std::string> value;  // a quantity in the unit of the rule's value
    std::optional<std::string> summary;
    std::optional<std::uint64_t> alerts;
};

struct RuleTest {
    ConfigPlace place;
    std::string name;
    std::string rule;  // empty: all
    WallTime start;
    std::vector<TestSeries> series;
    std::vector<Expectation> expect;
    std::chrono::milliseconds until{};  // at least
    std::optional<std::uint64_t> alerts;
};

struct RuleTestFile {
    std::vector<std::filesystem::path> rules;  // empty: not named
    std::vector<RuleTest> tests;
};

// What is wrong is in document.errors(), and then the result must not be used. `directory`: what
// relative paths begin from.
RuleTestFile read_rule_tests(ConfigDocument& document, const std::filesystem::path& directory);

}  // namespace ridgeline::collector
