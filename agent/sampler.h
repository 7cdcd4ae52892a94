// Reads every source when it is due and keeps each one's record: on the loop, or on a worker thread
// when reading can take long.
//
// A source that says so, or that turns out to be slow, is read on a worker; while it is there the
// others keep their beat, its own ticks are counted as overruns, and after its patience it is
// reported as stuck until it comes back. Loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/pipeline/agent_status.h"
#include "agent/pipeline/schedule.h"
#include "agent/source/catalogue.h"
#include "common/base/clock.h"
#include "common/net/uv.h"

namespace ridgeline::agent {

// A read on the loop that takes longer delays others beyond their nominal stamps. One such read can
// be the host's fault, three in a row are the source's; so is a single one of a second.
inline constexpr std::chrono::milliseconds kSlowRead = kNominalStampLateness;
inline constexpr unsigned kSlowReadsMax = 3;
inline constexpr std::chrono::seconds kVerySlowRead{1};
// libuv has four worker threads; one is left to the spool's fsync, whatever hangs.
inline constexpr std::size_t kReadersMax = 3;
// A source read later than this, and than twice its interval, has a gap behind it. An overloaded
// host whose agent gets no turn for seconds still has its rates: that is when they are wanted.
inline constexpr std::chrono::seconds kGapMin{30};
// Thinning stretches intervals, but not beyond this.
inline constexpr std::chrono::seconds kStretchedMax{60};

class Sampler {
  public:
    // `on_round` takes what a source has read: it calls source.emit(). Called for rounds that
    // succeeded, or whose source emits after errors too. `after_worker` follows when the round came
    // from a worker, outside turn().
    Sampler(
        net::Loop& loop, const Clock& clock,
        std::function<void(std::size_t index, Source& source, const SampleInstant& at)> on_round,
        std::function<void()> after_worker);

    // Replaces all sources. What is counted goes on from where it was, of each source by its name.
    // What a worker is still reading for the old ones, or what waits for one, is not used: those
    // ticks are counted as missed.
    void set_sources(std::vector<ScheduledSource> sources, std::chrono::milliseconds batch);
    // Samples what is due. True when a batch ends with this turn.
    bool turn();
    MonoTime next_due() const { return schedule_->next_due(); }
    // Multiplies the intervals; 1 is as configured.
    void set_stretch(unsigned factor);

    std::size_t size() const { return tasks_.size(); }
    const std::string& name(std::size_t index) const { return tasks_[index].status.name; }
    std::vector<SourceStatus> status() const;
    std::uint64_t ticks_missed() const { return ticks_missed_before_ + schedule_->ticks_missed(); }
    std::uint64_t wall_steps() const { return wall_steps_before_ + schedule_->wall_steps(); }
    Lateness take_lateness();
    bool worker_busy() const { return readers_busy_ > 0; }

  private:
    struct Counts {
        std::uint64_t rounds = 0, errors = 0, overruns = 0;
    };
    // Shared with the worker that reads it, which may outlive a reload.
    struct Task {
        std::shared_ptr<Source> source;
        std::chrono::milliseconds interval{0};  // as configured
        SourceStatus status;
        unsigned slow_reads = 0;
        bool proved_slow = false;  // and is read on a worker for good
        bool busy = false;
        bool waits = false;  // for a worker
        std::optional<MonoTime> read_at, read_well_at;
        MonoTime begun;
    };
    void keep_counts();
    // The source is read at this instant.
    SampleInstant instant_of(Task& task, WallTime wall, MonoTime mono) const;
    void read_here(std::size_t index, const SampleInstant& at);
    void read_in_worker(std::size_t index, const SampleInstant& at);
    // Gives a worker to the next that waits and whose name no read of before a reload still hangs
    // on.
    void begin_waiting();
    void finish(std::size_t index, const SampleInstant& at, const Result<void>& read,
                std::chrono::nanoseconds took);
    void note_error(Task& task, const std::string& error);
    void look_for_stuck();

    net::Loop* loop_;
    const Clock* clock_;
    std::function<void(std::size_t, Source&, const SampleInstant&)> on_round_;
    std::function<void()> after_worker_;
    std::vector<Task> tasks_;
    std::optional<Schedule> schedule_;
    // Of the schedules, and of the sources of any name, before the last set_sources().
    std::uint64_t ticks_missed_before_ = 0, wall_steps_before_ = 0;
    Lateness lateness_before_;
    std::map<std::string, Counts> counts_before_;
    std::size_t batch_entry_ = 0;
    std::uint64_t generation_ = 0;  // of the tasks; a worker's result of an older one is not used
    std::size_t readers_busy_ = 0;
    std::set<std::string> reading_;  // names, of older generations too: what hangs is not joined
    // Due, but without a worker yet; each at most once.
    std::deque<std::pair<std::size_t, SampleInstant>> waiting_;
};

}  // namespace ridgeline::agent
