// `ridgeline-collector replay --from T`: runs a replay and prints what came of it.
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "collector/rule/rule_parser.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

struct ReplayCommandOptions {
    std::filesystem::path log_directory;
    std::string from;                          // "2026-03-02T10:00:00Z", or "6h": so long ago
    std::string to;                            // likewise; empty: to the end
    std::vector<std::filesystem::path> rules;  // empty: those in force
    bool diff = false;                         // against those in force
    bool json = false;
};

// Exit code 0: done, 1: the log cannot be read, 2: bad arguments or rules.
int run_replay(const ReplayCommandOptions& options, const std::function<LoadedRules()>& in_force,
               WallTime now, std::ostream& out, std::ostream& errors);

}  // namespace ridgeline::collector
