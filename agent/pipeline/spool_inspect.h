// What a spool's directory holds, read with the spool's own readers and without changing anything,
// also while an agent writes to it: for `spool inspect` and `spool verify`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/pipeline/batch_number.h"
#include "common/base/result.h"
#include "common/segment/damage.h"
#include "common/segment/storage.h"
#include "common/wire/batch_summary.h"

namespace ridgeline::agent {

// What of a run's numbers (batch_number.h) there is.
struct SpoolEpoch {
    std::optional<std::uint64_t> epoch;  // nullopt: of a version that did not write it with a batch
    std::vector<wire::SequenceRange> numbers;  // in the order they came, neighbours joined
};

struct SpoolFileReport : SegmentReport {
    std::uint64_t schemas = 0;
    std::uint64_t held = 0;      // batches that no record here says are acknowledged
    wire::BatchSummary content;  // its sequences are the spool's own
    std::vector<SpoolEpoch> epochs;
};

struct SpoolReport {
    std::vector<SpoolFileReport> files;
    std::vector<SpoolEpoch> epochs;
    // The batch that is being filled.
    std::optional<BatchNumber> head_number;
    std::uint64_t head_samples = 0;
    std::vector<Damage> damage;
};

// Errc::unsupported when the files are of a newer version.
Result<SpoolReport> inspect_spool(Storage& storage);

std::string to_text(const SpoolReport& report);
std::string to_json(const SpoolReport& report);

}  // namespace ridgeline::agent
