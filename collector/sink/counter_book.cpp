#include "collector/sink/counter_book.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// Samples are so far apart at most, or three times as far as the last two were, without anything
// missing between them.
constexpr std::chrono::milliseconds kGapLeast = 2min;
constexpr std::chrono::milliseconds kGapUnknown = 1h;  // while it is not known how far they are

}  // namespace

bool CounterBook::Counter::gap_before(const Chain& chain, WallTime at) {
    const auto most = chain.every.count() == 0 ? kGapUnknown : std::max(kGapLeast, 3 * chain.every);
    return at - chain.at > most;
}

std::optional<double> CounterBook::Counter::step(WallTime at, double value, bool backlog) {
    Chain& chain = backlog ? backlog_ : live_;
    if (chain.known && at <= chain.at) return std::nullopt;
    std::optional<double> grown;
    if (chain.known && !gap_before(chain, at)) {
        grown = value >= chain.value ? value - chain.value : value;
        chain.every = at - chain.at;
    } else if (chain.known && !backlog && (!backlog_.known || backlog_.at < chain.at)) {
        backlog_ = chain;
    }
    chain.at = at;
    chain.value = value;
    chain.known = true;
    return grown;
}

std::optional<WallTime> CounterBook::Counter::last() const {
    if (!live_.known && !backlog_.known) return std::nullopt;
    return std::max(live_.at, backlog_.at);
}

void CounterBook::forget_before(WallTime at) {
    std::erase_if(counters_, [&](const auto& entry) {
        const auto last = entry.second.last();
        return last && *last < at;
    });
}

}  // namespace ridgeline::collector
