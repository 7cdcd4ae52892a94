// What a reader of the log sees: one host's batch, decoded, with its schema and its place in the
// log.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/metric/sample_block.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// Bytes of log written before the record, over the log's whole life; grows for ever, survives
// restarts.
using LogPosition = std::uint64_t;

// What a host said of itself in its Hello.
struct HostInfo {
    std::string host_id;
    std::string agent_version;
    std::string boot_id;
    std::map<std::string, std::string> tags;   // from the agent's config, e.g. role=web
    std::map<std::string, std::string> facts;  // os, kernel, …
};

struct LogBatch {
    std::shared_ptr<const HostInfo> host;  // never null
    std::shared_ptr<const Schema> schema;  // never null; the same object for the same host and hash
    std::uint64_t schema_hash = 0;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    // Of a batch that the agent thinned (ridgeline.proto, BatchBody).
    std::uint64_t first_sequence = 0;  // of those it stands for; its own otherwise
    std::uint32_t resolution_s = 0;
    std::uint64_t thinned_samples = 0;
    bool backlog = false;
    WallTime received;  // the collector's clock when it took the batch in
    SampleBlock block;
    LogPosition position = 0;  // of this record
    LogPosition next_position =
        0;  // where the next record starts: what a reader saves once done with it
};

}  // namespace ridgeline::collector
