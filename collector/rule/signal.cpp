#include "collector/rule/signal.h"

#include <algorithm>

namespace ridgeline::collector {

std::optional<std::int64_t> Rhythm::interval_ms() const {
    if (count_ == 0) return {};
    std::array<std::int64_t, kSamples - 1> sorted = gaps_;
    const auto end = sorted.begin() + count_;
    const auto middle = sorted.begin() + (count_ - 1) / 2;
    std::nth_element(sorted.begin(), middle, end);
    return *middle;
}

std::int64_t Rhythm::longest_gap_ms(std::int64_t max_gap_ms) const {
    return std::max(max_gap_ms, interval_ms().value_or(0) * 5 / 2);
}

Rhythm::Gap Rhythm::add(std::int64_t time_ms, std::int64_t max_gap_ms) {
    if (!newest_ms_) {
        newest_ms_ = time_ms;
        return {};
    }
    Gap gap{time_ms - *newest_ms_, false};
    // The first gap there is has no rhythm to be measured by; the rhythm is looked at only when it
    // can matter.
    gap.hole = count_ > 0 && gap.ms > max_gap_ms && gap.ms > longest_gap_ms(max_gap_ms);
    newest_ms_ = time_ms;
    gaps_[next_] = gap.ms;
    next_ = static_cast<std::uint8_t>((next_ + 1) % gaps_.size());
    count_ = static_cast<std::uint8_t>(std::min<std::size_t>(count_ + 1U, gaps_.size()));
    return gap;
}

Signal::Signal(const Reduction& reduction) {
    if (reduction.window.count() > 0) window_ = std::make_unique<SampleWindow>();
}

Signal::Reading Signal::add(const Reduction& reduction, std::int64_t time_ms, double value,
                            std::int64_t max_gap_ms) {
    Reading reading;
    reading.gap = rhythm_.add(time_ms, max_gap_ms);
    const std::int64_t covers_ms = reading.gap.hole ? 0 : reading.gap.ms;
    value_ = window_ ? window_->add(reduction, time_ms, value, covers_ms) : std::optional(value);
    reading.value = value_;
    return reading;
}

void Signal::on_boot(std::int64_t boot_ms) {
    if (window_) window_->on_boot(boot_ms);
}

std::optional<double> Signal::fresh_value(std::int64_t time_ms, std::int64_t max_gap_ms) const {
    const auto newest_ms = rhythm_.newest_ms();
    if (!newest_ms || time_ms - *newest_ms > rhythm_.longest_gap_ms(max_gap_ms)) return {};
    return value_;
}

}  // namespace ridgeline::collector
