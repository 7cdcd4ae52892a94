// The same samples come to the same end, however they come: in other batches, in another order
// within them, twice, with restarts between, or late.
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using test::Story;

namespace {

// One rule for each part of the language that keeps something in mind.
const std::string kRules = R"(
[[rule]]
id = "plain"
metric = "system.cpu.utilization"
levels = [ { at = 0.8, for = "60s", severity = "P3" }, { at = 0.9, for = "120s", severity = "P1" } ]
clear = 0.7
clear_for = "45s"
[[rule]]
id = "three.levels"
metric = "system.cpu.utilization"
levels = [ { at = 0.6, severity = "P4" }, { at = 0.75, severity = "P3" }, { at = 0.9, severity = "P1" } ]
clear = 0.55
clear_for = "40s"
[[rule]]
id = "avg"
metric = "system.cpu.utilization"
window = "90s"
min_coverage = 0.5
levels = [ { at = 0.75, for = "30s" } ]
clear = 0.7
clear_for = "30s"
[[rule]]
id = "p90"
metric = "system.cpu.utilization"
window = "3m"
agg = "p90"
levels = [ { at = 0.85 } ]
[[rule]]
id = "least"
metric = "system.cpu.utilization"
window = "2m"
agg = "max"
op = "<"
levels = [ { at = 0.8 } ]
[[rule]]
id = "slots"
metric = "system.cpu.utilization"
min_coverage = 0.5
levels = [ { at = 0.8, m_of_n = [4, 8] } ]
clear_for = "30s"
[[rule]]
id = "minutes"
metric = "system.cpu.utilization"
slot = "1m"
levels = [ { at = 0.85, m_of_n = [3, 5] } ]
[[rule]]
id = "rate"
metric = "system.network.errors"
agg = "rate"
window = "2m"
min_coverage = 0.4
levels = [ { at = 2, for = "30s" } ]
clear = 1.5
[[rule]]
id = "ratio"
metric = "system.network.errors"
agg = "delta"
window = "2m"
min_coverage = 0.4
divide_by = { metric = "system.network.packets" }
levels = [ { at = "2%" } ]
[[rule]]
id = "both"
metric = "system.cpu.utilization"
levels = [ { at = 0.75, for = "45s" } ]
and = { metric = "system.cpu.load_average.1m", op = ">", value = 4, clear = 3 }
[[rule]]
id = "soon"
metric = "system.filesystem.usage"
where = { state = "used" }
forecast = { reaches = "system.filesystem.limit", within = "30m", window = "10m", min_points = 8 }
levels = [ { for = "30s" } ]
)";

struct Instant {
    double t;
    std::vector<Story::Given> samples;
};

// Ninety minutes of a host: holes, lost samples, a counter that is reset, a reboot, a disk that
// fills.
std::vector<Instant> recorded(unsigned seed) {
    std::mt19937 rng(seed);
    std::vector<Instant> out;
    double t = 0, cpu = 0.5, load = 2, errors = 1000, packets = 1e6, used = 100;
    double boot = Story::kStartMs / 1000.0 - 1e6;
    const Attributes link = {{"direction", "receive"}, {"interface", "eth0"}};
    const Attributes fs = {{"device", "sda"}, {"mountpoint", "/"}};
    Attributes fs_used = fs;
    fs_used.push_back({"state", "used"});
    for (int i = 0; i < 360; ++i) {
        const auto luck = static_cast<unsigned>(rng() % 60);
        t += luck == 0 ? 75 + static_cast<double>(rng() % 200) : luck < 4 ? 30 : 15;
        if (luck == 0 && rng() % 3 == 0) {
            boot = Story::kStartMs / 1000.0 + t - 20;
            errors = static_cast<double>(rng() % 2000);
        }
        if (rng() % 8 == 0) cpu = 0.5 + 0.05 * static_cast<double>(rng() % 10);
        if (rng() % 12 == 0) load = static_cast<double>(rng() % 8);
        errors += static_cast<double>(rng() % (i / 60 % 2 == 0 ? 20 : 90));
        packets += 1500 + static_cast<double>(rng() % 500);
        used += static_cast<double>(rng() % (i / 90 % 2 == 0 ? 4 : 10)) - 1;
        if (used > 980) used = 300;
        if (rng() % 100 == 0) errors = 0;
        Instant now{t, {}};
        now.samples.push_back({0, {"system.cpu.utilization", {{"state", "used"}}}, t, cpu});
        if (rng() % 10 != 0)
            now.samples.push_back({1, {"system.cpu.load_average.1m", {}}, t, load});
        now.samples.push_back({2, {"system.network.errors", link}, t, errors});
        if (rng() % 10 != 0)
            now.samples.push_back({3, {"system.network.packets", link}, t, packets});
        now.samples.push_back({4, {"system.filesystem.usage", fs_used}, t, used});
        if (i % 4 == 0) now.samples.push_back({5, {"system.filesystem.limit", fs}, t, 1000});
        if (i % 2 == 0) now.samples.push_back({6, {"system.boot_time", {}}, t, boot});
        out.push_back(std::move(now));
    }
    return out;
}

// What came of it, the transitions of each alert by themselves.
std::map<std::string, std::string> by_key(const Story& story) {
    std::map<std::string, std::string> told;
    for (const Transition& t : story.transitions()) {
        told[t.key] += std::to_string((t.time_ms - Story::kStartMs) / 1000) + ':' +
                       std::string(change_word(t.change)) + ':' +
                       std::string(to_string(t.severity)) + ':' +
                       std::to_string((t.since_ms - Story::kStartMs) / 1000) + ':' +
                       std::to_string(t.value) + '\n';
    }
    return told;
}

}  // namespace

TEST_CASE("19, 20: batches, order within them, repetition and restarts change nothing",
          "[replay]") {
    std::size_t transitions = 0;
    std::map<std::string, std::size_t> of_rule;
    for (unsigned seed = 0; seed < 40; ++seed) {
        const auto instants = recorded(seed);
        Story plain(kRules);
        for (const Instant& instant : instants)
            plain.batch(instant.samples);
        transitions += plain.transitions().size();
        for (const Transition& t : plain.transitions())
            ++of_rule[t.rule];

        std::mt19937 rng(seed + 1000);
        Story other(kRules);
        std::vector<Story::Given> before;
        for (std::size_t i = 0; i < instants.size();) {
            std::vector<Story::Given> batch;
            // No batch is so long that its beginning is not live any more.
            const double first = instants[i].t;
            for (std::size_t n = 1 + rng() % 4;
                 n > 0 && i < instants.size() && instants[i].t < first + 100; --n, ++i)
                batch.insert(batch.end(), instants[i].samples.begin(), instants[i].samples.end());
            std::shuffle(batch.begin(), batch.end(), rng);
            if (rng() % 6 == 0) other.restart();
            other.batch(batch);
            if (rng() % 6 == 0) other.batch(batch);
            if (rng() % 20 == 0) other.batch(before);
            before = batch;
        }
        INFO("seed " << seed);
        const auto want = by_key(plain);
        const auto got = by_key(other);
        for (const auto& [key, told] : want) {
            const auto found = got.find(key);
            INFO(key);
            CHECK((found == got.end() ? "nothing" : found->second) == told);
        }
        CHECK(got.size() == want.size());
    }
    // The stories are not dull: every rule had its say.
    CHECK(transitions > 1000);
    CHECK(of_rule.size() == 11);
    for (const auto& [rule, count] : of_rule) {
        INFO(rule);
        CHECK(count >= 10);
    }
}

TEST_CASE("20: samples that come late, in any order, lead to the same state", "[replay]") {
    for (unsigned seed = 0; seed < 40; ++seed) {
        const auto instants = recorded(seed);
        Story plain(kRules);
        for (const Instant& instant : instants)
            plain.batch(instant.samples);
        // Each batch up to 90 s late, which is within every rule's horizon.
        std::mt19937 rng(seed);
        std::vector<std::pair<double, std::size_t>> arrival;
        for (std::size_t i = 0; i < instants.size(); ++i)
            arrival.emplace_back(
                instants[i].t + (i + 20 < instants.size() ? static_cast<double>(rng() % 90) : 0.0),
                i);
        std::sort(arrival.begin(), arrival.end());
        Story late(kRules);
        for (const auto& [at, i] : arrival)
            late.batch(instants[i].samples, at - instants[i].t);
        // After twenty minutes of calm, and again of alarm, nothing of the disorder is left.
        double t = instants.back().t;
        for (const double cpu : {0.2, 0.95}) {
            for (int i = 0; i < 80; ++i) {
                t += 15;
                for (Story* story : {&plain, &late})
                    story->batch({{0, {"system.cpu.utilization", {{"state", "used"}}}, t, cpu},
                                  {1, {"system.cpu.load_average.1m", {}}, t, 10 * cpu}});
            }
            std::map<std::string, std::size_t> want, got;
            for (const FiringCondition& condition : plain.engine().firing())
                want[condition.key] = condition.firing.level;
            for (const FiringCondition& condition : late.engine().firing())
                got[condition.key] = condition.firing.level;
            // Those of series that ended in disorder keep what they had; the CPU's do not.
            for (auto* map : {&want, &got}) {
                std::erase_if(*map, [](const auto& entry) {
                    return entry.first.starts_with("rate") || entry.first.starts_with("ratio") ||
                           entry.first.starts_with("soon");
                });
            }
            INFO("seed " << seed << " cpu " << cpu);
            CHECK(got == want);
        }
    }
}
