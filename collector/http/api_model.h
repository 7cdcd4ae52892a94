// What the HTTP API shows, as plain values, and the one interface it asks them from. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/metric/series.h"

namespace ridgeline::collector {

struct HostView {
    std::string id;
    std::string name;  // what people call it; empty: its id
    std::string
        enrolled;  // "token", "file", "aws" (a pseudo-host), or "no": revoked, or its file is gone
    std::string agent_version;
    std::map<std::string, std::string> tags;
    std::map<std::string, std::string> facts;
    bool connected = false;
    std::int64_t last_seen_ms = 0;  // collector's clock; 0: not since the collector's start
    std::int64_t last_sample_ms = 0;
    std::int64_t clock_offset_ms = 0;
    std::uint64_t batches = 0;
    std::uint64_t samples = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t batches_lost = 0;
    std::uint64_t batches_deferred = 0;
    std::size_t series = 0;
};

struct SeriesView {
    std::uint32_t id = 0;
    std::string host;
    std::string metric;
    std::string unit;
    Attributes attributes;
    double latest = 0;
    std::int64_t latest_ms = 0;
};

struct PointView {
    std::int64_t t_ms = 0;  // the step's start
    double min = 0;
    double max = 0;
    double avg = 0;
    double last = 0;
    std::uint64_t count = 0;
};

struct NotificationTargetView {
    std::string name;
    std::string type;
    std::string fallback;
    std::size_t waiting = 0;            // alerts it is still to be told of
    std::int64_t oldest_ms = 0;         // since when; 0: none
    std::int64_t last_sent_ms = 0;      // 0: never
    std::int64_t failing_since_ms = 0;  // 0: it is not
    bool given_up = false;              // its fallback is told meanwhile
    std::string last_error;
};

struct SelfMetric {
    std::string name;  // "ridgeline_collector_batches_total"
    std::string help;
    bool counter = true;
    struct Sample {
        std::vector<Attribute> labels;
        double value = 0;
    };
    std::vector<Sample> samples;
};

struct SeriesFilter {
    std::string host;  // globs; empty: all
    std::string metric;
    std::map<std::string, std::string>
        attributes;  // an empty value asks for series without the attribute
};

class ApiModel {
  public:
    virtual ~ApiModel() = default;
    virtual std::vector<HostView> hosts() = 0;
    // In the order of their ids.
    virtual std::vector<SeriesView> series(const SeriesFilter& filter) = 0;
    virtual std::vector<PointView> points(std::uint32_t series_id, std::int64_t from_ms,
                                          std::int64_t to_ms, std::int64_t step_ms) = 0;
    virtual std::vector<NotificationTargetView> notification_targets() = 0;
    virtual std::vector<SelfMetric> self_metrics() = 0;
    // Why the collector is not ready; empty when it is.
    virtual std::string not_ready() = 0;
    virtual std::int64_t now_ms() const = 0;
};

}  // namespace ridgeline::collector
