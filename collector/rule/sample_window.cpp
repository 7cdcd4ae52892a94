#include "collector/rule/sample_window.h"

#include <cmath>

namespace ridgeline::collector {

namespace {

constexpr double kCounter32 = 4294967296.0;

bool sums(Agg agg) {
    return agg == Agg::avg || agg == Agg::sum || of_increases(agg);
}

bool is_extreme(Agg agg) {
    return agg == Agg::min || agg == Agg::max;
}

}  // namespace

bool SampleWindow::crosses_boot(std::int64_t from_ms, std::int64_t to_ms) const {
    return boot_ms_ && from_ms < *boot_ms_ && *boot_ms_ <= to_ms;
}

// Since the sample before. A counter's fall is a reset, of which nobody knows how far it had come,
// unless it is declared to begin anew at 2^32; and even then a fall by less than half of that is
// more likely one.
std::optional<double> SampleWindow::increase(const Reduction& reduction, double value) const {
    const double difference = value - *previous_;
    if (!std::isfinite(difference)) return {};
    if (difference >= 0 || !reduction.counter) return difference;
    if (reduction.counter_bits != 32 || *previous_ >= kCounter32 || value < 0) return {};
    const double wrapped = difference + kCounter32;
    return wrapped < kCounter32 / 2 ? std::optional(wrapped) : std::nullopt;
}

void SampleWindow::put(const Reduction& reduction, const Sample& sample) {
    samples_.push_back(sample);
    covered_ms_ += sample.covers_ms;
    const double value = sample.value;
    if (sums(reduction.agg)) sum_.add(value);
    if (of_increases(reduction.agg) && sample.covers_ms > 0) ++increases_;
    if (percentile(reduction.agg)) sorted_.insert(value);
    if (!is_extreme(reduction.agg)) return;
    const auto outdone = [&](double older) {
        return reduction.agg == Agg::max ? older <= value : older >= value;
    };
    while (!extremes_.empty() && outdone(extremes_.back().value))
        extremes_.pop_back();
    extremes_.push_back({first_number_ + samples_.size() - 1, value});
}

void SampleWindow::drop_oldest(const Reduction& reduction) {
    const Sample& oldest = samples_.front();
    covered_ms_ -= oldest.covers_ms;
    if (sums(reduction.agg)) sum_.subtract(oldest.value);
    if (of_increases(reduction.agg) && oldest.covers_ms > 0) --increases_;
    if (percentile(reduction.agg)) sorted_.erase(oldest.value);
    if (!extremes_.empty() && extremes_.front().number == first_number_) extremes_.pop_front();
    samples_.pop_front();
    ++first_number_;
}

std::optional<double> SampleWindow::result(const Reduction& reduction) const {
    const auto window_ms = static_cast<double>(reduction.window.count());
    if (static_cast<double>(covered_ms_) < reduction.coverage_min * window_ms) return {};
    switch (reduction.agg) {
        case Agg::last:
            return samples_.back().value;
        case Agg::avg:
            return sum_.mean(static_cast<double>(samples_.size()));
        case Agg::min:
        case Agg::max:
            return extremes_.front().value;
        case Agg::count:
            return static_cast<double>(samples_.size());
        case Agg::p50:
        case Agg::p90:
        case Agg::p95:
        case Agg::p99:
            return sorted_.percentile(*percentile(reduction.agg));
        case Agg::rate:
            // One pair may be an odd one.
            if (increases_ < 2) return {};
            return sum_.value() / (static_cast<double>(covered_ms_) / 1000);
        case Agg::sum:
        case Agg::delta:
            if (of_increases(reduction.agg) && increases_ == 0) return {};
            return sum_.value();
    }
    return {};
}

std::optional<double> SampleWindow::add(const Reduction& reduction, std::int64_t time_ms,
                                        double value, std::int64_t covers_ms) {
    while (!samples_.empty() && (samples_.front().time_ms <= time_ms - reduction.window.count() ||
                                 samples_.size() == kSamplesMax))
        drop_oldest(reduction);
    Sample sample{time_ms, covers_ms, value};
    if (of_increases(reduction.agg)) {
        const bool joined = covers_ms > 0 && previous_ &&
                            !(reduction.counter && crosses_boot(time_ms - covers_ms, time_ms));
        const auto difference = joined ? increase(reduction, value) : std::nullopt;
        sample = {time_ms, difference ? covers_ms : 0, difference.value_or(0)};
        previous_ = value;
    }
    put(reduction, sample);
    return result(reduction);
}

void SampleWindow::on_boot(std::int64_t boot_ms) {
    boot_ms_ = boot_ms;
    // It is told some seconds after the boot, when the first pair across it may have been made.
    for (std::size_t i = samples_.size(); i-- > 0 && samples_[i].time_ms >= boot_ms;) {
        Sample& sample = samples_[i];
        if (sample.covers_ms == 0 ||
            !crosses_boot(sample.time_ms - sample.covers_ms, sample.time_ms))
            continue;
        covered_ms_ -= sample.covers_ms;
        sum_.subtract(sample.value);
        --increases_;
        sample.covers_ms = 0;
        sample.value = 0;
    }
}

}  // namespace ridgeline::collector
