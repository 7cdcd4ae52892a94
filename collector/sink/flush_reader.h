// Reads one flush out of the log: which samples belong to it, and the datums they make. A pure
// function of the log, the settings, and where the flush before ended. Pure but for the reader.
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

struct FlushBounds {
    std::size_t samples_max = 0;  // a flush ends with the record in which it reaches one of these
    std::size_t datums_max = 0;
    std::chrono::milliseconds oldest{};  // samples further back than this are refused
    std::chrono::milliseconds newest{};  // samples further ahead than this are refused
    MetricAdmission admit;               // null: every metric
};

class FlushReader {
  public:
    // `flush.end` bounds a flush that was begun before; 0: read to the log's durable end.
    // `counters`: as the flush before left them.
    FlushReader(const CloudWatchConfig& config, const Cursor& before, const Flush& flush,
                const FlushBounds& bounds, std::unique_ptr<LogReader> log,
                CounterBook counters = {});

    // Reads on for about `samples_max` samples. True once the flush is whole.
    Result<bool> read(std::size_t samples_max);

    // Valid once read() gave true.
    LogPosition end() const { return end_; }
    // The first record with samples that are left for the next flush, or end().
    LogPosition read_next_from() const { return kept_from_.value_or(end_); }
    bool more_to_read() const { return bounded_; }
    std::vector<Datum> take_datums() { return aggregation_.take(); }
    CounterBook take_counters() { return std::move(counters_); }

    std::uint64_t samples() const { return samples_; }
    const std::array<std::uint64_t, kRefusalCount>& refused() const { return refused_; }

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
    enum class Fate : std::uint8_t { take, pass, too_old, too_new };

    const Plan& plan_for(const LogBatch& batch);
    Fate fate_of(WallTime t, const LogBatch& batch);
    void take(const LogBatch& batch);
    void take_group(const SampleGroup& group, const std::vector<Slot>& slots,
                    const LogBatch& batch);
    void take_column(const Slot& slot, const SampleGroup& group, std::size_t column,
                     const std::vector<Fate>& fates, bool backlog);
    void take_value(const Slot& slot, const SelectedMetrics& metrics,
                    const std::vector<bool>& admitted, WallTime at, double value);
    void refuse(Refusal refusal) { ++refused_[static_cast<std::size_t>(refusal)]; }

    Selection selection_;
    KeptBack kept_before_;
    LogPosition taken_until_;
    KeptBack kept_now_;
    WallTime started_;
    LogPosition end_wanted_;
    FlushBounds bounds_;
    std::unique_ptr<LogReader> log_;

    CounterBook counters_;
    Aggregation aggregation_;
    std::map<std::pair<const HostInfo*, const Schema*>, Plan> plans_;
    LogPosition end_ = 0;
    std::optional<LogPosition> kept_from_;
    bool bounded_ = false;
    std::uint64_t samples_ = 0;
    std::array<std::uint64_t, kRefusalCount> refused_{};
};

}  // namespace ridgeline::collector
