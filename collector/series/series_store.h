// The in-memory window: every series of every host over the last hours, for rules, the API and the
// dashboards.
//
// Filled from the log and nothing else. A series' id is stable for the life of the process. Loop
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/series/window_series.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

using SeriesId = std::uint32_t;

struct SeriesStoreOptions {
    std::chrono::milliseconds window = std::chrono::hours{24};
    std::size_t series_max = 1'000'000;
};

struct SeriesStoreStats {
    std::uint64_t samples = 0;
    std::uint64_t duplicates = 0;      // same series and stamp: the first stays
    std::uint64_t series_refused = 0;  // samples of series beyond series_max
};

// Empty fields match everything; `host` and `metric` may be globs, attribute values too.
struct SeriesSelector {
    std::string host;
    std::string metric;
    std::map<std::string, std::string> attributes;
};

// One step of a chart.
struct Aggregate {
    std::int64_t t_ms = 0;  // the step's start
    double min = 0;
    double max = 0;
    double sum = 0;
    double last = 0;
    std::uint64_t count = 0;
};

class SeriesStore {
  public:
    explicit SeriesStore(SeriesStoreOptions options) : options_(options) {}

    // New samples of one series of a batch, ascending; duplicates are left out.
    struct NewSamples {
        SeriesId id;
        const SeriesDescriptor& series;
        std::span<const std::int64_t> times_ms;
        std::span<const double> values;
    };
    void append(const LogBatch& batch, const std::function<void(const NewSamples&)>& on_new);

    std::vector<SeriesId> find(const SeriesSelector& selector) const;
    const std::string& host_of(SeriesId id) const { return *entries_[id].host; }
    const SeriesDescriptor& descriptor_of(SeriesId id) const { return entries_[id].descriptor; }
    const WindowSeries& window_of(SeriesId id) const { return entries_[id].window; }
    // In steps of `step_ms` aligned to its multiples; steps without samples are left out.
    std::vector<Aggregate> aggregate(SeriesId id, std::int64_t from_ms, std::int64_t to_ms,
                                     std::int64_t step_ms) const;

    // Drops what is older than the window. To be called now and then.
    void trim(WallTime now);

    // Every host of the window with the time of its newest sample.
    std::map<std::string, std::int64_t> hosts() const;
    std::size_t series_count() const { return entries_.size(); }
    std::size_t series_count(std::string_view host) const;
    std::size_t bytes() const;
    const SeriesStoreStats& stats() const { return stats_; }

  private:
    struct Entry {
        const std::string* host;  // a key of by_host_
        SeriesDescriptor descriptor;
        WindowSeries window;
    };
    // Ids in schema order, per group; kNoSeries for what was refused.
    struct SchemaMap {
        std::shared_ptr<const Schema>
            schema;  // keeps the address, which is the key, from being used again
        std::vector<std::vector<SeriesId>> ids;
    };
    static constexpr SeriesId kNoSeries = UINT32_MAX;
    static constexpr std::size_t kSchemaMapsMax = 100'000;

    const SchemaMap& map_schema(const LogBatch& batch);
    SeriesId intern(const std::string& host, const SeriesDescriptor& descriptor);

    SeriesStoreOptions options_;
    std::vector<Entry> entries_;
    std::map<std::string, std::unordered_map<std::string, SeriesId>, std::less<>> by_host_;
    std::map<std::pair<const Schema*, std::string>, SchemaMap> schema_maps_;  // by schema and host
    SeriesStoreStats stats_;
    // Scratch, kept for its memory.
    std::vector<std::int64_t> times_;
    std::vector<double> values_;
    std::vector<std::size_t> fresh_;
};

}  // namespace ridgeline::collector
