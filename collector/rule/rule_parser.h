// Reads rules from TOML, strictly: an unknown metric, attribute, key or unit is refused with its
// place, and nothing a file says is silently ignored. One bad file does not keep the others from
// being used.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "collector/rule/rule.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

// The rules of one document; what is wrong is in document.errors(), and then the result must not be
// used.
std::vector<Rule> read_rules(ConfigDocument& document);

struct LoadedRules {
    std::vector<Rule> rules;          // of the good files; those switched off are left out
    std::vector<Rule> disabled;       // those switched off
    std::vector<ConfigError> errors;  // of the bad ones
    std::vector<std::string> bad_files;
};
// All *.toml in `packaged` and then in `own`, in name order. A rule in `own` replaces the packaged
// one with its id. A missing directory holds no rules.
LoadedRules load_rules(const std::filesystem::path& packaged, const std::filesystem::path& own);

// For a reload: the rules of files that are bad now go on as they were, and what such a file
// switched off stays off, unless a good file has one of their id. A packaged file does not count as
// one where the bad one is in `own`, which had replaced the packaged rule.
void keep_rules_of_bad_files(LoadedRules& loaded, std::span<const Rule> before,
                             std::span<const Rule> disabled_before,
                             const std::filesystem::path& own);

}  // namespace ridgeline::collector
