// `ridgeline-collector test-rules FILE…`.
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <vector>

#include "collector/rule/rule_parser.h"

namespace ridgeline::collector {

struct TestRulesOptions {
    std::vector<std::filesystem::path> files;
    std::vector<std::filesystem::path> rules;  // in place of those that the files name
    bool json = false;
};

// `in_force`: the rules for files that name none. Exit code 0: all passed, 1: one failed, 2: a file
// of tests or of rules is wrong, or there is none.
int run_test_rules(const TestRulesOptions& options, const std::function<LoadedRules()>& in_force,
                   std::ostream& out, std::ostream& errors);

}  // namespace ridgeline::collector
