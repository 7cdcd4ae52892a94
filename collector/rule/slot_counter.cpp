#include "collector/rule/slot_counter.h"

namespace ridgeline::collector {

void SlotCounter::add(std::int64_t time_ms, std::uint32_t breaches, std::int64_t width_ms,
                      std::size_t slots) {
    const std::int64_t place = width_ms > 0 ? time_ms - time_ms % width_ms : time_ms;
    if (!entries_.empty() && entries_.back().place == place) {
        Entry& slot = entries_.back();
        if (slot.breaches == 0) slot.time_ms = time_ms;
        slot.breaches |= breaches;
        return;
    }
    entries_.push_back({time_ms, place, breaches});
    while (entries_.size() > slots * kEntriesPerSlot)
        entries_.pop_front();
}

SlotCounter::Count SlotCounter::count(std::size_t level, std::size_t slots,
                                      std::int64_t interval_ms) const {
    Count count;
    if (entries_.empty()) return count;
    const std::int64_t newest = entries_.back().place;
    std::int64_t last_slot = -1;
    bool counted = false;
    for (std::size_t i = entries_.size(); i-- > 0;) {
        const Entry& entry = entries_[i];
        const std::int64_t age = newest - entry.place;
        const std::int64_t slot = interval_ms > 0 ? (age + interval_ms / 2) / interval_ms : age;
        if (slot >= static_cast<std::int64_t>(slots)) break;
        if (slot != last_slot) {
            ++count.filled;
            counted = false;
        }
        last_slot = slot;
        if ((entry.breaches >> level & 1U) == 0) continue;
        count.since_ms = entry.time_ms;
        if (!counted) ++count.breaching;
        counted = true;
    }
    return count;
}

}  // namespace ridgeline::collector
