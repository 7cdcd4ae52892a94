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

// Samples that a flush leaves to the next one, because their period is not over: those in
// [begin, end). What is further ahead comes of a wrong clock and is not waited for.
struct KeptBack {
    WallTime begin;
    WallTime end;
    bool contains(WallTime t) const { return begin <= t && t < end; }
    bool operator==(const KeptBack&) const = default;
};

struct Flush {
    LogPosition end = 0;  // takes records before this position
    KeptBack kept_back;
    WallTime started;          // decides what is too old or too new
    std::uint32_t config = 0;  // fingerprint of the settings that shape datums
    std::uint64_t datums = 0;  // how many came out
    DatumRanges done;          // sent, or refused for good
    bool operator==(const Flush&) const = default;
};

struct Cursor {
    // Where the next flush reads from: the first record holding a sample that was kept back for it.
    LogPosition read_from = 0;
    // Of records before this position, only what was kept back is left.
    LogPosition taken_until = 0;
    KeptBack kept_back;
    std::optional<Flush> flush;  // begun and not finished
    bool operator==(const Cursor&) const = default;
};

std::string encode_cursor(const Cursor& cursor);
Result<Cursor> decode_cursor(std::string_view text);

// A missing file is a cursor at the beginning.
Result<Cursor> load_cursor(const std::filesystem::path& file);
Result<void> save_cursor(const std::filesystem::path& file, const Cursor& cursor);

}  // namespace ridgeline::collector
