#include "collector/sink/value_buckets.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::collector {

namespace {

constexpr double kWidth = 1.01;
// More than the number of the bucket of 2^360, so that no magnitude's order is below 1.
constexpr std::int32_t kOffset = 30'000;

// One for two, as widths double: (g^(2i-2), g^2i] is made of the buckets 2i-1 and 2i.
std::int32_t halved(std::int32_t order, std::int32_t offset) {
    if (order == 0) return 0;
    const std::int32_t number = std::abs(order) - offset;
    const std::int32_t half = number >= 0 ? (number + 1) / 2 : -(-number / 2);
    return order > 0 ? half + offset : -(half + offset);
}

}  // namespace

double ValueBuckets::relative_error() const {
    return std::pow(kWidth, std::ldexp(1.0, doublings_)) - 1;
}

std::int32_t ValueBuckets::order_of(double value) const {
    if (value == 0) return 0;
    static const double kLogWidth = std::log(kWidth);
    const double number = std::ceil(std::log(std::abs(value)) / std::ldexp(kLogWidth, doublings_));
    const std::int32_t order = static_cast<std::int32_t>(number) + kOffset;
    return value > 0 ? order : -order;
}

void ValueBuckets::put(const Bucket& bucket) {
    const auto at = std::lower_bound(
        buckets_.begin(), buckets_.end(), bucket.order,
        [](const Bucket& known, std::int32_t order) { return known.order < order; });
    if (at != buckets_.end() && at->order == bucket.order) {
        at->count += bucket.count;
        at->sum += bucket.sum;
        return;
    }
    buckets_.insert(at, bucket);
    if (buckets_.size() > kBucketsMax) widen();
}

void ValueBuckets::add(double value, std::uint64_t count) {
    put({order_of(value), count, value * static_cast<double>(count)});
}

void ValueBuckets::merge(const ValueBuckets& other) {
    while (doublings_ < other.doublings_)
        widen();
    for (const Bucket& bucket : other.buckets_) {
        Bucket wider = bucket;
        for (int i = other.doublings_; i < doublings_; ++i)
            wider.order = halved(wider.order, kOffset);
        // Putting one may widen once more; what follows is brought along above.
        put(wider);
    }
}

void ValueBuckets::widen() {
    ++doublings_;
    std::vector<Bucket> wider;
    wider.reserve(buckets_.size());
    for (Bucket bucket : buckets_) {
        bucket.order = halved(bucket.order, kOffset);
        if (!wider.empty() && wider.back().order == bucket.order) {
            wider.back().count += bucket.count;
            wider.back().sum += bucket.sum;
        } else {
            wider.push_back(bucket);
        }
    }
    buckets_ = std::move(wider);
}

std::vector<CountedValue> ValueBuckets::values() const {
    std::vector<CountedValue> out;
    out.reserve(buckets_.size());
    for (const Bucket& bucket : buckets_)
        out.push_back({bucket.sum / static_cast<double>(bucket.count), bucket.count});
    return out;
}

}  // namespace ridgeline::collector
