#include "collector/rule/rule_parser.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "collector/rule/rule_reader.h"

namespace ridgeline::collector {

namespace {

std::vector<std::filesystem::path> toml_files(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() == ".toml") files.push_back(it->path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

std::vector<Rule> read_rules(ConfigDocument& document) {
    ConfigTable root = document.root();
    std::vector<Rule> rules;
    std::set<std::string> ids;
    const RuleDefaults defaults = read_rule_defaults(root.table("defaults"));
    for (ConfigTable& table : root.tables("rule")) {
        auto rule = read_rule(table, defaults);
        if (!rule) continue;
        if (!ids.insert(rule->id).second)
            table.error_at("id", "there is another rule \"" + rule->id + "\" in this file");
        rules.push_back(std::move(*rule));
    }
    root.close();
    return rules;
}

LoadedRules load_rules(const std::filesystem::path& packaged, const std::filesystem::path& own) {
    LoadedRules loaded;
    std::vector<Rule> all;
    for (const auto& directory : {packaged, own}) {
        std::map<std::string, std::string> seen;  // id -> file, within this directory
        for (const auto& file : toml_files(directory)) {
            ConfigDocument document = ConfigDocument::load(file);
            std::vector<Rule> rules = read_rules(document);
            for (const Rule& rule : rules) {
                const auto [it, added] = seen.emplace(rule.id, file.string());
                if (!added && it->second != file.string()) {
                    document.add_error({file.string(), 0, 0},
                                       "rule \"" + rule.id + "\" is also in " + it->second);
                }
            }
            if (!document.ok()) {
                loaded.errors.insert(loaded.errors.end(), document.errors().begin(),
                                     document.errors().end());
                loaded.bad_files.push_back(file.string());
                continue;
            }
            for (Rule& rule : rules) {
                rule.file = file.string();
                std::erase_if(all, [&](const Rule& other) { return other.id == rule.id; });
                all.push_back(std::move(rule));
            }
        }
    }
    const auto off = std::stable_partition(all.begin(), all.end(),
                                           [](const Rule& rule) { return rule.enabled; });
    loaded.disabled.assign(std::make_move_iterator(off), std::make_move_iterator(all.end()));
    all.erase(off, all.end());
    loaded.rules = std::move(all);
    return loaded;
}

void keep_rules_of_bad_files(LoadedRules& loaded, std::span<const Rule> before,
                             std::span<const Rule> disabled_before,
                             const std::filesystem::path& own) {
    const auto is_own = [&](const Rule& rule) {
        return std::filesystem::path(rule.file).parent_path() == own;
    };
    const auto keep = [&](const Rule& rule) {
        if (std::find(loaded.bad_files.begin(), loaded.bad_files.end(), rule.file) ==
            loaded.bad_files.end())
            return;
        const auto goes_on = [&](const Rule& other) {
            return other.id == rule.id && (is_own(other) || !is_own(rule));
        };
        for (std::vector<Rule>* rules : {&loaded.rules, &loaded.disabled}) {
            if (std::any_of(rules->begin(), rules->end(), goes_on)) return;
        }
        for (std::vector<Rule>* rules : {&loaded.rules, &loaded.disabled})
            std::erase_if(*rules, [&](const Rule& other) { return other.id == rule.id; });
        (rule.enabled ? loaded.rules : loaded.disabled).push_back(rule);
    };
    for (const auto& rules : {before, disabled_before})
        std::for_each(rules.begin(), rules.end(), keep);
}

}  // namespace ridgeline::collector
