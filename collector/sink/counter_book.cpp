#include "collector/sink/counter_book.h"

namespace ridgeline::collector {

std::optional<double> CounterBook::Counter::step(WallTime sampled_at, double sampled) {
    if (known && sampled_at <= at) return std::nullopt;
    std::optional<double> grown;
    if (known) grown = sampled >= value ? sampled - value : sampled;
    at = sampled_at;
    value = sampled;
    known = true;
    return grown;
}

void CounterBook::forget_before(WallTime at) {
    std::erase_if(counters_,
                  [&](const auto& entry) { return entry.second.known && entry.second.at < at; });
}

}  // namespace ridgeline::collector
