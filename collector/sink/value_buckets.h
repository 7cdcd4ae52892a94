// A distribution of any number of values in buckets 1 % wide, for percentiles. Pure.
//
// A bucket holds the magnitudes of (g^(i-1), g^i], g = 1.01, and answers with the mean of what it
// took in, so that a percentile read from it is off by less than the bucket's width, 1 %, and the
// sum of all values is right. Beyond kBucketsMax, which takes values spread over more than 1 to
// 34,000, every two buckets become one and the width doubles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ridgeline::collector {

struct CountedValue {
    double value = 0;
    std::uint64_t count = 0;
    bool operator==(const CountedValue&) const = default;
};

class ValueBuckets {
  public:
    static constexpr std::size_t kBucketsMax = 1'050;  // seven datums of 150 values

    bool empty() const { return buckets_.empty(); }
    std::size_t size() const { return buckets_.size(); }
    // How far a percentile may be off, as a ratio: 0.01 until buckets had to be merged.
    double relative_error() const;
    // `value` must be finite; zero, or of a magnitude within 2^-360..2^360.
    void add(double value, std::uint64_t count = 1);
    void merge(const ValueBuckets& other);
    // The buckets' means, ascending.
    std::vector<CountedValue> values() const;

  private:
    struct Bucket {
        std::int32_t order = 0;  // grows with the value; 0: exactly zero, negative: negative values
        std::uint64_t count = 0;
        double sum = 0;
    };
    std::int32_t order_of(double value) const;
    void put(const Bucket& bucket);
    void widen();

    std::vector<Bucket> buckets_;  // ascending
    int doublings_ = 0;
};

}  // namespace ridgeline::collector
