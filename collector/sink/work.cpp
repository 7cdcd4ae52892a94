#include "collector/sink/work.h"

#include <algorithm>

namespace ridgeline::collector {

void DatumRanges::add(DatumRange range) {
    if (range.begin >= range.end) return;
    // The first one that touches or overlaps, or lies behind.
    auto first = std::lower_bound(
        ranges_.begin(), ranges_.end(), range.begin,
        [](const DatumRange& known, std::size_t begin) { return known.end < begin; });
    auto last = first;
    for (; last != ranges_.end() && last->begin <= range.end; ++last) {
        range.begin = std::min(range.begin, last->begin);
        range.end = std::max(range.end, last->end);
    }
    first = ranges_.erase(first, last);
    ranges_.insert(first, range);
}

std::vector<DatumRange> DatumRanges::missing(std::size_t total) const {
    std::vector<DatumRange> out;
    std::size_t at = 0;
    for (const DatumRange& range : ranges_) {
        if (range.begin >= total) break;
        if (at < range.begin) out.push_back({at, range.begin});
        at = range.end;
    }
    if (at < total) out.push_back({at, total});
    return out;
}

std::size_t DatumRanges::count() const {
    std::size_t sum = 0;
    for (const DatumRange& range : ranges_)
        sum += range.size();
    return sum;
}

bool Stretch::takes(LogPosition position, WallTime at) const {
    if (position < taken_until) return kept_before.contains(at) && !leaves_kept_before;
    return position < whole_until || !kept_after.contains(at);
}

std::optional<Stretch> joined(const Stretch& first, const Stretch& second) {
    if (first.end != second.taken_until || first.kept_after != second.kept_before)
        return std::nullopt;
    // One that leaves what was kept before has no whole records.
    if (second.leaves_kept_before && second.whole_until > second.taken_until) return std::nullopt;
    Stretch both = first;
    both.read_from = std::min(first.read_from, second.read_from);
    // The second takes what the first kept back, and has whole records of its own.
    if (!second.leaves_kept_before)
        both.whole_until = std::max(second.taken_until, second.whole_until);
    both.end = second.end;
    both.kept_after = second.kept_after;
    both.leaves_kept_before = first.leaves_kept_before && second.leaves_kept_before;
    return both;
}

Stretch cut_front(Stretch& stretch, const StretchCut& cut) {
    Stretch front = stretch;
    front.end = cut.position;
    const bool keeps = cut.kept.begin < cut.kept.end;
    if (keeps) {
        front.whole_until = front.taken_until;
        front.kept_after = cut.kept;
    } else {
        front.whole_until = std::min(stretch.whole_until, cut.position);
    }
    // What the front leaves to the stretch after both, the second part leaves to it, too.
    const bool leaves = !keeps && stretch.whole_until < cut.position;
    stretch.read_from = keeps ? cut.kept_from : cut.position;
    stretch.taken_until = cut.position;
    stretch.kept_before = keeps ? cut.kept : leaves ? stretch.kept_after : KeptBack{};
    stretch.whole_until = std::max(stretch.whole_until, cut.position);
    stretch.leaves_kept_before = leaves;
    return front;
}

}  // namespace ridgeline::collector
