// What a rule costs per sample: one series at a sample a second, in batches of ten as agents send
// them, of one rule by the part of the language it uses and the length of its window.
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "collector/rule/engine.h"
#include "collector/rule/rule_parser.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

constexpr std::int64_t kStartMs = 1'772'445'600'000;
constexpr std::size_t kBatch = 10;

// No restart and no late data here.
class NoHistory final : public SampleHistory {
  public:
    void for_each(std::uint32_t, std::int64_t, std::int64_t,
                  const std::function<void(std::int64_t, double)>&) const override {}
};

std::vector<Rule> rules_from(const std::string& body) {
    auto document =
        ConfigDocument::parse("[[rule]]\nid = \"r\"\nclear_for = \"1m\"\n" + body, "bench.toml");
    auto rules = read_rules(document);
    if (!document.ok()) throw std::runtime_error(to_string(document.errors()));
    return rules;
}

// Values that wander, with some noise, so that percentiles and extremes have work to do.
const std::vector<double>& wandering() {
    static const std::vector<double> values = [] {
        std::vector<double> made(1 << 14);
        for (std::size_t i = 0; i < made.size(); ++i) {
            const auto x = static_cast<double>(i);
            made[i] =
                0.5 + 0.3 * std::sin(x / 300) + 0.1 * std::sin(x * 1.7) + 0.05 * std::cos(x * 12.9);
        }
        return made;
    }();
    return values;
}

void run(benchmark::State& state, const std::string& body, std::int64_t window_s, bool companion) {
    const NoHistory history;
    RuleEngine engine(rules_from(body), history);
    const HostInfo host{"host", "", "", {}, {}};
    const SeriesDescriptor cpu{"system.cpu.utilization", {{"state", "used"}}};
    const SeriesDescriptor load{"system.cpu.load_average.1m", {}};
    std::vector<Transition> out;
    std::vector<std::int64_t> times(kBatch);
    std::vector<double> values(kBatch), others(kBatch);
    const std::vector<double>& wanderings = wandering();
    std::int64_t t = 0;
    const auto batch = [&] {
        for (std::size_t i = 0; i < kBatch; ++i, ++t) {
            times[i] = kStartMs + t * 1000;
            values[i] = wanderings[static_cast<std::size_t>(t) % wanderings.size()];
            others[i] = 5 * values[i];
        }
        engine.on_samples({1, host, cpu, times, values, times.back()}, out);
        if (companion) engine.on_samples({2, host, load, times, others, times.back()}, out);
        engine.finish_batch(out);
    };
    while (t < window_s)
        batch();
    for (auto _ : state)
        batch();
    benchmark::DoNotOptimize(out.data());
    state.counters["s/sample"] =
        benchmark::Counter(static_cast<double>(state.iterations()) * kBatch,
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void plain(benchmark::State& state) {
    run(state, "metric = \"system.cpu.utilization\"\nlevels = [ { at = \"80%\", for = \"5m\" } ]\n",
        0, false);
}
BENCHMARK(plain);

void no_rule_looks_at_it(benchmark::State& state) {
    run(state, "metric = \"system.uptime\"\nlevels = [ { at = 1 } ]\n", 0, false);
}
BENCHMARK(no_rule_looks_at_it);

void window(benchmark::State& state, const char* agg) {
    const std::int64_t window_s = state.range(0);
    run(state,
        "metric = \"system.cpu.utilization\"\nwindow = \"" + std::to_string(window_s) +
            "s\"\nagg = \"" + agg + "\"\nlevels = [ { at = 0.8, for = \"5m\" } ]\n",
        window_s, false);
}
#define WINDOW(agg) BENCHMARK_CAPTURE(window, agg, #agg)->Arg(60)->Arg(3600)->Arg(86'400)
WINDOW(avg);
WINDOW(max);
WINDOW(count);
WINDOW(delta);
WINDOW(p95);

void m_of_n(benchmark::State& state) {
    const std::string n = std::to_string(state.range(0));
    run(state,
        "metric = \"system.cpu.utilization\"\nlevels = [ { at = \"80%\", m_of_n = [" + n + ", " +
            n + "] } ]\n",
        100, false);
}
BENCHMARK(m_of_n)->Arg(5)->Arg(100);

void second_condition(benchmark::State& state) {
    run(state,
        "metric = \"system.cpu.utilization\"\nlevels = [ { at = \"80%\", for = \"5m\" } ]\n"
        "and = { metric = \"system.cpu.load_average.1m\", value = 4 }\n",
        0, true);
}
BENCHMARK(second_condition);

void forecast(benchmark::State& state) {
    run(state,
        "metric = \"system.cpu.utilization\"\nforecast = { reaches = \"100%\", within = \"4h\", "
        "reset_on_drop = 1 }\n"
        "levels = [ { for = \"15m\" } ]\n",
        6 * 3600, false);
}
BENCHMARK(forecast);

}  // namespace

BENCHMARK_MAIN();
