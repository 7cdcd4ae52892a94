// The hosts that have been heard of: when last, how often they send, and how far their clocks are
// off.
//
// A host is known from its first message on until it is retired. All times are the collector's.
// Pure values; no clock.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "collector/log/log_batch.h"

namespace ridgeline::collector {

// What is stored of a known host.
struct HostRecord {
    std::string id;
    std::map<std::string, std::string> tags;
    std::int64_t heard_ms = 0;
    std::int64_t interval_ms = 0;  // between its batches
    bool operator==(const HostRecord&) const = default;
};

// A batch as far as it tells of its sender.
struct BatchTimes {
    std::int64_t received_ms = 0;
    std::int64_t oldest_ms = 0;  // of its samples, by the host's clock
    std::int64_t newest_ms = 0;
    bool backlog = false;
};
BatchTimes times_of(const LogBatch& batch);

class KnownHost {
  public:
    explicit KnownHost(HostInfo info) : info_(std::move(info)) {}

    void on_batch(const BatchTimes& batch);
    void on_alive(std::int64_t now_ms);
    void restore(const HostRecord& record);
    // Nothing was heard after `now_ms`, whatever a clock said that has been set back since.
    void clamp(std::int64_t now_ms);

    const HostInfo& info() const { return info_; }
    void set_info(const HostInfo& info) { info_ = info; }
    std::int64_t heard_ms() const { return heard_ms_; }
    // Since the start; a host that is only remembered has not been.
    bool heard() const { return heard_; }
    // One batch says nothing of when the next is due.
    bool regular() const { return regular_; }
    // The time between its batches as of late: the middle one of the last five.
    std::int64_t interval_ms() const;
    // Collector's clock minus the host's: the least lag of the last 20 live batches, and of three
    // at least, when that is more than the clocks of two healthy machines differ; 0 otherwise.
    std::int64_t offset_ms() const { return offset_ms_; }
    HostRecord record() const { return {info_.host_id, info_.tags, heard_ms_, interval_ms()}; }

  private:
    static constexpr std::size_t kLags = 20;
    // One batch that was held up on its way is no clock that is off.
    static constexpr std::size_t kLagsMin = 3;
    static constexpr std::size_t kIntervals = 5;
    static constexpr std::int64_t kSkewMaxMs = 5000;

    HostInfo info_;
    std::int64_t heard_ms_ = INT64_MIN;
    bool heard_ = false;
    bool regular_ = false;
    std::array<std::int64_t, kIntervals> intervals_{};
    std::size_t interval_count_ = 0;
    std::int64_t live_ms_ = INT64_MIN;  // the last live batch
    std::array<std::int64_t, kLags> lags_{};
    std::size_t lag_count_ = 0;
    std::int64_t offset_ms_ = 0;
};

class KnownHosts {
  public:
    // Known from now on. Does not move while it is known.
    KnownHost& meet(const HostInfo& info);
    KnownHost* find(const std::string& id);
    const KnownHost* find(const std::string& id) const;
    void forget(const std::string& id) { hosts_.erase(id); }
    void clamp(std::int64_t now_ms);
    const std::unordered_map<std::string, KnownHost>& all() const { return hosts_; }

  private:
    std::unordered_map<std::string, KnownHost> hosts_;
};

}  // namespace ridgeline::collector
