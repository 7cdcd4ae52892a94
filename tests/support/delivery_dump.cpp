// What a collector's log, or an agent's spool, holds: a line for each round, in the order
// in which it lies there. For a copy of the directory: what opens these files also mends them.
//
//   delivery_dump log DIRECTORY | delivery_dump spool DIRECTORY
//   round HOST EPOCH SEQUENCE SOURCE STAMP_MS VALUES MARK
//
// VALUES is how many series have one; MARK the value of system.memory.usage{state=buffers}, or "-".
// In a spool HOST is "-" and EPOCH 0: they are not written there.
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "agent/pipeline/spool.h"
#include "agent/pipeline/spool_format.h"
#include "collector/log/log.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/metric/sample_block.h"
#include "common/metric/series.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

using namespace ridgeline;

namespace {

const SeriesDescriptor kMark{"system.memory.usage", {{"state", "buffers"}}};

struct BatchName {
    std::string host;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
};

void print_rounds(const BatchName& name, const Schema& schema, const SampleBlock& block) {
    for (std::size_t g = 0; g < block.groups.size(); ++g) {
        const SampleGroup& group = block.groups[g];
        const SchemaGroup& described = schema.groups[g];
        for (std::size_t round = 0; round < group.timestamps_ms.size(); ++round) {
            std::size_t values = 0;
            std::string mark = "-";
            for (std::size_t series = 0; series < group.series_count; ++series) {
                const double value = group.column(series)[round];
                if (!has_value(value)) continue;
                ++values;
                if (described.series[series] == kMark)
                    mark = std::to_string(static_cast<std::int64_t>(value));
            }
            std::cout << "round " << name.host << ' ' << name.epoch << ' ' << name.sequence << ' '
                      << described.source << ' ' << group.timestamps_ms[round] << ' ' << values
                      << ' ' << mark << '\n';
        }
    }
}

Result<void> dump_log(Storage& storage) {
    const SystemClock clock;
    RL_ASSIGN_OR_RETURN(const auto log, collector::Log::open(storage, {}, clock));
    const auto reader = log->open_reader(0);
    for (;;) {
        RL_ASSIGN_OR_RETURN(const auto batch, reader->next());
        if (!batch) break;
        print_rounds({batch->host->host_id, batch->epoch, batch->sequence}, *batch->schema,
                     batch->block);
    }
    const auto& stats = reader->stats();
    if (stats.records_skipped > 0 || stats.bytes_fell_off > 0)
        return fail(Errc::corrupt, std::to_string(stats.records_skipped) + " records skipped, " +
                                       std::to_string(stats.bytes_fell_off) + " bytes gone");
    return {};
}

Result<void> print_spooled(std::uint64_t sequence, std::string_view bytes,
                           const std::function<Result<std::string>(std::uint64_t)>& find_schema) {
    RL_ASSIGN_OR_RETURN(const auto body, wire::decode_body(bytes, {}));
    RL_ASSIGN_OR_RETURN(const std::string encoded, find_schema(body.schema_hash));
    RL_ASSIGN_OR_RETURN(const Schema schema, wire::decode_schema(encoded, {}));
    RL_ASSIGN_OR_RETURN(const SampleBlock block, wire::decode_block(body.columns, schema, {}));
    print_rounds({"-", 0, sequence}, schema, block);
    return {};
}

Result<void> dump_spool(Storage& storage) {
    RL_ASSIGN_OR_RETURN(agent::Spool spool, agent::Spool::open(storage, {}));
    for (auto held = spool.next_held(0); held; held = spool.next_held(*held + 1)) {
        RL_ASSIGN_OR_RETURN(const std::string bytes, spool.read(*held));
        RL_TRY(print_spooled(*held, bytes, [&](std::uint64_t hash) { return spool.schema(hash); }));
    }
    return {};
}

Result<void> dump_segment(Storage& storage, const std::string& name) {
    auto reader = SegmentReader::open(storage, name, agent::spool_format::kFormat);
    if (!reader) return {};  // its header was not synced
    std::map<std::uint64_t, std::string> schemas;
    for (;;) {
        const auto record = reader->next();
        if (!record || !*record) return {};  // the end, or a torn tail
        if (const auto schema = agent::spool_format::read_schema(**record)) {
            RL_ASSIGN_OR_RETURN(schemas[schema->hash], schema->encoded());
        } else if (const auto batch = agent::spool_format::read_batch(**record)) {
            RL_TRY(print_spooled(
                batch->sequence, batch->body,
                [&](std::uint64_t hash) -> Result<std::string> { return schemas[hash]; }));
        }
    }
}

Result<void> dump_segments(Storage& storage) {
    RL_ASSIGN_OR_RETURN(const auto names, storage.list());
    for (const std::string& name : names) {
        if (agent::spool_format::base_of(name)) RL_TRY(dump_segment(storage, name));
    }
    return {};
}

Result<void> dump(std::string_view kind, const char* directory) {
    RL_ASSIGN_OR_RETURN(const auto storage, open_directory_storage(directory));
    if (kind == "log") return dump_log(*storage);
    return kind == "spool" ? dump_spool(*storage) : dump_segments(*storage);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view kind = argc == 3 ? argv[1] : "";
    if (kind != "log" && kind != "spool" && kind != "segments") {
        std::cerr << "usage: delivery_dump log|spool|segments DIRECTORY\n";
        return 2;
    }
    if (const auto dumped = dump(kind, argv[2]); !dumped) {
        std::cerr << "delivery_dump: " << dumped.error().context << '\n';
        return 1;
    }
    return 0;
}
