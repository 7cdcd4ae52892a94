#include "collector/rule/input.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::collector {

namespace {

// The kernel works its boot time out anew for each who asks; it is a second off now and then.
constexpr std::int64_t kSameBootMs = 5'000;
// What lies further off is as good as never, and a number that can be stored and printed.
constexpr double kFurthestS = 10 * 365 * 86400.0;

}  // namespace

Input::Input(const Rule& rule) : signal_(rule.reduction) {
    companions_.reserve(rule.companions.size());
    for (const Companion& companion : rule.companions)
        companions_.emplace_back(companion.reduction);
    if (rule.forecast) forecast_ = std::make_unique<Forecast>();
}

void Input::on_companion(const Rule& rule, std::size_t companion, std::int64_t time_ms,
                         double value) {
    const Companion& described = rule.companions[companion];
    companions_[companion].add(described.reduction, time_ms, value, rule.max_gap.count());
    if (described.role != Companion::Role::boot || std::abs(value) > 1e12) return;
    const std::int64_t boot_ms = std::llround(value * 1000);
    if (boot_ms_ && std::abs(boot_ms - *boot_ms_) <= kSameBootMs) return;
    boot_ms_ = boot_ms;
    const auto counts = [](const Reduction& reduction) {
        return reduction.counter && of_increases(reduction.agg);
    };
    if (counts(rule.reduction)) signal_.on_boot(boot_ms);
    for (std::size_t i = 0; i < companions_.size(); ++i) {
        if (counts(rule.companions[i].reduction)) companions_[i].on_boot(boot_ms);
    }
}

std::optional<double> Input::companion_value(const Rule& rule, Companion::Role role,
                                             std::int64_t time_ms) const {
    for (std::size_t i = 0; i < companions_.size(); ++i) {
        if (rule.companions[i].role == role)
            return companions_[i].fresh_value(time_ms, rule.max_gap.count());
    }
    return {};
}

Input::Reading Input::on_sample(const Rule& rule, std::int64_t time_ms, double value) {
    const Signal::Reading taken = signal_.add(rule.reduction, time_ms, value, rule.max_gap.count());
    Reading reading{time_ms, taken.gap, taken.value, true, false, {}};
    for (const Companion& companion : rule.companions) {
        if (companion.role == Companion::Role::condition) {
            const auto other = companion_value(rule, companion.role, time_ms);
            reading.also = other && holds(*other, companion.op, companion.at);
            reading.also_clear =
                other && !reading.also &&
                (!companion.clear ||
                 (upward(companion.op) ? *other < *companion.clear : *other > *companion.clear));
        } else if (companion.role == Companion::Role::divisor && reading.value) {
            const auto divisor = companion_value(rule, companion.role, time_ms);
            const double share = divisor && *divisor != 0 ? *reading.value / *divisor : NAN;
            reading.value = std::isfinite(share) ? std::optional(share) : std::nullopt;
        }
    }
    if (forecast_) {
        const auto target = rule.forecast->reaches
                                ? rule.forecast->reaches
                                : companion_value(rule, Companion::Role::target, time_ms);
        reading.eta = forecast_->add(*rule.forecast, time_ms, value, target);
        reading.value.reset();
        if (reading.eta) reading.value = std::min(reading.eta->seconds, kFurthestS);
    }
    return reading;
}

}  // namespace ridgeline::collector
