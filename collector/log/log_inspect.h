// What a log's directory holds, read with the log's own readers and without changing anything, also
// while a collector writes to it: for `log inspect` and `log verify`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "collector/log/log_batch.h"
#include "common/base/result.h"
#include "common/segment/damage.h"
#include "common/segment/storage.h"
#include "common/wire/batch_summary.h"

namespace ridgeline::collector {

struct LogFileReport : SegmentReport {
    LogPosition base = 0;
    std::int64_t created_ms = 0;
    std::uint64_t hosts = 0;    // records of hosts
    std::uint64_t schemas = 0;  // likewise
    wire::BatchSummary content;
};

struct LogHostReport {
    wire::BatchSummary content;
    std::uint64_t doubled = 0;  // batches that are there more than once
    // By epoch; in order, without the doubled ones.
    std::map<std::uint64_t, std::vector<wire::SequenceRange>> sequences;
};

struct LogReport {
    std::vector<LogFileReport> files;
    std::map<std::string, LogHostReport> hosts;
    std::vector<Damage> damage;
};

// Errc::unsupported when the files are of a newer version.
Result<LogReport> inspect_log(Storage& storage);

std::string to_text(const LogReport& report);
std::string to_json(const LogReport& report);

}  // namespace ridgeline::collector
