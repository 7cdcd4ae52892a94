// Samples a second through the collector on one core: a hundred hosts' batches of 10 s, from the
// bytes an agent sends to the rule evaluated. fsync is left out (it waits for the disk, not the
// core).
#include <random>

#include <benchmark/benchmark.h>

#include "collector/evaluation.h"
#include "collector/ingest/ingest.h"
#include "collector/rule/rule_parser.h"
#include "common/wire/block_codec.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

constexpr int kHosts = 100;
constexpr std::size_t kSeries = 129;
constexpr std::size_t kTicks = 10;

// A host's usual mix: counters, gauges that move, and figures that stay.
Schema make_schema() {
    SchemaGroup group{"all", {}};
    group.series.push_back({"system.cpu.utilization", {{"state", "used"}}});
    group.series.push_back({"system.memory.utilization", {{"state", "used"}}});
    for (int i = 0; i < 8; ++i) {
        group.series.push_back(
            {"system.filesystem.utilization",
             {{"mountpoint", "/data" + std::to_string(i)}, {"state", "used"}, {"type", "ext4"}}});
        group.series.push_back(
            {"system.network.utilization",
             {{"direction", "receive"}, {"interface", "eth" + std::to_string(i)}}});
    }
    for (int i = 0; group.series.size() < kSeries; ++i) {
        group.series.push_back(
            {"system.disk.io", {{"device", "sd" + std::to_string(i)}, {"direction", "read"}}});
    }
    return {{group}};
}

// The frames an agent would send for batch number `n`.
std::string make_batch(const Schema& schema, int host, std::uint64_t n, std::int64_t start_ms,
                       std::mt19937& rng) {
    SampleGroup group;
    group.series_count = kSeries;
    for (std::size_t t = 0; t < kTicks; ++t)
        group.timestamps_ms.push_back(start_ms + static_cast<std::int64_t>(t) * 1000);
    for (std::size_t s = 0; s < kSeries; ++s) {
        double value = static_cast<double>(n * 40960 + s);
        for (std::size_t t = 0; t < kTicks; ++t) {
            if (s < 18)
                value = static_cast<double>(3000 + rng() % 2000) / 10'000;
            else if (s % 2 == 0)
                value += static_cast<double>(rng() % 8192);
            group.values.push_back(value);
        }
    }
    wire::BatchBody body;
    body.schema_hash = schema_hash(schema);
    body.sample_count = kSeries * kTicks;
    body.columns = wire::encode_block({{group}});
    return wire::encode(
        wire::Batch{"host-" + std::to_string(host), 1, n, false, wire::encode_body(body)});
}

void from_bytes_to_rule(benchmark::State& state) {
    const test::TempDir dir;
    test::ManualClock clock;
    const auto storage = open_directory_storage(dir.path() / "log").value();
    LogOptions options;
    const auto log = Log::open(*storage, options, clock).value();
    // What one host may send is not what is measured here.
    IngestLimits limits;
    limits.quota = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, std::chrono::hours{1}};
    Ingest ingest(*log, clock, limits);
    auto book = AlertBook::open(dir.path() / "state.db", clock.wall_now()).value();
    LoadedRules rules = load_rules(RIDGELINE_RULES, "/nonexistent");
    auto evaluation = Evaluation::open(*log, {}, std::move(rules.rules), std::move(book.book),
                                       clock, [](const Transition&) {})
                          .value();

    const Schema schema = make_schema();
    std::vector<Outgoing> out;
    for (int host = 0; host < kHosts; ++host) {
        const std::string id = "host-" + std::to_string(host);
        wire::Hello hello;
        hello.host_id = id;
        hello.epoch = 1;
        ingest.on_message(id, id, wire::encode(hello), out);
        ingest.on_message(id, id, wire::encode(wire::SchemaReply{schema_hash(schema), schema}),
                          out);
    }
    std::mt19937 rng(1);
    std::uint64_t n = 0;
    std::uint64_t bytes = 0;
    for (auto _ : state) {
        state.PauseTiming();
        ++n;
        clock.advance(10s);
        std::vector<std::string> frames;
        for (int host = 0; host < kHosts; ++host) {
            frames.push_back(
                make_batch(schema, host, n, to_unix_ms(clock.wall_now()) - 10'000, rng));
            bytes += frames.back().size();
        }
        out.clear();
        state.ResumeTiming();
        for (int host = 0; host < kHosts; ++host) {
            const std::string id = "host-" + std::to_string(host);
            ingest.on_message(id, id, frames[static_cast<std::size_t>(host)], out);
        }
        log->finish_sync(log->begin_sync(), {});
        ingest.on_durable(log->durable_position(), out);
        while (evaluation->pump(64).value()) {
        }
    }
    const auto samples = static_cast<double>(n * kHosts * kSeries * kTicks);
    if (ingest.stats().batches != n * kHosts ||
        evaluation->series().stats().samples != n * kHosts * kSeries * kTicks) {
        state.SkipWithError("not every batch was taken in");
    }
    state.counters["samples/s"] = benchmark::Counter(samples, benchmark::Counter::kIsRate);
    state.counters["wire_bytes/sample"] = static_cast<double>(bytes) / samples;
}
BENCHMARK(from_bytes_to_rule)->Unit(benchmark::kMillisecond)->MinTime(3);

}  // namespace

BENCHMARK_MAIN();
