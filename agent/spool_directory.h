// The spool's directory: opened at start, or later, when a sick disk lets it. Until then the spool
// is in memory alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/pipeline/spool.h"
#include "agent/pipeline/unset_clock.h"
#include "common/base/file.h"
#include "common/base/result.h"
#include "common/segment/storage.h"

namespace ridgeline::agent {

struct SpoolDirectory {
    std::unique_ptr<Storage> storage;
    UniqueFd lock;  // held as long as the directory is used
    std::optional<Spool> spool;
    std::uint64_t recovered_samples = 0;  // of the batch that a killed run was filling
    std::string head_error;
};

// Reads the whole spool; on any thread. `offset`: of the clock, if it is set. Errc::unavailable:
// another agent uses it.
Result<SpoolDirectory> open_spool_directory(const std::filesystem::path& directory,
                                            const SpoolOptions& options, std::string_view boot_id,
                                            std::optional<ClockOffset> offset);

// Instead of a directory that cannot be opened: refuses everything with `why`.
std::unique_ptr<Storage> refusing_storage(Error why);

}  // namespace ridgeline::agent
