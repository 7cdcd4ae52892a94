// Samples a second through the collector on one core: a hundred hosts' batches of 10 s, from the
// bytes an agent sends to the rule evaluated. fsync is left out (it waits for the disk, not the
// core). And what a sample costs, and a series takes, with the rules that alerting.py sets beside
// Prometheus'.
#include <array>
#include <random>

#include <benchmark/benchmark.h>
#include <malloc.h>

#include "collector/evaluation.h"
#include "collector/ingest/ingest.h"
#include "collector/rule/rule_parser.h"
#include "common/wire/block_codec.h"
#include "tests/bench/swarm_host.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace ridgeline::bench;
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

// A fleet as the swarm plays it, from the bytes its agents send to the rules evaluated, with the
// ticks and checkpoints that come with time. Without rules, what is missing is their evaluation.
class Fleet {
  public:
    Fleet(std::size_t batch_seconds, const char* rules)
        : batch_seconds_(batch_seconds),
          storage_(open_directory_storage(dir_.path() / "log").value()),
          log_(Log::open(*storage_, {}, clock_).value()),
          ingest_(*log_, clock_, limits()),
          evaluation_(Evaluation::open(
                          *log_, {}, load_rules(rules, "/nonexistent").rules,
                          AlertBook::open(dir_.path() / "state.db", clock_.wall_now()).value().book,
                          clock_, [](const Transition&) {})
                          .value()) {
        epoch_ms_ = to_unix_ms(clock_.wall_now());
        for (std::size_t i = 0; i < kKinds; ++i)
            kinds_.emplace_back(recording_, i, kFleetSeries);
        for (std::size_t host = 0; host < kHosts; ++host) {
            wire::Hello hello;
            hello.host_id = id_of(host);
            hello.epoch = 1;
            ingest_.on_message(id_of(host), id_of(host), wire::encode(hello), out_);
            const HostKind& kind = kinds_[host % kKinds];
            ingest_.on_message(id_of(host), id_of(host),
                               wire::encode(wire::SchemaReply{kind.hash(), kind.schema()}), out_);
        }
    }

    // The messages of the next ten seconds, by second.
    void prepare() {
        for (std::vector<std::string>& frames : frames_) {
            frames.clear();
            ++second_;
            if (second_ % batch_seconds_ != 0) continue;
            const auto newest_ms = epoch_ms_ + static_cast<std::int64_t>(second_) * 1000;
            for (std::size_t host = 0; host < kHosts; ++host)
                frames.push_back(message(host, newest_ms));
        }
    }
    void run() {
        for (const std::vector<std::string>& frames : frames_) {
            clock_.advance(1s);
            out_.clear();
            for (std::size_t host = 0; host < frames.size(); ++host)
                ingest_.on_message(id_of(host), id_of(host), frames[host], out_);
            log_->finish_sync(log_->begin_sync(), {});
            ingest_.on_durable(log_->durable_position(), out_);
            while (evaluation_->pump(64).value()) {
            }
            evaluation_->tick();
            if (++ran_ % 5 == 0) evaluation_->checkpoint();
        }
    }
    void drop_messages() {
        for (std::vector<std::string>& frames : frames_)
            frames = {};
    }
    std::uint64_t samples() const { return evaluation_->series().stats().samples; }
    std::size_t series() const { return evaluation_->series().series_count(); }
    std::size_t conditions() const { return evaluation_->engine().condition_count(); }
    bool lost_some() const { return ingest_.stats().batches != second_ / batch_seconds_ * kHosts; }

  private:
    static constexpr std::size_t kKinds = 20;
    static constexpr std::size_t kFleetSeries = 120;

    static IngestLimits limits() {
        IngestLimits limits;
        limits.quota = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, std::chrono::hours{1}};
        return limits;
    }
    static std::string id_of(std::size_t host) { return "host-" + std::to_string(host); }
    std::string message(std::size_t host, std::int64_t newest_ms) const {
        const HostKind& kind = kinds_[host % kKinds];
        const SampleBlock block = kind.block(
            {host, epoch_ms_}, newest_ms - static_cast<std::int64_t>(batch_seconds_ - 1) * 1000,
            batch_seconds_);
        wire::BatchBody body;
        body.schema_hash = kind.hash();
        body.sample_count = static_cast<std::uint32_t>(block.sample_count());
        body.columns = wire::encode_block(block);
        return wire::encode(
            wire::Batch{id_of(host), 1, second_ / batch_seconds_, false, wire::encode_body(body)});
    }

    std::size_t batch_seconds_;
    const test::TempDir dir_;
    test::ManualClock clock_;
    std::vector<RecordedSeries> recording_ = load_recording().value();
    std::vector<HostKind> kinds_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<Log> log_;
    Ingest ingest_;
    std::unique_ptr<Evaluation> evaluation_;
    std::vector<Outgoing> out_;
    std::array<std::vector<std::string>, 10> frames_;
    std::int64_t epoch_ms_ = 0;
    std::uint64_t second_ = 0;
    std::uint64_t ran_ = 0;
};

void fleet(benchmark::State& state, const char* rules) {
    constexpr int kSettleSeconds = 600;  // until the rules' windows are full
    const std::size_t before = mallinfo2().uordblks;
    Fleet fleet(static_cast<std::size_t>(state.range(0)), rules);
    for (int s = 0; s < kSettleSeconds; s += 10) {
        fleet.prepare();
        fleet.run();
    }
    const std::uint64_t settled = fleet.samples();
    for (auto _ : state) {
        state.PauseTiming();
        fleet.prepare();
        state.ResumeTiming();
        fleet.run();
    }
    if (fleet.lost_some()) state.SkipWithError("not every batch was taken in");
    fleet.drop_messages();
    state.counters["s/sample"] =
        benchmark::Counter(static_cast<double>(fleet.samples() - settled),
                           benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.counters["By/series"] =
        static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(fleet.series());
    state.counters["conditions"] = static_cast<double>(fleet.conditions());
}
BENCHMARK_CAPTURE(fleet, thirty_rules, RIDGELINE_BENCH_RULES)
    ->Arg(1)
    ->Arg(10)
    ->Iterations(20)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(fleet, no_rules, "/nonexistent")
    ->Arg(1)
    ->Arg(10)
    ->Iterations(20)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
