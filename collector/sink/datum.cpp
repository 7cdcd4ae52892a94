#include "collector/sink/datum.h"

#include <algorithm>

namespace ridgeline::collector {

void Statistics::add(double value) {
    minimum_ = count_ == 0 ? value : std::min(minimum_, value);
    maximum_ = count_ == 0 ? value : std::max(maximum_, value);
    sum_ += value;
    ++count_;
    if (overflowed_) return;
    const auto at =
        std::lower_bound(values_.begin(), values_.end(), value,
                         [](const auto& known, double wanted) { return known.first < wanted; });
    if (at != values_.end() && at->first == value) {
        ++at->second;
    } else if (values_.size() < kUniqueValuesMax) {
        values_.insert(at, {value, 1});
    } else {
        overflowed_ = true;
        values_ = {};
    }
}

std::size_t Aggregation::series(const MetricIdentity& metric, std::chrono::milliseconds period) {
    const auto [it, fresh] = numbers_.try_emplace(metric, series_.size());
    if (fresh) series_.push_back({period.count() == 0 ? period_ : period, {}});
    return it->second;
}

void Aggregation::add(std::size_t series, WallTime at, double value) {
    auto& [period, periods] = series_[series];
    const WallTime begin{at.time_since_epoch() / period * period};
    const auto [it, fresh] = periods.try_emplace(begin);
    if (fresh) ++datum_count_;
    it->second.add(value);
}

std::vector<Datum> Aggregation::take() {
    std::vector<Datum> datums;
    datums.reserve(datum_count_);
    for (auto& [metric, number] : numbers_)
        for (auto& [begin, statistics] : series_[number].periods)
            datums.push_back({metric, begin, std::move(statistics), series_[number].period});
    numbers_.clear();
    series_.clear();
    datum_count_ = 0;
    return datums;
}

}  // namespace ridgeline::collector
