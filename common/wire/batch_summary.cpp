#include "common/wire/batch_summary.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/units.h"

namespace ridgeline::wire {

void BatchSummary::add(SequenceRange range, const SampleBlock& block,
                       std::uint64_t thinned_samples) {
    BatchSummary one;
    one.batches = 1;
    one.samples = block.sample_count();
    one.thinned = thinned_samples;
    one.sequences.push_back(range);
    for (const SampleGroup& group : block.groups) {
        if (group.timestamps_ms.empty()) continue;
        const auto [low, high] =
            std::minmax_element(group.timestamps_ms.begin(), group.timestamps_ms.end());
        one.oldest_ms = one.oldest_ms == 0 ? *low : std::min(one.oldest_ms, *low);
        one.newest_ms = std::max(one.newest_ms, *high);
    }
    add(one);
}

void BatchSummary::add(const BatchSummary& other) {
    batches += other.batches;
    samples += other.samples;
    thinned += other.thinned;
    for (const SequenceRange& range : other.sequences) {
        if (!sequences.empty() && sequences.back().last + 1 == range.first) {
            sequences.back().last = range.last;
        } else {
            sequences.push_back(range);
        }
    }
    if (other.oldest_ms != 0)
        oldest_ms = oldest_ms == 0 ? other.oldest_ms : std::min(oldest_ms, other.oldest_ms);
    newest_ms = std::max(newest_ms, other.newest_ms);
}

std::string range_text(const std::vector<SequenceRange>& ranges) {
    if (ranges.empty()) return "none";
    std::string text =
        std::to_string(ranges.front().first) + "-" + std::to_string(ranges.back().last);
    if (ranges.size() > 1) text += " in " + std::to_string(ranges.size()) + " ranges";
    return text;
}
std::string time_text(std::int64_t ms) {
    return ms == 0 ? "" : format_rfc3339(from_unix_ms(ms));
}

void put(JsonWriter& json, const std::vector<SequenceRange>& ranges) {
    json.key("sequences").begin_array();
    for (const auto& range : ranges)
        json.begin_array().value(range.first).value(range.last).end_array();
    json.end_array();
}

void put(JsonWriter& json, const BatchSummary& summary) {
    json.field("batches", summary.batches).field("samples", summary.samples);
    json.field("thinned_samples", summary.thinned);
    put(json, summary.sequences);
    const auto time = [&](std::string_view name, std::int64_t ms) {
        json.key(name);
        ms == 0 ? json.null() : json.value(ms);
    };
    time("oldest_ms", summary.oldest_ms);
    time("newest_ms", summary.newest_ms);
}

}  // namespace ridgeline::wire
