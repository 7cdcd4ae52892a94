// Rule files: what is accepted without an error is fit for use.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "collector/rule/rule.h"
#include "collector/rule/rule_parser.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    ConfigDocument document = ConfigDocument::parse(text, "fuzz.toml");
    const auto rules = collector::read_rules(document);
    if (!document.ok()) return 0;
    for (const collector::Rule& rule : rules) {
        fuzz::expect(!rule.id.empty(), "a rule has an id");
        if (!rule.enabled) continue;
        fuzz::expect(rule.metric != nullptr && !rule.levels.empty(),
                     "a rule has a metric and a level");
        for (std::size_t i = 0; i < rule.levels.size(); ++i) {
            fuzz::expect(std::isfinite(rule.levels[i].at), "a level is a number");
            fuzz::expect(std::isfinite(rule.clear_threshold(i)), "so is where it clears");
            (void)collector::render_summary(rule, "host", {}, rule.levels[i].at, rule.levels[i],
                                            rule.levels[i].sustained);
        }
        (void)rule.selects({}, {std::string(rule.metric->name), {{"state", "used"}}});
    }
    return 0;
}
