#include "collector/rule/exact_sum.h"

#include <cmath>

namespace ridgeline::collector {

namespace {

// Keeps sums of the greatest doubles finite. What it rounds off numbers below 1e-289 it rounds off
// alike when they come and when they go.
constexpr double kScale = 0x1p-64;

}  // namespace

void ExactSum::add(double value) {
    add_scaled(value * kScale);
}

void ExactSum::add_scaled(double rest) {
    std::size_t kept = 0;
    for (double part : parts_) {
        if (std::abs(rest) < std::abs(part)) std::swap(rest, part);
        const double high = rest + part;
        const double low = part - (high - rest);
        if (low != 0) parts_[kept++] = low;
        rest = high;
    }
    parts_.resize(kept);
    if (rest != 0) parts_.push_back(rest);
}

double ExactSum::rounded() const {
    if (parts_.empty()) return 0;
    std::size_t i = parts_.size() - 1;
    double high = parts_[i];
    double low = 0;
    while (i > 0 && low == 0) {
        const double part = parts_[--i];
        const double sum = high + part;
        low = part - (sum - high);
        high = sum;
    }
    // Halfway between two doubles, what lies below decides which way it is rounded.
    if (i > 0 && ((low < 0 && parts_[i - 1] < 0) || (low > 0 && parts_[i - 1] > 0))) {
        const double twice = low * 2;
        const double rounded = high + twice;
        if (rounded - high == twice) high = rounded;
    }
    return high;
}

double ExactSum::mean(double count) const {
    const double high = rounded();
    if (parts_.size() < 2) return high / count / kScale;
    // Rounded twice, the mean of equal values would not be that value: what the sum and the
    // division rounded off goes back in (Dekker 1971).
    ExactSum rest = *this;
    rest.add_scaled(-high);
    const double mean = high / count;
    const double left = std::fma(-mean, count, high) + rest.rounded();
    return (mean + left / count) / kScale;
}

}  // namespace ridgeline::collector
