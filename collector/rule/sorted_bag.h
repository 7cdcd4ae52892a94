// The values of a window in order, for percentiles: exact, with values coming and going.
//
// Blocks of at most kBlock sorted values. To put in, take out or find one costs a walk over the
// blocks and a move within one: for the most a window may hold, a few hundred steps, for a minute's
// samples a dozen.
#pragma once

#include <cstddef>
#include <vector>

namespace ridgeline::collector {

class SortedBag {
  public:
    void insert(double value);
    void erase(double value);  // one that is in it
    // The smallest value that no fewer than `share` of the values do not exceed (nearest rank).
    // Of a bag that is not empty.
    double percentile(double share) const;
    std::size_t size() const { return size_; }

  private:
    static constexpr std::size_t kBlock = 512;
    std::size_t block_of(double value) const;

    std::vector<std::vector<double>> blocks_;  // none empty
    std::size_t size_ = 0;
};

}  // namespace ridgeline::collector
