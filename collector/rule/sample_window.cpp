#include "collector/rule/sample_window.h"

#include <cmath>
#include <utility>

namespace ridgeline::collector {

namespace {

constexpr double kCounter32 = 4294967296.0;

bool sums(Agg agg) {
    return agg == Agg::avg || agg == Agg::sum || of_increases(agg);
}

// Whether what goes in must be known when it leaves.
bool takes_out(Agg agg) {
    return sums(agg) || percentile(agg).has_value();
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

void SampleWindow::put(const Reduction& reduction, std::int64_t time_ms, std::int64_t covers_ms,
                       double value) {
    times_.push_back(time_ms, covers_ms);
    covered_ms_ += covers_ms;
    newest_value_ = value;
    if (takes_out(reduction.agg)) values_.push_back(value);
    if (sums(reduction.agg)) sum_.add(value);
    if (of_increases(reduction.agg) && covers_ms > 0) ++increases_;
    if (percentile(reduction.agg)) sorted_.insert(value);
    if (!is_extreme(reduction.agg)) return;
    const auto outdone = [&](double older) {
        return reduction.agg == Agg::max ? older <= value : older >= value;
    };
    while (!extremes_.empty() && outdone(extremes_.back().value))
        extremes_.pop_back();
    extremes_.push_back({first_number_ + times_.size() - 1, value});
}

void SampleWindow::drop_oldest(const Reduction& reduction) {
    const std::int64_t covers_ms = times_.front_covers_ms();
    covered_ms_ -= covers_ms;
    if (sums(reduction.agg)) sum_.subtract(values_.front());
    if (of_increases(reduction.agg) && covers_ms > 0) --increases_;
    if (percentile(reduction.agg)) sorted_.erase(values_.front());
    if (!values_.empty()) values_.pop_front();
    if (!extremes_.empty() && extremes_.front().number == first_number_) extremes_.pop_front();
    times_.pop_front();
    ++first_number_;
}

std::optional<double> SampleWindow::result(const Reduction& reduction) const {
    const auto window_ms = static_cast<double>(reduction.window.count());
    if (static_cast<double>(covered_ms_) < reduction.coverage_min * window_ms) return {};
    switch (reduction.agg) {
        case Agg::last:
            return newest_value_;
        case Agg::avg:
            return sum_.mean(static_cast<double>(times_.size()));
        case Agg::min:
        case Agg::max:
            return extremes_.front().value;
        case Agg::count:
            return static_cast<double>(times_.size());
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
    while (!times_.empty() && (times_.front_ms() <= time_ms - reduction.window.count() ||
                               times_.size() == kSamplesMax))
        drop_oldest(reduction);
    if (!of_increases(reduction.agg)) {
        put(reduction, time_ms, covers_ms, value);
        return result(reduction);
    }
    const bool joined = covers_ms > 0 && previous_ &&
                        !(reduction.counter && crosses_boot(time_ms - covers_ms, time_ms));
    const auto difference = joined ? increase(reduction, value) : std::nullopt;
    previous_ = value;
    put(reduction, time_ms, difference ? covers_ms : 0, difference.value_or(0));
    return result(reduction);
}

void SampleWindow::on_boot(std::int64_t boot_ms) {
    boot_ms_ = boot_ms;
    // It is told some seconds after the boot, when the first pair across it may have been made.
    std::optional<std::size_t> across;
    times_.each_from_back([&](std::size_t index, std::int64_t time_ms, std::int64_t covers_ms) {
        if (time_ms < boot_ms) return false;
        if (covers_ms == 0 || !crosses_boot(time_ms - covers_ms, time_ms)) return true;
        covered_ms_ -= covers_ms;
        across = index;
        return false;  // what each covers begins where the one before ends: one alone crosses it
    });
    if (!across) return;
    times_.uncover(*across);
    sum_.subtract(std::exchange(values_[*across], 0));
    --increases_;
}

}  // namespace ridgeline::collector
