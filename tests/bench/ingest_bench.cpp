// The collector's way of a sample: decode, log append, read back, window, rules.
//
// One thread; batches of ten seconds of 129 series from 100 hosts, in memory before the clock
// starts. The log is on disk but not fsynced. Rules are the packaged ones. The figure is
// items_per_second: samples through all of it on one core.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include <benchmark/benchmark.h>
#include <stdlib.h>

#include "collector/ingest/ingest.h"
#include "collector/log/log.h"
#include "collector/rule/engine.h"
#include "collector/rule/rule_parser.h"
#include "collector/series/series_store.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"
#include "tests/bench/made_host.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kHosts = 100;
constexpr std::size_t kBatchSeconds = 10;
constexpr std::size_t kRounds = 30;  // five minutes, so that conditions come to their end

std::string host_name(std::size_t host) {
    return "host-" + std::to_string(host);
}

class FixedClock final : public Clock {
  public:
    WallTime wall_now() const override { return from_unix_ms(bench::kStartMs + 3'600'000); }
    MonoTime mono_now() const override { return {}; }
};

// What the hosts send: [round][host], as it comes off the wire.
std::vector<std::vector<std::string>> make_messages() {
    const std::uint64_t hash = schema_hash(bench::MadeHost::schema());
    std::vector<bench::MadeHost> hosts;
    for (std::size_t h = 0; h < kHosts; ++h)
        hosts.emplace_back(static_cast<std::uint32_t>(h));
    std::vector<std::vector<std::string>> rounds(kRounds);
    for (std::size_t r = 0; r < kRounds; ++r) {
        for (std::size_t h = 0; h < kHosts; ++h) {
            const SampleBlock block = hosts[h].next(kBatchSeconds);
            const wire::BatchBody body{hash, 0, 0, static_cast<std::uint32_t>(block.sample_count()),
                                       wire::encode_block(block)};
            rounds[r].push_back(
                wire::encode(wire::Batch{host_name(h), 1, r + 1, false, wire::encode_body(body)}));
        }
    }
    return rounds;
}

std::vector<Rule> packaged_rules() {
    std::stringstream text;
    text << std::ifstream(RIDGELINE_RULES).rdbuf();
    auto document = ConfigDocument::parse(text.str(), RIDGELINE_RULES);
    auto rules = read_rules(document);
    if (!document.ok()) {
        std::cerr << to_string(document.errors()) << '\n';
        std::abort();
    }
    return rules;
}

class TempLog {
  public:
    TempLog() {
        std::string name =
            (std::filesystem::temp_directory_path() / "ridgeline-bench.XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
        storage_ = open_directory_storage(path_).value();
        log_ = Log::open(*storage_, {}, clock_).value();
    }
    ~TempLog() {
        log_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Log& log() { return *log_; }
    const Clock& clock() const { return clock_; }

  private:
    FixedClock clock_;
    std::filesystem::path path_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<Log> log_;
};

class WindowHistory final : public SampleHistory {
  public:
    explicit WindowHistory(const SeriesStore& store) : store_(store) {}
    void for_each(std::uint32_t id, std::int64_t from_ms, std::int64_t to_ms,
                  const std::function<void(std::int64_t, double)>& visit) const override {
        store_.window_of(id).for_each(from_ms, to_ms, visit);
    }

  private:
    const SeriesStore& store_;
};

// How far a sample goes.
enum Stage : std::int64_t { kToLog, kToWindow, kToRules };

// A collector without sockets, fsync and alert book.
class Machine {
  public:
    explicit Machine(Stage stage)
        : stage_(stage),
          ingest_(disk_.log(), disk_.clock(), {}),
          store_({}),
          history_(store_),
          engine_(packaged_rules(), history_),
          reader_(disk_.log().open_reader(0)) {
        const Schema schema = bench::MadeHost::schema();
        for (std::size_t h = 0; h < kHosts; ++h) {
            wire::Hello hello;
            hello.host_id = host_name(h);
            hello.epoch = 1;
            take(h, wire::encode(hello));
            take(h, wire::encode(wire::SchemaReply{schema_hash(schema), schema}));
        }
    }
    void take(std::size_t host, const std::string& message) {
        ingest_.on_message(host_name(host), host_name(host), message, replies_);
    }
    void evaluate() {
        // Durable without an fsync: the disk is not what is measured.
        disk_.log().finish_sync(disk_.log().begin_sync(), {});
        ingest_.on_durable(disk_.log().durable_position(), replies_);
        replies_.clear();
        if (stage_ == kToLog) return;
        while (const auto batch = reader_->next().value()) {
            store_.append(*batch, [&](const SeriesStore::NewSamples& fresh) {
                if (stage_ == kToWindow) return;
                engine_.on_samples({fresh.id, *batch->host, fresh.series, fresh.times_ms,
                                    fresh.values, to_unix_ms(batch->received)},
                                   transitions_);
            });
        }
    }
    std::uint64_t samples() const { return ingest_.stats().samples; }
    std::uint64_t in_window() const { return store_.stats().samples; }
    std::size_t conditions() const { return engine_.condition_count(); }

  private:
    Stage stage_;
    TempLog disk_;
    Ingest ingest_;
    SeriesStore store_;
    WindowHistory history_;
    RuleEngine engine_;
    std::unique_ptr<LogReader> reader_;
    std::vector<Outgoing> replies_;
    std::vector<Transition> transitions_;
};

void ingest(benchmark::State& state) {
    static const auto rounds = make_messages();
    const auto stage = static_cast<Stage>(state.range(0));
    std::uint64_t samples = 0;
    for ([[maybe_unused]] const auto iteration : state) {
        state.PauseTiming();
        auto machine = std::make_unique<Machine>(stage);
        state.ResumeTiming();
        for (const auto& round : rounds) {
            for (std::size_t h = 0; h < kHosts; ++h)
                machine->take(h, round[h]);
            machine->evaluate();
        }
        state.PauseTiming();
        samples += machine->samples();
        if (machine->samples() != kHosts * kRounds * kBatchSeconds * bench::MadeHost::kSeries ||
            (stage != kToLog && machine->in_window() != machine->samples())) {
            state.SkipWithError("samples were refused");
        }
        state.counters["conditions"] = static_cast<double>(machine->conditions());
        machine.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(samples));
}

}  // namespace

BENCHMARK(ingest)
    ->ArgName("stage")  // 0 decode and log, 1 and window, 2 and rules
    ->Arg(kToLog)
    ->Arg(kToWindow)
    ->Arg(kToRules)
    ->Unit(benchmark::kMillisecond);

}  // namespace ridgeline::collector

BENCHMARK_MAIN();
