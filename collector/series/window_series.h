// One series over the window: sealed chunks, compressed with the wire's column codec, and an open
// head.
//
// Samples are kept in time order whatever order they come in; of two with the same stamp the first
// stays. On regular host metrics a sealed sample takes one to two bytes, one of the head eight.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace ridgeline::collector {

class WindowSeries {
  public:
    // What a head holds before it is sealed: long enough for the codec to pay, short enough to
    // decode for a query.
    static constexpr std::size_t kChunkSamples = 120;

    // Ascending, finite, no duplicates among themselves. Returns how many were new; when that is
    // fewer than given, `fresh` (if not null) is filled with the new ones' indices.
    std::size_t append(std::span<const std::int64_t> times_ms, std::span<const double> values,
                       std::vector<std::size_t>* fresh);
    // In time order, from <= t <= to.
    void for_each(std::int64_t from_ms, std::int64_t to_ms,
                  const std::function<void(std::int64_t, double)>& visit) const;
    // The hours since the epoch in which there are samples.
    void active_hours(std::set<std::int64_t>& hours) const;
    // Drops chunks that end before `oldest_ms`.
    void trim(std::int64_t oldest_ms);

    bool empty() const { return chunks_.empty() && head_values_.empty(); }
    std::int64_t latest_ms() const { return latest_ms_; }
    double latest_value() const { return latest_value_; }
    std::size_t bytes() const;

  private:
    struct Chunk {
        std::int64_t first_ms = 0;
        std::int64_t last_ms = 0;
        std::uint32_t count = 0;
        std::string bytes;
    };
    struct Samples {
        std::vector<std::int64_t> times;
        std::vector<double> values;
    };
    static Chunk seal(std::span<const std::int64_t> times, std::span<const double> values);
    static Samples open(const Chunk& chunk);
    // Times of the head, whichever way it holds them.
    std::vector<std::int64_t> head_times() const;
    bool continues_head(std::span<const std::int64_t> times_ms) const;
    void extend_head(std::span<const std::int64_t> times_ms, std::span<const double> values);
    void seal_head_if_full();
    void insert_late(std::span<const std::int64_t> times, std::span<const double> values,
                     std::vector<bool>& is_new);

    std::vector<Chunk> chunks_;  // ascending, not overlapping, all before the head
    std::vector<double> head_values_;
    // Where the head's times are first, first + step, … they are not written out.
    std::vector<std::int64_t> irregular_times_;  // else as many as there are values
    std::int64_t head_first_ms_ = 0;
    std::int64_t head_step_ms_ = 0;  // 0 until there are two
    std::int64_t latest_ms_ = INT64_MIN;
    double latest_value_ = 0;
};

}  // namespace ridgeline::collector
