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

void WindowSeries::seal_head_if_full() {
    while (head_times_.size() >= kChunkSamples) {
        chunks_.push_back(seal(std::span(head_times_).first(kChunkSamples),
                               std::span(head_values_).first(kChunkSamples)));
        head_times_.erase(head_times_.begin(), head_times_.begin() + kChunkSamples);
        head_values_.erase(head_values_.begin(), head_values_.begin() + kChunkSamples);
    }
}

std::size_t WindowSeries::append(std::span<const std::int64_t> times_ms,
                                 std::span<const double> values, std::vector<std::size_t>* fresh) {
    if (times_ms.empty()) return 0;
    if (times_ms.front() > latest_ms_) {
        head_times_.insert(head_times_.end(), times_ms.begin(), times_ms.end());
        head_values_.insert(head_values_.end(), values.begin(), values.end());
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
    merge_into(head_times_, head_values_, times.subspan(i), values.subspan(i), i, is_new);
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
    visit_range(head_times_, head_values_);
}

void WindowSeries::trim(std::int64_t oldest_ms) {
    const auto keep = std::find_if(chunks_.begin(), chunks_.end(),
                                   [&](const Chunk& c) { return c.last_ms >= oldest_ms; });
    chunks_.erase(chunks_.begin(), keep);
    if (!head_times_.empty() && head_times_.back() < oldest_ms) {
        head_times_.clear();
        head_values_.clear();
    }
}

std::size_t WindowSeries::bytes() const {
    std::size_t bytes = head_times_.capacity() * sizeof(std::int64_t) +
                        head_values_.capacity() * sizeof(double) +
                        chunks_.capacity() * sizeof(Chunk);
    for (const Chunk& chunk : chunks_)
        bytes += chunk.bytes.capacity();
    return bytes;
}

}  // namespace ridgeline::collector
