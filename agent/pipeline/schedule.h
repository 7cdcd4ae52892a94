// When each source is sampled: at wall-clock multiples of its interval, paced by the monotonic
// clock.
//
// Deadlines are monotonic, so a step of the wall clock neither stops sampling nor makes it run
// wild; the step is noticed at the next look and the ticks are aligned to the new time. A tick that
// nobody looked at in time is not made up for: one sample is taken at once, the instants that
// passed are counted, and the next tick is aligned again. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/source/source.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

// A tick at most this late keeps its nominal stamp, so that every host's samples lie on the same
// grid.
inline constexpr std::chrono::milliseconds kNominalStampLateness{50};

// The spread of the real sampling times around the nominal ones.
struct Lateness {
    std::uint64_t ticks = 0;
    std::chrono::nanoseconds sum{0};
    std::chrono::nanoseconds max{0};

    Lateness& operator+=(const Lateness& other) {
        ticks += other.ticks;
        sum += other.sum;
        max = std::max(max, other.max);
        return *this;
    }
};

class Schedule {
  public:
    explicit Schedule(const Clock& clock) : clock_(&clock) {}

    // Returns the entry's index. Its first tick is the next whole second, whatever the interval:
    // what is looked at once an hour is known at once. The next ones are multiples of `interval`
    // (at least 1 ms).
    std::size_t add(std::chrono::milliseconds interval);
    // From its next tick on the entry comes at multiples of this.
    void set_interval(std::size_t index, std::chrono::milliseconds interval);

    struct Due {
        std::size_t index = 0;
        SampleInstant at;
    };
    // What is due now, by index. An entry that is still busy is not handed out; its overrun is
    // counted.
    const std::vector<Due>& take_due();
    // Between these two the entry is in flight.
    void begin(std::size_t index) { entries_[index].busy = true; }
    void end(std::size_t index) { entries_[index].busy = false; }

    // When take_due() should be called next.
    MonoTime next_due() const;

    std::uint64_t ticks_missed() const { return ticks_missed_; }  // of all entries
    std::uint64_t overruns(std::size_t index) const { return entries_[index].overruns; }
    // Steps of the wall clock, resumes from a suspend among them.
    std::uint64_t wall_steps() const { return wall_steps_; }
    // How long after their deadlines ticks were taken, since the last call of this.
    Lateness take_lateness();

  private:
    struct Entry {
        std::chrono::milliseconds interval{1000};
        WallTime next_wall;  // the nominal instant of the next tick
        MonoTime next_mono;  // when the monotonic clock will be there
        bool started = false;
        bool busy = false;
        std::uint64_t overruns = 0;
    };
    void align(Entry& entry, WallTime wall, MonoTime mono) const;

    const Clock* clock_;
    std::vector<Entry> entries_;
    std::vector<Due> due_;
    bool looked_ = false;
    MonoTime looked_at_;
    std::chrono::nanoseconds wall_offset_{0};  // wall - monotonic at the last look
    std::uint64_t ticks_missed_ = 0;
    std::uint64_t wall_steps_ = 0;
    Lateness lateness_;
};

}  // namespace ridgeline::agent
