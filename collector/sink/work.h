// What of the log is still to be sent: stretches of it, and how far the datums of each have come.
// Pure.
//
// A stretch is a rule for which samples belong to it, so that the same datums come out of the log
// whenever it is read; that is what makes a crash, and giving up memory during an outage, harmless.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/sink/datum.h"
#include "collector/sink/read_back.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

// Datums [begin, end) of a stretch.
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

// Which samples of the log's records in [read_from, end) a stretch takes.
struct Stretch {
    LogPosition read_from = 0;
    // Of records before it, only what an earlier flush kept back is left: samples in kept_before.
    LogPosition taken_until = 0;
    KeptBack kept_before;
    // Records from here on leave the samples in kept_after to the next stretch; those before leave
    // nothing.
    LogPosition whole_until = 0;
    LogPosition end = 0;
    KeptBack kept_after;
    // kept_before is left to the next stretch, too: a flush in the middle of a period.
    bool leaves_kept_before = false;

    bool takes(LogPosition position, WallTime at) const;
    bool operator==(const Stretch&) const = default;
};

// The two as one, or nothing when `second` does not go on where `first` ends.
std::optional<Stretch> joined(const Stretch& first, const Stretch& second);
// Where a stretch is cut in two, as a flush would have been: what is in `kept` of the records
// before `position` goes with the second part, which finds the first of it at `kept_from`.
struct StretchCut {
    LogPosition position = 0;  // in (taken_until, end); at most whole_until, if something is kept
    KeptBack kept;
    LogPosition kept_from = 0;
};
// Takes the first part off.
Stretch cut_front(Stretch& stretch, const StretchCut& cut);

// A request that may have arrived: it was sent, or was about to be when the collector died.
struct SentRequest {
    DatumRange range;
    Marker marker;
    WallTime sent_at;
    bool operator==(const SentRequest&) const = default;
};

// Of a stretch that has been begun to be sent.
struct Progress {
    std::uint32_t config = 0;    // fingerprint of the settings that shape datums
    std::uint32_t checksum = 0;  // of the datums: which metrics, when, how many samples
    std::uint64_t datums = 0;    // how many came out
    DatumRanges done;            // taken by AWS, or given up and counted
    std::vector<SentRequest> sent;
    bool operator==(const Progress&) const = default;
};

struct Work {
    Stretch stretch;
    bool counted = false;  // what of it cannot be sent was counted when it was first read
    std::optional<Progress> progress;
    bool operator==(const Work&) const = default;
};

}  // namespace ridgeline::collector
