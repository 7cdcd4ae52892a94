#include "agent/pipeline/batch_number.h"

#include <algorithm>
#include <iterator>

namespace ridgeline::agent {

bool Numbering::note(std::uint64_t sequence, BatchNumber number) {
    if (!ranges_.empty()) {
        Range& last = ranges_.back();
        if (last.first.epoch == number.epoch && number.number > last.first.number &&
            number.number - last.first.number == sequence - last.from) {
            last.next = number.number + 1;
            return true;
        }
    }
    if (sequence_of(number)) return false;
    ranges_.push_back({sequence, number, number.number + 1});
    return true;
}

void Numbering::append(const Numbering& other, std::uint64_t shift) {
    for (Range range : other.ranges_) {
        range.from += shift;
        ranges_.push_back(range);
    }
}

BatchNumber Numbering::number_of(std::uint64_t sequence) const {
    const auto after =
        std::upper_bound(ranges_.begin(), ranges_.end(), sequence,
                         [](std::uint64_t s, const Range& range) { return s < range.from; });
    if (after == ranges_.begin()) return {};
    const Range& range = *std::prev(after);
    return {range.first.epoch, range.first.number + (sequence - range.from)};
}

std::optional<std::uint64_t> Numbering::sequence_of(BatchNumber number) const {
    for (const Range& range : ranges_) {
        if (range.first.epoch == number.epoch && number.number >= range.first.number &&
            number.number < range.next) {
            return range.from + (number.number - range.first.number);
        }
    }
    return std::nullopt;
}

bool Numbering::knows(std::uint64_t epoch) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&](const Range& range) { return range.first.epoch == epoch; });
}

}  // namespace ridgeline::agent
