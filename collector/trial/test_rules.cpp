#include "collector/trial/test_rules.h"

#include "collector/trial/rule_source.h"
#include "collector/trial/rule_test_run.h"
#include "common/base/json_writer.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

enum ExitCode : int { kPassed = 0, kFailed = 1, kBadFile = 2 };

constexpr std::size_t kLineMax = 2000;  // of a failure; summaries may be long

std::string where(const ConfigPlace& place) {
    return place.file + ':' + std::to_string(place.line) + ':' + std::to_string(place.column);
}

// nullopt: a file is wrong; `errors` has been told.
std::optional<std::vector<TestOutcome>> run_file(const std::filesystem::path& path,
                                                 const TestRulesOptions& options,
                                                 const std::function<LoadedRules()>& in_force,
                                                 std::ostream& errors) {
    ConfigDocument document = ConfigDocument::load(path);
    const RuleTestFile file = read_rule_tests(document, path.parent_path());
    if (!document.ok()) {
        errors << to_string(document.errors());
        return {};
    }
    const auto& paths = options.rules.empty() ? file.rules : options.rules;
    const LoadedRules loaded = paths.empty() ? in_force() : load_rule_paths(paths);
    if (!loaded.errors.empty()) {
        errors << to_string(loaded.errors);
        return {};
    }
    std::vector<TestOutcome> outcomes;
    for (const RuleTest& test : file.tests)
        outcomes.push_back(run_rule_test(test, loaded.rules));
    return outcomes;
}

void print(const TestOutcome& outcome, std::ostream& out) {
    if (outcome.failures.empty()) return;
    out << "FAILED " << printable(outcome.name, kLineMax) << '\n';
    for (const TestFailure& failure : outcome.failures) {
        out << "  " << where(failure.place) << ": ";
        if (!failure.at.empty()) out << "at " << failure.at << ": ";
        out << "expected " << printable(failure.expected, kLineMax) << ", got "
            << printable(failure.got, kLineMax) << '\n';
        for (const std::string& line : failure.values)
            out << "      " << printable(line, kLineMax) << '\n';
    }
}

std::string to_json(const std::vector<TestOutcome>& outcomes, std::size_t failed) {
    JsonWriter json;
    json.begin_object();
    json.field("passed", static_cast<std::uint64_t>(outcomes.size() - failed));
    json.field("failed", static_cast<std::uint64_t>(failed));
    json.key("tests").begin_array();
    for (const TestOutcome& outcome : outcomes) {
        json.begin_object();
        json.field("name", outcome.name);
        json.field("file", outcome.place.file);
        json.field("line", std::uint64_t{outcome.place.line});
        json.field("passed", outcome.failures.empty());
        json.key("failures").begin_array();
        for (const TestFailure& failure : outcome.failures) {
            json.begin_object();
            json.field("line", std::uint64_t{failure.place.line});
            json.field("at", failure.at);
            json.field("expected", failure.expected);
            json.field("got", failure.got);
            json.key("values").begin_array();
            for (const std::string& line : failure.values)
                json.value(line);
            json.end_array().end_object();
        }
        json.end_array().end_object();
    }
    json.end_array().end_object();
    return json.text() + '\n';
}

}  // namespace

int run_test_rules(const TestRulesOptions& options, const std::function<LoadedRules()>& in_force,
                   std::ostream& out, std::ostream& errors) {
    std::vector<TestOutcome> outcomes;
    std::size_t failed = 0;
    bool bad = false;
    for (const auto& path : options.files) {
        auto ran = run_file(path, options, in_force, errors);
        if (!ran) {
            bad = true;
            continue;
        }
        for (TestOutcome& outcome : *ran) {
            if (!outcome.failures.empty()) ++failed;
            if (!options.json) print(outcome, out);
            outcomes.push_back(std::move(outcome));
        }
    }
    if (options.json) {
        out << to_json(outcomes, failed);
    } else {
        out << outcomes.size() - failed << " passed, " << failed << " failed\n";
    }
    if (bad) return kBadFile;
    return failed == 0 ? kPassed : kFailed;
}

}  // namespace ridgeline::collector
