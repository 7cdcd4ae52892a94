// The in-memory window: every series of every host over the last hours, for rules, the API and the
// dashboards.
//
// Filled from the log and nothing else. A series has an id from its first sample until its last one
// has left the window; ids are not used again. How many series a host may have, and how many new
// ones in a time, is counted on the log's clock, so that a replay comes to the same end. Loop
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
#include <unordered_set>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/series/window_series.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

using SeriesId = std::uint32_t;

struct SeriesStoreOptions {
    std::chrono::milliseconds window = std::chrono::hours{24};
    std::size_t series_max = 1'000'000;
    // By weight (series_weight()), of each host.
    std::size_t series_per_host = 40'000;
    std::size_t new_series_per_hour = 10'000;
};

struct SeriesStoreStats {
    std::uint64_t samples = 0;
    std::uint64_t duplicates = 0;  // same series and stamp: the first stays
    // Samples of series for which there was no room: in all, of their host, of their host in an
    // hour.
    std::uint64_t refused_total = 0;
    std::uint64_t refused_per_host = 0;
    std::uint64_t refused_new = 0;
    std::uint64_t series_freed = 0;
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
    // Of ids that find() has given since the last trim().
    const std::string& host_of(SeriesId id) const { return *entries_.at(id).host; }
    const SeriesDescriptor& descriptor_of(SeriesId id) const { return *entries_.at(id).descriptor; }
    const WindowSeries& window_of(SeriesId id) const { return entries_.at(id).window; }
    bool contains(SeriesId id) const { return entries_.contains(id); }
    // In steps of `step_ms` aligned to its multiples; steps without samples are left out.
    std::vector<Aggregate> aggregate(SeriesId id, std::int64_t from_ms, std::int64_t to_ms,
                                     std::int64_t step_ms) const;

    // Drops what is older than the window. To be called now and then; returns the series of which
    // nothing is left, whose ids are no more.
    std::vector<SeriesId> trim(WallTime now);
    void change(const SeriesStoreOptions& options);

    // Every host of the window with the time of its newest sample.
    std::map<std::string, std::int64_t> hosts() const;
    std::size_t series_count() const { return entries_.size(); }
    std::size_t series_count(std::string_view host) const;
    std::size_t bytes() const;
    const SeriesStoreStats& stats() const { return stats_; }

  private:
    // One for all hosts that have it: those of one image have the same series.
    using SharedDescriptor = std::shared_ptr<const SeriesDescriptor>;
    struct DescriptorHash {
        using is_transparent = void;
        std::size_t operator()(const SeriesDescriptor& descriptor) const;
        std::size_t operator()(const SharedDescriptor& shared) const { return (*this)(*shared); }
    };
    struct DescriptorEqual {
        using is_transparent = void;
        static const SeriesDescriptor& of(const SeriesDescriptor& descriptor) { return descriptor; }
        static const SeriesDescriptor& of(const SharedDescriptor& shared) { return *shared; }
        template <class A, class B>
        bool operator()(const A& a, const B& b) const {
            return of(a) == of(b);
        }
    };
    struct Host {
        std::unordered_map<const SeriesDescriptor*, SeriesId> series;
        std::size_t weight = 0;
        // How many new series there may be now; begins with room for all it may have.
        double allowance = 0;
        std::int64_t allowance_at_ms = 0;
    };
    struct Entry {
        const std::string* host;  // a key of by_host_
        SharedDescriptor descriptor;
        WindowSeries window;
    };
    // Ids in schema order, per group; kUnmapped for series without a sample so far, kRefused for
    // those without room, which is looked for again after refused_until_ms.
    struct SchemaMap {
        std::shared_ptr<const Schema>
            schema;  // keeps the address, which is the key, from being used again
        std::vector<std::vector<SeriesId>> ids;
        std::int64_t refused_until_ms = INT64_MIN;
    };
    using SchemaKey = std::pair<std::string, const Schema*>;  // host and schema
    static constexpr SeriesId kUnmapped = UINT32_MAX;
    static constexpr SeriesId kRefusedTotal = UINT32_MAX - 1;
    static constexpr SeriesId kRefusedPerHost = UINT32_MAX - 2;
    static constexpr SeriesId kRefusedNew = UINT32_MAX - 3;
    static constexpr SeriesId kIdsEnd = UINT32_MAX - 15;
    static constexpr std::size_t kSchemaMapsMax = 100'000;

    SchemaMap& map_schema(const LogBatch& batch);
    SeriesId intern(const std::string& host, const SeriesDescriptor& descriptor,
                    std::int64_t now_ms);
    // Nothing of it is left: forgets it.
    void free(std::unordered_map<SeriesId, Entry>::iterator entry);
    bool count_refused(SeriesId id, std::size_t samples);

    SeriesStoreOptions options_;
    std::unordered_map<SeriesId, Entry> entries_;
    SeriesId next_id_ = 0;
    std::unordered_set<SharedDescriptor, DescriptorHash, DescriptorEqual> descriptors_;
    std::map<std::string, Host, std::less<>> by_host_;
    std::map<SchemaKey, SchemaMap> schema_maps_;
    SeriesStoreStats stats_;
    // Scratch, kept for its memory.
    std::vector<std::int64_t> times_;
    std::vector<double> values_;
    std::vector<std::size_t> fresh_;
};

}  // namespace ridgeline::collector
