// What a spool's directory holds, read with the spool's own readers and without changing anything,
// also while an agent writes to it: for `spool inspect` and `spool verify`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/segment/damage.h"
#include "common/segment/storage.h"
#include "common/wire/batch_summary.h"

namespace ridgeline::agent {

struct SpoolFileReport : SegmentReport {
    std::uint64_t schemas = 0;
    std::uint64_t held = 0;  // batches that no record here says are acknowledged
    wire::BatchSummary content;
};

struct SpoolReport {
    std::optional<std::uint64_t> epoch;
    std::vector<SpoolFileReport> files;
    // The batch that is being filled.
    std::optional<std::uint64_t> head_sequence;
    std::uint64_t head_samples = 0;
    std::vector<Damage> damage;
};

// Errc::unsupported when the files are of a newer version.
Result<SpoolReport> inspect_spool(Storage& storage);

std::string to_text(const SpoolReport& report);
std::string to_json(const SpoolReport& report);

}  // namespace ridgeline::agent
