#include "agent/pipeline/schedule.h"

#include <algorithm>
#include <utility>

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

// What the wall clock gains or loses beyond this, and beyond the fastest slewing (a tenth:
// adjtimex, tick; chrony does a twelfth), is a step, or a suspend, during which the monotonic clock
// stands still.
constexpr milliseconds kWallStep{50};
constexpr int kSlewOneIn = 10;

constexpr milliseconds kFirstTickWithin{1000};

WallTime multiple_at_or_before(WallTime wall, milliseconds interval) {
    auto past = wall.time_since_epoch() % interval;
    if (past < milliseconds{0}) past += interval;
    return wall - past;
}

}  // namespace

std::size_t Schedule::add(milliseconds interval) {
    Entry entry;
    entry.interval = std::max(interval, milliseconds{1});
    align(entry, clock_->wall_now(), clock_->mono_now());
    entries_.push_back(entry);
    return entries_.size() - 1;
}

void Schedule::set_interval(std::size_t index, milliseconds interval) {
    Entry& entry = entries_[index];
    if (entry.interval == interval) return;
    entry.interval = std::max(interval, milliseconds{1});
    align(entry, clock_->wall_now(), clock_->mono_now());
}

Lateness Schedule::take_lateness() {
    return std::exchange(lateness_, {});
}

void Schedule::align(Entry& entry, WallTime wall, MonoTime mono) const {
    const milliseconds grid =
        entry.started ? entry.interval : std::min(entry.interval, kFirstTickWithin);
    entry.next_wall = multiple_at_or_before(wall, grid) + grid;
    entry.next_mono = mono + (entry.next_wall - wall);
}

const std::vector<Schedule::Due>& Schedule::take_due() {
    due_.clear();
    const WallTime wall = clock_->wall_now();
    const MonoTime mono = clock_->mono_now();
    const auto offset = wall.time_since_epoch() - mono.time_since_epoch();
    const bool stepped = looked_ && std::chrono::abs(offset - wall_offset_) >
                                        kWallStep + (mono - looked_at_) / kSlewOneIn;
    looked_at_ = mono;
    if (stepped) ++wall_steps_;
    wall_offset_ = offset;
    looked_ = true;

    for (std::size_t i = 0; i < entries_.size(); ++i) {
        Entry& entry = entries_[i];
        const bool is_due = mono >= entry.next_mono;
        if (is_due && entry.started && !stepped) {
            const std::chrono::nanoseconds late = mono - entry.next_mono;
            ++lateness_.ticks;
            lateness_.sum += late;
            lateness_.max = std::max(lateness_.max, late);
        }
        WallTime stamp = wall;
        if (stepped) {
            align(entry, wall, mono);
        } else if (is_due) {
            // A look may be a millisecond early by the wall clock, which is cut to milliseconds.
            const WallTime nominal =
                std::max(entry.next_wall, multiple_at_or_before(wall, entry.interval));
            ticks_missed_ +=
                static_cast<std::uint64_t>((nominal - entry.next_wall) / entry.interval);
            if (wall - nominal <= kNominalStampLateness) stamp = nominal;
            entry.started = true;
            entry.next_wall = multiple_at_or_before(nominal, entry.interval) + entry.interval;
            entry.next_mono = mono + (entry.next_wall - wall);
        } else {
            entry.next_mono =
                mono + (entry.next_wall - wall);  // follows the slewing of the wall clock
        }
        if (!is_due) continue;
        if (entry.busy) {
            ++entry.overruns;
        } else {
            due_.push_back({i, {stamp, mono}});
        }
    }
    return due_;
}

MonoTime Schedule::next_due() const {
    MonoTime next = MonoTime::max();
    for (const Entry& entry : entries_)
        next = std::min(next, entry.next_mono);
    return next;
}

}  // namespace ridgeline::agent
