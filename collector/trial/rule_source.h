// Where the rules that are tried come from: files and directories named by hand, or those in force.
#pragma once

#include <filesystem>
#include <vector>

#include "collector/rule/rule_parser.h"

namespace ridgeline::collector {

// A rule in a later path replaces the one with its id in an earlier one. A path that is not there
// is an error. Those that are switched off are left out.
LoadedRules load_rule_paths(const std::vector<std::filesystem::path>& paths);

}  // namespace ridgeline::collector
