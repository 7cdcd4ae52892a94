#include "collector/series/window_series.h"

#include <algorithm>

#include "common/wire/column_codec.h"

namespace ridgeline::collector {

namespace {

// Merges `times`/`values` into the sorted vectors; what has a stamp that is there already is left
// out.
void merge_into(std::vector<std::int64_t>& into_times, std::vector<double>& into_values,
                std::span<const std::int64_t> times, std::span<const double> values,
                std::size_t first_index, std::vector<bool>& is_new) {
    for (std::size_t i = 0; i < times.size(); ++i) {
        const auto at = std::lower_bound(into_times.begin(), into_times.end(), times[i]);
        if (at != into_times.end() && *at == times[i]) continue;
        into_values.insert(into_values.begin() + (at - into_times.begin()), values[i]);
        into_times.insert(at, times[i]);
        is_new[first_index + i] = true;
    }
}

}  // namespace

WindowSeries::Chunk WindowSeries::seal(std::span<const std::int64_t> times,
                                       std::span<const double> values) {
    Chunk chunk{times.front(), times.back(), static_cast<std::uint32_t>(times.size()), {}};
    wire::encode_timestamps(times, chunk.bytes);
    wire::encode_column(values, chunk.bytes);
    chunk.bytes.shrink_to_fit();
    return chunk;
}

WindowSeries::Samples WindowSeries::open(const Chunk& chunk) {
    Samples samples;
    samples.times.resize(chunk.count);
    samples.values.resize(chunk.count);
    std::string_view in = chunk.bytes;
    // Our own bytes from our own memory: they decode.
    if (!wire::decode_timestamps(in, samples.times) || !wire::decode_column(in, samples.values))
        return {};
    return samples;
}

std::vector<std::int64_t> WindowSeries::head_times() const {
    if (!irregular_times_.empty()) return irregular_times_;
    std::vector<std::int64_t> times(head_values_.size());
    for (std::size_t i = 0; i < times.size(); ++i)
        times[i] = head_first_ms_ + static_cast<std::int64_t>(i) * head_step_ms_;
    return times;
}

// Whether the head's times and these are in one step.
bool WindowSeries::continues_head(std::span<const std::int64_t> times_ms) const {
    if (!irregular_times_.empty()) return false;
    const auto held = static_cast<std::int64_t>(head_values_.size());
    const std::int64_t first = held == 0 ? times_ms[0] : head_first_ms_;
    std::int64_t step = head_step_ms_;
    if (held == 1) step = times_ms[0] - first;
    if (held == 0) step = times_ms.size() > 1 ? times_ms[1] - first : 0;
    for (std::size_t i = 0; i < times_ms.size(); ++i) {
        if (times_ms[i] != first + (held + static_cast<std::int64_t>(i)) * step) return false;
    }
    return true;
}

// `times_ms` are later than all that is there.
void WindowSeries::extend_head(std::span<const std::int64_t> times_ms,
                               std::span<const double> values) {
    const std::size_t size = head_values_.size() + values.size();
    if (!continues_head(times_ms)) {
        irregular_times_ = head_times();
        irregular_times_.insert(irregular_times_.end(), times_ms.begin(), times_ms.end());
    } else if (head_values_.empty()) {
        head_first_ms_ = times_ms[0];
        head_step_ms_ = times_ms.size() > 1 ? times_ms[1] - times_ms[0] : 0;
    } else if (head_values_.size() == 1) {
        head_step_ms_ = times_ms[0] - head_first_ms_;
    }
    // It never holds more than a chunk for long, so that is what it grows to and no further.
    if (size > head_values_.capacity()) {
        const std::size_t doubled = std::min(2 * head_values_.capacity(), kChunkSamples);
        head_values_.reserve(std::max(size, doubled));
    }
    head_values_.insert(head_values_.end(), values.begin(), values.end());
}

void WindowSeries::seal_head_if_full() {
    if (head_values_.size() < kChunkSamples) return;
    const std::vector<std::int64_t> times = head_times();
    std::size_t sealed = 0;
    for (; head_values_.size() - sealed >= kChunkSamples; sealed += kChunkSamples) {
        chunks_.push_back(seal(std::span(times).subspan(sealed, kChunkSamples),
                               std::span(head_values_).subspan(sealed, kChunkSamples)));
    }
    const std::vector<double> rest(head_values_.begin() + static_cast<std::ptrdiff_t>(sealed),
                                   head_values_.end());
    head_values_.clear();
    if (head_values_.capacity() > kChunkSamples) head_values_.shrink_to_fit();
    irregular_times_ = {};
    if (!rest.empty()) extend_head(std::span(times).subspan(sealed), rest);
}

std::size_t WindowSeries::append(std::span<const std::int64_t> times_ms,
                                 std::span<const double> values, std::vector<std::size_t>* fresh) {
    if (times_ms.empty()) return 0;
    if (times_ms.front() > latest_ms_) {
        extend_head(times_ms, values);
        latest_ms_ = times_ms.back();
        latest_value_ = values.back();
        seal_head_if_full();
        return times_ms.size();
    }
    std::vector<bool> is_new(times_ms.size(), false);
    insert_late(times_ms, values, is_new);
    if (times_ms.back() > latest_ms_) {
        latest_ms_ = times_ms.back();
        latest_value_ = values.back();
    }
    std::size_t count = 0;
    for (std::size_t i = 0; i < is_new.size(); ++i) {
        if (!is_new[i]) continue;
        ++count;
        if (fresh != nullptr) fresh->push_back(i);
    }
    return count;
}

void WindowSeries::insert_late(std::span<const std::int64_t> times, std::span<const double> values,
                               std::vector<bool>& is_new) {
    std::size_t i = 0;
    while (i < times.size()) {
        const auto chunk =
            std::lower_bound(chunks_.begin(), chunks_.end(), times[i],
                             [](const Chunk& c, std::int64_t t) { return c.last_ms < t; });
        if (chunk == chunks_.end()) break;
        // What lies before the next chunk, or before the head, belongs to this one.
        const std::int64_t until = chunk->last_ms;
        std::size_t n = 0;
        while (i + n < times.size() && times[i + n] <= until)
            ++n;
        Samples samples = open(*chunk);
        merge_into(samples.times, samples.values, times.subspan(i, n), values.subspan(i, n), i,
                   is_new);
        const std::span<const std::int64_t> all_times(samples.times);
        const std::span<const double> all_values(samples.values);
        if (samples.times.size() <= 2 * kChunkSamples) {
            *chunk = seal(all_times, all_values);
        } else {
            const std::size_t half = samples.times.size() / 2;
            *chunk = seal(all_times.subspan(half), all_values.subspan(half));
            chunks_.insert(chunk, seal(all_times.first(half), all_values.first(half)));
        }
        i += n;
    }
    if (i == times.size()) return;
    irregular_times_ = head_times();
    merge_into(irregular_times_, head_values_, times.subspan(i), values.subspan(i), i, is_new);
    seal_head_if_full();
}

void WindowSeries::for_each(std::int64_t from_ms, std::int64_t to_ms,
                            const std::function<void(std::int64_t, double)>& visit) const {
    const auto visit_range = [&](const std::vector<std::int64_t>& times,
                                 const std::vector<double>& values) {
        auto at = std::lower_bound(times.begin(), times.end(), from_ms);
        for (; at != times.end() && *at <= to_ms; ++at) {
            visit(*at, values[static_cast<std::size_t>(at - times.begin())]);
        }
    };
    auto chunk = std::lower_bound(chunks_.begin(), chunks_.end(), from_ms,
                                  [](const Chunk& c, std::int64_t t) { return c.last_ms < t; });
    for (; chunk != chunks_.end() && chunk->first_ms <= to_ms; ++chunk) {
        const Samples samples = open(*chunk);
        visit_range(samples.times, samples.values);
    }
    if (latest_ms_ >= from_ms) visit_range(head_times(), head_values_);
}

void WindowSeries::active_hours(std::set<std::int64_t>& hours) const {
    constexpr std::int64_t kHourMs = 3'600'000;
    for (const Chunk& chunk : chunks_) {
        const std::int64_t first = chunk.first_ms / kHourMs;
        const std::int64_t last = chunk.last_ms / kHourMs;
        hours.insert(first);
        hours.insert(last);
        // Only a chunk that spans more tells nothing of the hours between.
        if (last - first < 2) continue;
        for (const std::int64_t at_ms : open(chunk).times)
            hours.insert(at_ms / kHourMs);
    }
    if (head_values_.empty()) return;
    for (const std::int64_t at_ms : head_times())
        hours.insert(at_ms / kHourMs);
}

void WindowSeries::trim(std::int64_t oldest_ms) {
    const auto keep = std::find_if(chunks_.begin(), chunks_.end(),
                                   [&](const Chunk& c) { return c.last_ms >= oldest_ms; });
    chunks_.erase(chunks_.begin(), keep);
    if (!head_values_.empty() && head_times().back() < oldest_ms) {
        head_values_.clear();
        irregular_times_ = {};
    }
}

std::size_t WindowSeries::bytes() const {
    std::size_t bytes = irregular_times_.capacity() * sizeof(std::int64_t) +
                        head_values_.capacity() * sizeof(double) +
                        chunks_.capacity() * sizeof(Chunk);
    for (const Chunk& chunk : chunks_)
        bytes += chunk.bytes.capacity();
    return bytes;
}

}  // namespace ridgeline::collector
