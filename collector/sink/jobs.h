// The stretches that are not all sent, oldest first, and the datums of those that are in memory.
// Pure.
//
// A stretch whose datums are not in memory is read again when its turn comes. Neighbours that
// nothing was sent of become one, so that an outage of any length is one stretch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "collector/sink/datum.h"
#include "collector/sink/work.h"

namespace ridgeline::collector {

struct Job {
    Work work;
    bool loaded = false;
    bool loading = false;            // being read: stays as it is
    std::vector<Datum> datums;       // while loaded
    std::size_t live = 0;            // so many of them, from the first, are not late
    std::deque<DatumRange> pending;  // of datums: neither sent nor done
    std::set<Marker> in_flight;      // of work.progress->sent: no answer yet
    std::size_t searches_left = 0;   // see CloudWatchLimits
    WallTime flushed_until;          // a flush of the log's end; else 0

    bool has_live() const { return loaded && !pending.empty() && pending.front().begin < live; }
    bool has_pending() const { return loaded && !pending.empty(); }
    // Whether there is something to send once its datums are in memory.
    bool needs_loading() const;
    std::uint64_t samples_in(DatumRange range) const;
};

using JobPtr = std::shared_ptr<Job>;

// A request that may have arrived, and whose it is.
struct Doubtful {
    JobPtr job;
    SentRequest request;
};

std::uint32_t checksum_of(const std::vector<Datum>& datums);

class Jobs {
  public:
    explicit Jobs(std::vector<Work> work);

    const std::deque<JobPtr>& all() const { return jobs_; }
    std::size_t datums_in_memory() const;
    std::vector<Doubtful> doubtful() const;
    std::vector<Work> work() const;
    std::uint64_t bytes_of_log() const;  // that are to be read again

    // A stretch with its datums; the newest there is.
    JobPtr add(Work work, std::vector<Datum> datums, std::size_t live);
    // The datums of a stretch that was read, as far as `cut`: the rest becomes a job of its own.
    // False: they are not what was sent before, and everything counts as not sent.
    bool load(const JobPtr& job, const std::optional<StretchCut>& cut, std::vector<Datum> datums,
              std::size_t live, std::uint32_t config);
    // Frees memory: the oldest jobs nothing of which is in flight, until `datums_max` are left.
    // `newest` stays.
    void unload_beyond(std::size_t datums_max);

    // The next step of a request's life. begin(): it is about to be sent.
    void begin(const JobPtr& job, const SentRequest& request, std::uint32_t config);
    void doubt(const JobPtr& job, const SentRequest& request);
    // It did not arrive: its datums go first again.
    void put_back(const JobPtr& job, const SentRequest& request);
    // It did not arrive, and goes in parts.
    void forget(const JobPtr& job, const SentRequest& request);
    static void requeue(const JobPtr& job, DatumRange range);
    // Dealt with for good. True: so is the whole job, and it is gone.
    bool settle(const JobPtr& job, const SentRequest& request);
    bool settle(const JobPtr& job, DatumRange range, std::uint32_t config);

    // A limit on searches of jobs that are loaded from now on.
    void set_searches(std::size_t searches) { searches_ = searches; }

  private:
    void make_pending(Job& job) const;
    void unload(const JobPtr& job);
    void join_neighbours();
    bool finish_if_done(const JobPtr& job);
    static void touch(Job& job, std::uint32_t config);

    std::deque<JobPtr> jobs_;
    std::size_t searches_ = 0;
};

}  // namespace ridgeline::collector
