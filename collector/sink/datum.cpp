#include "collector/sink/datum.h"

#include <algorithm>
#include <limits>

namespace ridgeline::collector {

void Statistics::add(double value, std::uint64_t count) {
    minimum_ = count_ == 0 ? value : std::min(minimum_, value);
    maximum_ = count_ == 0 ? value : std::max(maximum_, value);
    sum_ += value * static_cast<double>(count);
    count_ += count;
    put(value, count);
}

void Statistics::put(double value, std::uint64_t count) {
    if (!exact()) return buckets_.add(value, count);
    const auto at = std::lower_bound(values_.begin(), values_.end(), value);
    const auto index = at - values_.begin();
    const bool known = at != values_.end() && *at == value;
    const std::uint64_t had = !known            ? 0
                              : counts_.empty() ? 1
                                                : counts_[static_cast<std::size_t>(index)];
    if ((!known && values_.size() == kUniqueValuesMax) ||
        had + count > std::numeric_limits<std::uint32_t>::max()) {
        for (const CountedValue& each : values())
            buckets_.add(each.value, each.count);
        values_ = {};
        counts_ = {};
        return buckets_.add(value, count);
    }
    if (counts_.empty() && had + count > 1) counts_.assign(values_.size(), 1);
    if (!known) {
        values_.insert(at, value);
        if (!counts_.empty()) counts_.insert(counts_.begin() + index, 0);
    }
    if (!counts_.empty())
        counts_[static_cast<std::size_t>(index)] = static_cast<std::uint32_t>(had + count);
}

void Statistics::merge(const Statistics& other) {
    if (other.count_ == 0) return;
    if (other.exact()) {
        for (const CountedValue& each : other.values())
            put(each.value, each.count);
    } else {
        if (exact()) {
            for (const CountedValue& each : values())
                buckets_.add(each.value, each.count);
            values_ = {};
            counts_ = {};
        }
        buckets_.merge(other.buckets_);
    }
    minimum_ = count_ == 0 ? other.minimum_ : std::min(minimum_, other.minimum_);
    maximum_ = count_ == 0 ? other.maximum_ : std::max(maximum_, other.maximum_);
    sum_ += other.sum_;
    count_ += other.count_;
}

namespace {

// Takes one `value` out of the bucket at one end and gives it a place of its own.
void set_apart(std::vector<CountedValue>& values, bool first, double value) {
    CountedValue& bucket = first ? values.front() : values.back();
    if (bucket.count == 1) {
        bucket.value = value;
        return;
    }
    const double sum = bucket.value * static_cast<double>(bucket.count) - value;
    --bucket.count;
    const double mean = sum / static_cast<double>(bucket.count);
    bucket.value = first ? std::max(mean, value) : std::min(mean, value);
    if (bucket.value == value) {
        ++bucket.count;
        return;
    }
    values.insert(first ? values.begin() : values.end(), CountedValue{value, 1});
}

}  // namespace

std::vector<CountedValue> Statistics::values() const {
    if (!exact()) {
        std::vector<CountedValue> out = buckets_.values();
        set_apart(out, true, minimum_);
        set_apart(out, false, maximum_);
        return out;
    }
    std::vector<CountedValue> out;
    out.reserve(values_.size());
    for (std::size_t i = 0; i < values_.size(); ++i)
        out.push_back({values_[i], counts_.empty() ? 1 : counts_[i]});
    return out;
}

std::size_t Aggregation::series(const MetricIdentity& metric, std::chrono::milliseconds period) {
    const auto known = numbers_.find(metric);
    if (known != numbers_.end()) return known->second;
    auto shared = std::make_shared<const MetricIdentity>(metric);
    series_.push_back({shared, period.count() == 0 ? period_ : period, {}});
    return numbers_.emplace(std::move(shared), series_.size() - 1).first->second;
}

void Aggregation::add(std::size_t series, WallTime at, double value, bool carried) {
    const std::chrono::milliseconds over = series_[series].period;
    const WallTime begin{at.time_since_epoch() / over * over};
    std::vector<Period>& periods = series_[series].periods;
    // Samples come in order, mostly.
    auto it = periods.end();
    while (it != periods.begin()) {
        const auto before = std::prev(it);
        if (before->begin < begin || (before->begin == begin && before->carried > carried)) break;
        it = before;
        if (it->begin == begin && it->carried == carried) {
            it->statistics.add(value);
            return;
        }
    }
    it = periods.insert(it, Period{begin, carried, {}});
    it->statistics.add(value);
    ++datum_count_;
}

std::vector<Datum> Aggregation::take() {
    std::vector<Datum> datums = take(KeptBack{}, false);
    numbers_.clear();
    series_.clear();
    return datums;
}

std::vector<Datum> Aggregation::take(const KeptBack& kept, bool leave_carried) {
    std::vector<Datum> datums;
    datums.reserve(datum_count_);
    datum_count_ = 0;
    for (const auto& [metric, number] : numbers_) {
        std::vector<Period> stay;
        const std::size_t first = datums.size();
        for (Period& period : series_[number].periods) {
            if (kept.contains(period.begin) && (leave_carried || !period.carried)) {
                period.carried = true;
                if (!stay.empty() && stay.back().begin == period.begin) {
                    stay.back().statistics.merge(period.statistics);
                } else {
                    stay.push_back(std::move(period));
                }
            } else if (datums.size() > first && datums.back().timestamp == period.begin) {
                datums.back().statistics.merge(period.statistics);
            } else {
                datums.push_back(
                    {metric, period.begin, std::move(period.statistics), series_[number].period});
            }
        }
        datum_count_ += stay.size();
        series_[number].periods = std::move(stay);
    }
    return datums;
}

bool Aggregation::carries() const {
    return std::any_of(series_.begin(), series_.end(), [](const Series& series) {
        return std::any_of(series.periods.begin(), series.periods.end(),
                           [](const Period& period) { return period.carried; });
    });
}

void Aggregation::compact() {
    std::vector<Series> held;
    for (auto it = numbers_.begin(); it != numbers_.end();) {
        Series& series = series_[it->second];
        if (series.periods.empty()) {
            it = numbers_.erase(it);
            continue;
        }
        it->second = held.size();
        held.push_back(std::move(series));
        ++it;
    }
    series_ = std::move(held);
}

}  // namespace ridgeline::collector
