// Bytes and time a sample takes on the wire, on values recorded from a real host.
// The argument is the batch interval in seconds.
#include <iostream>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "common/wire/block_codec.h"
#include "common/wire/messages.h"
#include "tests/bench/recording.h"

namespace ridgeline {

namespace {

struct Recording {
    Schema schema;
    std::vector<std::vector<double>> columns;
    std::size_t seconds = 0;
};

Recording load() {
    auto recorded = bench::load_recording();
    if (!recorded) {
        std::cerr << recorded.error().context << '\n';
        std::abort();
    }
    Recording recording;
    recording.schema.groups.push_back({"host", {}});
    recording.seconds = recorded->front().values.size();
    for (bench::RecordedSeries& series : *recorded) {
        // Which series it was does not matter here, only that each is one of its own.
        recording.schema.groups[0].series.push_back(
            {series.metric, {{"n", std::to_string(recording.columns.size())}}});
        recording.columns.push_back(std::move(series.values));
    }
    return recording;
}

std::vector<SampleBlock> cut(const Recording& recording, std::size_t batch_seconds) {
    std::vector<SampleBlock> blocks;
    for (std::size_t from = 0; from + batch_seconds <= recording.seconds; from += batch_seconds) {
        SampleGroup group;
        group.series_count = recording.columns.size();
        for (std::size_t i = 0; i < batch_seconds; ++i)
            group.timestamps_ms.push_back(1'772'445'600'000 +
                                          static_cast<std::int64_t>(from + i) * 1000);
        for (const auto& column : recording.columns) {
            const auto first = column.begin() + static_cast<std::ptrdiff_t>(from);
            group.values.insert(group.values.end(), first,
                                first + static_cast<std::ptrdiff_t>(batch_seconds));
        }
        blocks.push_back({{std::move(group)}});
    }
    return blocks;
}

std::string message_of(const SampleBlock& block, std::uint64_t hash) {
    const wire::BatchBody body{hash, 1'772'445'600'000, 3'600'000,
                               static_cast<std::uint32_t>(block.sample_count()),
                               wire::encode_block(block)};
    return wire::encode(
        wire::Batch{"web-1.example.com", 1'772'445'600'000, 100, false, wire::encode_body(body)});
}

void encode(benchmark::State& state) {
    const Recording recording = load();
    const auto blocks = cut(recording, static_cast<std::size_t>(state.range(0)));
    const std::uint64_t hash = schema_hash(recording.schema);
    std::size_t bytes = 0;
    std::size_t samples = 0;
    for ([[maybe_unused]] const auto iteration : state) {
        for (const SampleBlock& block : blocks) {
            bytes += message_of(block, hash).size();
            samples += block.sample_count();
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(samples));
    state.counters["B_per_sample"] = static_cast<double>(bytes) / static_cast<double>(samples);
    state.counters["series"] = static_cast<double>(recording.columns.size());
}

void decode(benchmark::State& state) {
    const Recording recording = load();
    const std::uint64_t hash = schema_hash(recording.schema);
    std::vector<std::string> messages;
    for (const SampleBlock& block : cut(recording, static_cast<std::size_t>(state.range(0))))
        messages.push_back(message_of(block, hash));
    const wire::Limits limits;
    std::size_t samples = 0;
    for ([[maybe_unused]] const auto iteration : state) {
        for (const std::string& bytes : messages) {
            const auto message = wire::decode(bytes, limits).value();
            const auto body =
                wire::decode_body(std::get<wire::Batch>(message).body, limits).value();
            samples +=
                wire::decode_block(body.columns, recording.schema, limits).value().sample_count();
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(samples));
}

BENCHMARK(encode)->ArgName("seconds")->Arg(1)->Arg(10)->Arg(60);
BENCHMARK(decode)->ArgName("seconds")->Arg(1)->Arg(10)->Arg(60);

}  // namespace

}  // namespace ridgeline

BENCHMARK_MAIN();
