// Rule files: what is accepted without an error is fit for use, with every override, and can be
// judged by.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "collector/rule/condition.h"
#include "collector/rule/rule.h"
#include "collector/rule/rule_parser.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

namespace {

void check(const collector::Rule& rule) {
    fuzz::expect(rule.metric != nullptr && !rule.levels.empty(), "a rule has a metric and a level");
    const collector::HostInfo host;
    const SeriesDescriptor series{std::string(rule.metric->name), {{"state", "used"}}};
    for (std::size_t i = 0; i < rule.levels.size(); ++i) {
        const collector::Level& level = rule.levels[i];
        fuzz::expect(std::isfinite(level.at), "a level is a number");
        fuzz::expect(std::isfinite(rule.clear_threshold(i)), "so is where it clears");
        fuzz::expect(!level.slots || (level.slots->m >= 1 && level.slots->m <= level.slots->n &&
                                      level.slots->n <= collector::Slots::kMax),
                     "m of n is possible");
        (void)rule.summary.render({host,
                                   {},
                                   rule.id,
                                   "P1",
                                   level.at,
                                   level.at,
                                   rule.unit,
                                   rule.metric->unit,
                                   level.sustained,
                                   {}});
    }
    (void)rule.selects(host, series);
    // And a condition can be made of it.
    collector::Condition condition(rule);
    for (std::int64_t t = 0; t < 200; ++t) {
        for (std::size_t c = 0; c < rule.companions.size(); ++c)
            condition.on_companion(rule, c, t * 10'000, static_cast<double>(t));
        (void)condition.on_sample(rule, t * 10'000, static_cast<double>(t * t % 37), t * 10'000);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    ConfigDocument document = ConfigDocument::parse(text, "fuzz.toml");
    const auto rules = collector::read_rules(document);
    if (!document.ok()) return 0;
    for (const collector::Rule& rule : rules) {
        fuzz::expect(!rule.id.empty(), "a rule has an id");
        if (!rule.enabled) continue;
        check(rule);
        for (std::size_t i = 0; i < rule.overrides.size(); ++i)
            check(collector::with_overrides(rule, 1U << i));
        check(collector::with_overrides(rule, UINT32_MAX));
    }
    return 0;
}
