#include "collector/rule/reduction.h"

#include <array>

namespace ridgeline::collector {

std::string_view to_string(Agg agg) {
    constexpr std::array<std::string_view, kAggCount> kNames = {
        "last", "avg", "min", "max", "sum", "count", "p50", "p90", "p95", "p99", "rate", "delta"};
    return kNames[static_cast<std::size_t>(agg)];
}

bool of_increases(Agg agg) {
    return agg == Agg::rate || agg == Agg::delta;
}

std::optional<double> percentile(Agg agg) {
    if (agg == Agg::p50) return 0.50;
    if (agg == Agg::p90) return 0.90;
    if (agg == Agg::p95) return 0.95;
    if (agg == Agg::p99) return 0.99;
    return {};
}

std::string unit_of(Agg agg, std::string_view unit) {
    if (agg == Agg::count) return "{sample}";
    if (agg != Agg::rate) return std::string(unit);
    // Seconds a second are a share: of CPU time, of time spent waiting.
    return unit == "s" ? "1" : std::string(unit) + "/s";
}

std::string unit_of_ratio(std::string_view unit, std::string_view divisor) {
    constexpr std::string_view kPerSecond = "/s";
    if (unit.ends_with(kPerSecond) && divisor.ends_with(kPerSecond)) {
        unit.remove_suffix(kPerSecond.size());
        divisor.remove_suffix(kPerSecond.size());
    }
    // UCUM: what stands in braces is a name, not a dimension.
    const auto counts = [](std::string_view u) {
        return u == "1" || (u.starts_with('{') && u.ends_with('}'));
    };
    if (unit == divisor || (counts(unit) && counts(divisor))) return "1";
    return std::string(unit) + "/" + std::string(divisor);
}

}  // namespace ridgeline::collector
