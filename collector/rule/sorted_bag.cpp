#include "collector/rule/sorted_bag.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::collector {

// The first block whose greatest value is not below `value`, or the last one.
std::size_t SortedBag::block_of(double value) const {
    const auto it = std::lower_bound(
        blocks_.begin(), blocks_.end(), value,
        [](const std::vector<double>& block, double v) { return block.back() < v; });
    return it == blocks_.end() ? blocks_.size() - 1
                               : static_cast<std::size_t>(it - blocks_.begin());
}

void SortedBag::insert(double value) {
    if (blocks_.empty()) blocks_.push_back({value});
    if (++size_ == 1) return;
    const std::size_t index = block_of(value);
    std::vector<double>& block = blocks_[index];
    // A vector's own growth leaves half of it empty.
    if (block.size() == block.capacity()) block.reserve(block.size() + block.size() / 4 + 4);
    block.insert(std::upper_bound(block.begin(), block.end(), value), value);
    if (block.size() < kBlock) return;
    const auto half = block.begin() + kBlock / 2;
    std::vector<double> upper(half, block.end());
    block.erase(half, block.end());
    blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::move(upper));
}

void SortedBag::erase(double value) {
    if (blocks_.empty()) return;
    const std::size_t index = block_of(value);
    std::vector<double>& block = blocks_[index];
    const auto it = std::lower_bound(block.begin(), block.end(), value);
    if (it == block.end() || *it != value) return;
    block.erase(it);
    --size_;
    if (block.empty()) blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
}

double SortedBag::percentile(double share) const {
    const double rank = std::ceil(share * static_cast<double>(size_));
    std::size_t left = std::clamp<std::size_t>(static_cast<std::size_t>(rank), 1, size_) - 1;
    for (const std::vector<double>& block : blocks_) {
        if (left < block.size()) return block[left];
        left -= block.size();
    }
    return blocks_.back().back();
}

}  // namespace ridgeline::collector
