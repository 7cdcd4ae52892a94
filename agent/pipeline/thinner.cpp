#include "agent/pipeline/thinner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <span>
#include <utility>

#include "common/base/nearest_integer.h"
#include "common/metric/catalog.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFewInstants = 4;  // as many as a gauge has values in their place

std::int64_t floor_to(std::int64_t ms, std::int64_t window_ms) {
    const std::int64_t rest = ms % window_ms;
    return ms - rest - (rest < 0 ? window_ms : 0);
}

// How many decimals, at most six, `value` has; more cannot be coded short (column_codec.h).
int decimals_of(double value) {
    constexpr std::array<double, 7> kPowers = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    for (int decimals = 0; decimals < 6; ++decimals) {
        const double power = kPowers[static_cast<std::size_t>(decimals)];
        if (nearest_integer(value * power) / power == value) return decimals;
    }
    return 6;
}

// An average with one decimal more than what it is of: more would be noise that costs room.
double rounded(double average, double min, double max, double last) {
    const int decimals =
        std::min(6, 1 + std::max({decimals_of(min), decimals_of(max), decimals_of(last)}));
    const double power = std::pow(10.0, decimals);
    const double scaled = average * power;
    return std::abs(scaled) < 1e15 ? nearest_integer(scaled) / power : average;
}

}  // namespace

Thinner::Thinner(const Schema& schema, std::chrono::seconds resolution, std::size_t series_max)
    : window_ms_(std::chrono::milliseconds(resolution).count()) {
    std::size_t with_aggregates = schema.groups.size();  // a group counts like a series
    for (const SchemaGroup& group : schema.groups)
        with_aggregates += 4 * group.series.size();
    for (const SchemaGroup& group : schema.groups) {
        Group& mine = groups_.emplace_back();
        mine.source = group.source;
        mine.series = group.series;
        describe(mine, with_aggregates <= series_max);
    }
}

void Thinner::describe(Group& group, bool with_aggregates) {
    const std::size_t came = group.series.size();
    group.came.resize(came);
    group.accumulated.resize(came);
    std::map<SeriesDescriptor, std::size_t> index;
    for (std::size_t i = 0; i < came; ++i)
        index[group.series[i]] = i;
    for (std::size_t i = 0; i < came; ++i) {
        const auto thinned = find_thinned(group.series[i].metric);
        if (!thinned) continue;
        const auto own =
            index.find({std::string(thinned->metric->name), group.series[i].attributes});
        if (own == index.end()) continue;
        group.came[i].is_aggregate = true;
        Series& of = group.came[own->second];
        (thinned->aggregate == "min" ? of.min : thinned->aggregate == "max" ? of.max : of.avg) = i;
    }
    for (Series& series : group.came) {
        const std::array parts = {series.min, series.max, series.avg};
        const auto missing = std::count(parts.begin(), parts.end(), kNone);
        if (missing == 0 || missing == std::ssize(parts)) continue;
        for (const std::size_t part : parts) {  // not one of ours: names that look like it
            if (part != kNone) group.came[part].is_aggregate = false;
        }
        series = Series{};
        with_aggregates = false;
    }
    for (std::size_t i = 0; i < came && with_aggregates; ++i) {
        if (group.came[i].is_aggregate || group.came[i].avg != kNone) continue;
        const SeriesDescriptor series = group.series[i];
        const MetricInfo* metric = find_metric(series.metric);
        if (metric == nullptr || metric->kind == MetricKind::counter) continue;
        const auto add_series = [&](const char* suffix) {
            group.series.push_back({series.metric + suffix, series.attributes});
            return group.series.size() - 1;
        };
        group.came[i].min = add_series(".min");
        group.came[i].max = add_series(".max");
        group.came[i].avg = add_series(".avg");
    }
}

bool Thinner::add(const SampleBlock& block) {
    if (block.groups.size() != groups_.size()) return false;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        const auto& stamps = block.groups[i].timestamps_ms;
        const bool any_before = groups_[i].instants > 0 || !groups_[i].stamps_ms.empty();
        if (stamps.empty()) continue;
        if (!std::is_sorted(stamps.begin(), stamps.end())) return false;
        if (any_before && stamps.front() < groups_[i].newest_ms) return false;
    }
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        const SampleGroup& from = block.groups[i];
        for (std::size_t at = 0; at < from.timestamps_ms.size(); ++at)
            add_instant(groups_[i], from.timestamps_ms[at], from, at);
    }
    return true;
}

void Thinner::add_instant(Group& group, std::int64_t stamp_ms, const SampleGroup& from,
                          std::size_t at) {
    const std::int64_t window = floor_to(stamp_ms, window_ms_);
    if (group.instants > 0 && window != group.window) close_window(group);
    group.window = window;
    group.newest_ms = stamp_ms;
    const bool few = ++group.instants <= kFewInstants;
    if (few) group.few_stamps_ms.push_back(stamp_ms);
    const auto value_of = [&](std::size_t series, double otherwise) {
        if (series == kNone || series >= group.came.size()) return otherwise;
        const double value = from.column(series)[at];
        return has_value(value) ? value : otherwise;
    };
    for (std::size_t i = 0; i < group.came.size(); ++i) {
        const double value = from.column(i)[at];
        if (few) group.few_rows.push_back(value);
        if (!has_value(value) || group.came[i].is_aggregate) continue;
        Accumulated& sum = group.accumulated[i];
        const double min = value_of(group.came[i].min, value);
        const double max = value_of(group.came[i].max, value);
        sum.min = sum.count == 0 ? min : std::min(sum.min, min);
        sum.max = sum.count == 0 ? max : std::max(sum.max, max);
        sum.sum += value_of(group.came[i].avg, value);
        sum.last = value;
        ++sum.count;
    }
}

void Thinner::close_window(Group& group) {
    const std::size_t came = group.came.size();
    const std::size_t width = group.series.size();
    if (group.instants <= kFewInstants) {
        for (std::size_t row = 0; row < group.instants; ++row) {
            group.stamps_ms.push_back(group.few_stamps_ms[row]);
            const auto values = std::span(group.few_rows).subspan(row * came, came);
            group.rows.insert(group.rows.end(), values.begin(), values.end());
            group.rows.resize(group.stamps_ms.size() * width, kNoValue);
        }
    } else {
        const std::size_t begin = group.rows.size();
        group.stamps_ms.push_back(group.newest_ms);
        group.rows.resize(begin + width, kNoValue);
        for (std::size_t i = 0; i < came; ++i) {
            const Accumulated& sum = group.accumulated[i];
            const Series& series = group.came[i];
            if (sum.count == 0) continue;
            group.rows[begin + i] = sum.last;
            if (series.avg == kNone) continue;
            group.rows[begin + series.min] = sum.min;
            group.rows[begin + series.max] = sum.max;
            group.rows[begin + series.avg] =
                rounded(sum.sum / sum.count, sum.min, sum.max, sum.last);
        }
        group.aggregated = true;
    }
    values_ += width;
    group.instants = 0;
    group.few_stamps_ms.clear();
    group.few_rows.clear();
    std::fill(group.accumulated.begin(), group.accumulated.end(), Accumulated{});
}

Thinner::Thinned Thinner::take() {
    Thinned out;
    for (Group& group : groups_) {
        if (group.instants > 0) close_window(group);
        const std::size_t width = group.series.size();
        SampleGroup columns = to_columns(group.stamps_ms, group.rows, width);
        SchemaGroup described{group.source, group.series};
        if (!group.aggregated) {  // nothing was added to it then
            described.series.resize(group.came.size());
            columns.series_count = group.came.size();
            columns.values.resize(columns.series_count * columns.timestamps_ms.size());
        }
        out.schema.groups.push_back(std::move(described));
        out.block.groups.push_back(std::move(columns));
        group.stamps_ms.clear();
        group.rows.clear();
        group.aggregated = false;
    }
    values_ = 0;
    return out;
}

}  // namespace ridgeline::agent
