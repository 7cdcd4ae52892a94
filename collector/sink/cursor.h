// Where the sink stands, in a file small enough to be replaced at every step.
//
// A flush is a pure function of the log and of these few numbers, so after a crash the same datums
// come out in the same order, and `done` says which of them need not be sent again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/log/log_batch.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Datums [begin, end) of a flush.
struct DatumRange {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t size() const { return end - begin; }
    bool operator==(const DatumRange&) const = default;
};

// Ranges without overlap, sorted, neighbours merged.
class DatumRanges {
  public:
    void add(DatumRange range);
    std::vector<DatumRange> missing(std::size_t total) const;
    std::size_t count() const;  // datums in all ranges
    const std::vector<DatumRange>& all() const { return ranges_; }
    bool operator==(const DatumRanges&) const = default;

  private:
    std::vector<DatumRange> ranges_;
};

struct Flush {
    LogPosition end = 0;       // reads records before this position
    WallTime cutoff;           // takes samples before this time, and those far ahead of it
    WallTime started;          // decides what is too old or too new
    std::uint64_t config = 0;  // fingerprint of the settings that shape datums
    std::uint64_t datums = 0;  // how many came out
    DatumRanges done;          // sent, or refused for good
    bool operator==(const Flush&) const = default;
};

struct Cursor {
    // Where the next flush reads from: the first record holding a sample that was kept back for it.
    LogPosition read_from = 0;
    // Records before this one were read by the flush before; only what it kept back is left in
    // them: samples in [cutoff, cutoff + period).
    LogPosition taken_until = 0;
    WallTime cutoff;
    std::optional<Flush> flush;  // begun and not finished
    bool operator==(const Cursor&) const = default;
};

std::string encode_cursor(const Cursor& cursor);
Result<Cursor> decode_cursor(std::string_view text);

// A missing file is a cursor at the beginning.
Result<Cursor> load_cursor(const std::filesystem::path& file);
Result<void> save_cursor(const std::filesystem::path& file, const Cursor& cursor);

}  // namespace ridgeline::collector
