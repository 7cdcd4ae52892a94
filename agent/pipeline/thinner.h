// Batches of one schema, one after the other -> one batch with fewer samples.
//
// Where more than four instants of a source lie in a window (10 s or 60 s of the wall clock), one
// is left, the last, with each series' last value: what an agent with that interval would have
// sampled, so rules, rates and sinks need not know. What a gauge was in between is kept in series
// of its own, METRIC.min, METRIC.max and METRIC.avg with the same attributes; a counter has no
// need of them. They are series of another name and not an attribute of the same one, since every
// selector that does not know of the attribute would take them for more of the same: four alerts
// for one, sums of four times as much. Four instants and fewer are left alone: their aggregates
// would take no less room. What was thinned to 10 s before is thinned further the same way; its
// averages are averaged. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/pipeline/batch.h"
#include "common/metric/sample_block.h"
#include "common/metric/series.h"

namespace ridgeline::agent {

class Thinner {
  public:
    // `series_max`: with more, gauges keep their last value alone.
    Thinner(const Schema& schema, std::chrono::seconds resolution, std::size_t series_max);

    // False when it cannot follow what was added before, because its clock lies behind: nothing was
    // added.
    bool add(const SampleBlock& block);
    // Values that take() would have, about.
    std::size_t values() const { return values_; }

    struct Thinned {
        Schema schema;
        SampleBlock block;
    };
    // What was added since the last time.
    Thinned take();

  private:
    struct Accumulated {
        double last = kNoValue;
        double min = kNoValue;
        double max = kNoValue;
        double sum = 0;
        std::uint32_t count = 0;
    };
    static constexpr std::size_t kNone = ~std::size_t{0};
    // A series as it came, and where its aggregates are: among those that came, or added.
    struct Series {
        bool is_aggregate = false;  // of another; goes where that one says
        std::size_t min = kNone;
        std::size_t max = kNone;
        std::size_t avg = kNone;
    };
    struct Group {
        std::string source;
        std::vector<SeriesDescriptor> series;  // first those that came, then those added
        std::vector<Series> came;
        // The window that is being filled.
        std::int64_t window = 0;
        std::int64_t newest_ms = 0;
        std::size_t instants = 0;
        std::vector<std::int64_t> few_stamps_ms;  // of its first ones, as they came
        std::vector<double> few_rows;
        std::vector<Accumulated> accumulated;
        // What is done.
        std::vector<std::int64_t> stamps_ms;
        std::vector<double> rows;
        bool aggregated = false;
    };

    void describe(Group& group, bool with_aggregates);
    void add_instant(Group& group, std::int64_t stamp_ms, const SampleGroup& from, std::size_t at);
    void close_window(Group& group);

    std::int64_t window_ms_;
    std::vector<Group> groups_;
    std::size_t values_ = 0;
};

}  // namespace ridgeline::agent
