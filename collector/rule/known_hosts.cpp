#include "collector/rule/known_hosts.h"

#include <algorithm>

namespace ridgeline::collector {

BatchTimes times_of(const LogBatch& batch) {
    BatchTimes times{to_unix_ms(batch.received), INT64_MAX, INT64_MIN, batch.backlog};
    for (const SampleGroup& group : batch.block.groups) {
        if (group.timestamps_ms.empty()) continue;
        times.oldest_ms = std::min(times.oldest_ms, group.timestamps_ms.front());
        times.newest_ms = std::max(times.newest_ms, group.timestamps_ms.back());
    }
    // One without samples says that its host lives, and nothing of its clock.
    if (times.newest_ms == INT64_MIN) {
        times.oldest_ms = times.newest_ms = times.received_ms;
        times.backlog = true;
    }
    return times;
}

void KnownHost::on_batch(const BatchTimes& batch) {
    on_alive(batch.received_ms);
    if (batch.backlog) return;
    // A batch holds what was sampled since the one before; the first one's span is all there is to
    // go by.
    std::int64_t interval = std::max<std::int64_t>(batch.newest_ms - batch.oldest_ms, 0);
    if (live_ms_ != INT64_MIN) {
        interval = std::max(interval, batch.received_ms - live_ms_);
        regular_ = true;
    }
    live_ms_ = batch.received_ms;
    intervals_[interval_count_++ % kIntervals] = interval;

    lags_[lag_count_++ % kLags] = batch.received_ms - batch.newest_ms;
    const auto end = lags_.begin() + static_cast<std::ptrdiff_t>(std::min(lag_count_, kLags));
    const std::int64_t least = *std::min_element(lags_.begin(), end);
    const bool skewed = least > kSkewMaxMs || least < -kSkewMaxMs;
    offset_ms_ = skewed && lag_count_ >= kLagsMin ? least : 0;
}

void KnownHost::on_alive(std::int64_t now_ms) {
    heard_ms_ = std::max(heard_ms_, now_ms);
    heard_ = true;
}

void KnownHost::restore(const HostRecord& record) {
    heard_ms_ = std::max(heard_ms_, record.heard_ms);
    regular_ = true;
    if (interval_count_ == 0) intervals_[interval_count_++] = record.interval_ms;
}

void KnownHost::clamp(std::int64_t now_ms) {
    heard_ms_ = std::min(heard_ms_, now_ms);
    live_ms_ = std::min(live_ms_, now_ms);
}

std::int64_t KnownHost::interval_ms() const {
    if (interval_count_ == 0) return 0;
    std::array<std::int64_t, kIntervals> sorted = intervals_;
    const std::size_t count = std::min(interval_count_, kIntervals);
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(count));
    return *middle;
}

KnownHost& KnownHosts::meet(const HostInfo& info) {
    return hosts_.try_emplace(info.host_id, info).first->second;
}

KnownHost* KnownHosts::find(const std::string& id) {
    const auto it = hosts_.find(id);
    return it == hosts_.end() ? nullptr : &it->second;
}

const KnownHost* KnownHosts::find(const std::string& id) const {
    const auto it = hosts_.find(id);
    return it == hosts_.end() ? nullptr : &it->second;
}

void KnownHosts::clamp(std::int64_t now_ms) {
    for (auto& [id, host] : hosts_)
        host.clamp(now_ms);
}

}  // namespace ridgeline::collector
