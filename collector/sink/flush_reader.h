// Reads samples out of the log into datums: which belong where, and the datums they make. Pure but
// for the reader of the log.
//
// Two of them work side by side. The TailReader follows the log's end and reads each record once,
// as it becomes durable. The StretchReader reads a Stretch again, or for the first time: what an
// outage, a crash or a pause has left.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "collector/log/log_reader.h"
#include "collector/sink/cloudwatch_config.h"
#include "collector/sink/counter_book.h"
#include "collector/sink/cursor.h"
#include "collector/sink/datum.h"
#include "collector/sink/selection.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Whether a metric that has data may be sent.
using MetricAdmission = std::function<bool(const MetricIdentity&)>;

// Opens the log at a position, or at its oldest record when that position is gone.
using LogOpener = std::function<Result<std::unique_ptr<LogReader>>(LogPosition)>;

using RefusalCounts = std::array<std::uint64_t, kRefusalCount>;

// A batch's samples -> an aggregation.
class SampleTaker {
  public:
    enum class Fate : std::uint8_t { pass, take, take_carried };
    using FateOf = std::function<Fate(WallTime)>;

    SampleTaker(const CloudWatchConfig& config, MetricAdmission admit);

    void take(const LogBatch& batch, const FateOf& fate_of);
    Aggregation& aggregation() { return aggregation_; }
    // What hosts and series are no more is forgotten; all numbers of series are given anew.
    void compact();
    // Before samples are taken that do not follow the last ones. Only after compact().
    void forget_counters() { counters_ = {}; }

    std::uint64_t samples() const { return samples_; }
    const RefusalCounts& refused() const { return refused_; }
    void begin_counting();

  private:
    struct Slot {
        Selected selected;
        std::vector<std::size_t> series = {};     // in aggregation_, for each of SelectedMetrics
        CounterBook::Counter* counter = nullptr;  // where growth is asked for
    };
    // All slots of a host's schema, group by group; holds on to what its key points at.
    struct Plan {
        std::shared_ptr<const HostInfo> host;
        std::shared_ptr<const Schema> schema;
        std::vector<std::vector<Slot>> groups;
    };

    const Plan& plan_for(const LogBatch& batch);
    void take_group(const SampleGroup& group, const std::vector<Slot>& slots, const FateOf& fate_of,
                    bool backlog);
    void take_column(const Slot& slot, const SampleGroup& group, std::size_t column,
                     const std::vector<Fate>& fates, bool backlog);
    void take_value(const Slot& slot, const SelectedMetrics& metrics,
                    const std::vector<bool>& admitted, WallTime at, double value, bool carried);
    void refuse(Refusal refusal) { ++refused_[static_cast<std::size_t>(refusal)]; }

    Selection selection_;
    MetricAdmission admit_;
    Aggregation aggregation_;
    CounterBook counters_;
    WallTime newest_{};  // sample
    std::map<std::pair<const HostInfo*, const Schema*>, Plan> plans_;
    std::uint64_t samples_ = 0;
    RefusalCounts refused_{};
};

class TailReader {
  public:
    TailReader(const CloudWatchConfig& config, MetricAdmission admit, LogOpener log, Tail tail);

    // Reads on for about `samples_max` samples. True once all that is durable was read.
    Result<bool> read(std::size_t samples_max);
    std::size_t datum_count() { return taker_.aggregation().datum_count(); }
    LogPosition position() const { return position_; }
    const Tail& tail() const { return tail_; }

    struct Flush {
        Stretch stretch;
        std::vector<Datum> datums;
    };
    // All that was read but for `kept`, which the next flush takes. The same `kept` as before
    // leaves what was kept before where it is.
    Flush flush(const KeptBack& kept);
    // What cannot be sent, of what was read since the last call.
    RefusalCounts take_refused();
    // What of the log was trimmed before it was read, since the last call.
    std::uint64_t take_bytes_fell_off();

  private:
    // After so many flushes, hosts and series that are gone are forgotten.
    static constexpr unsigned kFlushesToCompact = 60;

    SampleTaker taker_;
    LogOpener open_;
    std::unique_ptr<LogReader> log_;
    std::chrono::milliseconds period_;
    Tail tail_;
    LogPosition next_;                                 // of the record to read next
    LogPosition position_;                             // the same, but never before taken_until
    std::map<WallTime, LogPosition> first_of_period_;  // of records since the last flush
    std::uint64_t fell_off_ = 0;
    unsigned flushes_ = 0;
};

struct StretchBounds {
    // Beyond one of these, a stretch is cut where the live lane would have flushed; at four times
    // as much, anywhere.
    std::size_t samples_max = 0;
    std::size_t datums_max = 0;
    // What a flush at that time leaves to the next one.
    std::function<KeptBack(WallTime)> kept_at;
};

class StretchReader {
  public:
    StretchReader(const CloudWatchConfig& config, MetricAdmission admit, LogOpener log);

    // What the reader was at is forgotten. With `whole`, bounds do not end it.
    void begin(const Stretch& stretch, bool whole, const StretchBounds& bounds);
    // Reads on for about `samples_max` samples. True once it is done.
    Result<bool> read(std::size_t samples_max);

    // Valid once read() gave true. Where it was cut by its bounds; nothing if it was read whole.
    const std::optional<StretchCut>& cut() const { return cut_; }
    std::vector<Datum> take_datums();
    const RefusalCounts& refused() const { return taker_.refused(); }
    std::uint64_t bytes_fell_off() const { return fell_off_; }

  private:
    bool cut_after(const LogBatch& batch);

    SampleTaker taker_;
    LogOpener open_;
    std::unique_ptr<LogReader> log_;  // kept, because a stretch often goes on where one ended
    Stretch stretch_;
    StretchBounds bounds_;
    bool whole_ = false;
    std::optional<StretchCut> cut_;
    std::optional<KeptBack> last_kept_;
    std::map<WallTime, LogPosition> first_of_period_;
    std::chrono::milliseconds period_;
    std::uint64_t fell_off_before_ = 0;
    std::uint64_t fell_off_ = 0;
};

// The order in which datums are sent: those of periods that are no older than a few before the end
// first, so that what is late does not hold up what is live. Says how many those are. Depends on
// the stretch alone.
std::size_t order_datums(std::vector<Datum>& datums, const Stretch& stretch,
                         std::chrono::milliseconds period);

}  // namespace ridgeline::collector
