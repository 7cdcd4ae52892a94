#include "collector/trial/rule_source.h"

namespace ridgeline::collector {

namespace {

LoadedRules load_path(const std::filesystem::path& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return load_rules({}, path);
    ConfigDocument document = ConfigDocument::load(path);
    LoadedRules loaded;
    loaded.rules = read_rules(document);
    loaded.errors = document.errors();
    return loaded;
}

}  // namespace

LoadedRules load_rule_paths(const std::vector<std::filesystem::path>& paths) {
    LoadedRules all;
    for (const auto& path : paths) {
        LoadedRules loaded = load_path(path);
        all.errors.insert(all.errors.end(), loaded.errors.begin(), loaded.errors.end());
        if (!loaded.errors.empty()) continue;
        for (Rule& rule : loaded.rules) {
            std::erase_if(all.rules, [&](const Rule& other) { return other.id == rule.id; });
            all.rules.push_back(std::move(rule));
        }
    }
    std::erase_if(all.rules, [](const Rule& rule) { return !rule.enabled; });
    return all;
}

}  // namespace ridgeline::collector
