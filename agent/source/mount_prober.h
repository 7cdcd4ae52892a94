// Asks filesystems how full they are without ever waiting for one that does not answer.
//
// statvfs on a mount whose server is gone (NFS, FUSE) can hang until the server is back, and no
// signal ends it. So it is made on a thread of the prober's: when it is not back at the deadline,
// that thread is left to it and another one serves the rest. A filesystem has one call at a time:
// while one hangs, it is not asked again. Whatever hangs and for however long, there are at most
// kHungCallsMax + 1 threads, without a file descriptor between them.
//
// One prober serves a HostRoot, and so outlives the sources that a reload replaces: what hangs for
// the old ones is known to the new.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "agent/source/statvfs.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

// With so many hanging, further remote filesystems are not asked; local ones still are. Eight
// stacks are half a megabyte at most, and leave room below a service's limit on tasks.
inline constexpr std::size_t kHungCallsMax = 8;

enum class MountState {
    answered,    // `answer` holds what it said
    hung,        // no answer within the deadline, or to an earlier call
    not_probed,  // no thread to ask with
};

// A filesystem to ask. Shared with the thread that asks, which may outlive whoever wanted to know.
// The outcome is written during MountProber::probe and not after.
struct MountProbe {
    MountProbe(std::string device, std::string where, bool is_remote,
               std::shared_ptr<StatvfsReader> reader)
        : device_number(std::move(device)),
          path(std::move(where)),
          remote(is_remote),
          statvfs(std::move(reader)) {}

    const std::string device_number;  // which filesystem
    const std::string path;
    const bool remote;
    const std::shared_ptr<StatvfsReader> statvfs;

    MountState state = MountState::not_probed;
    StatvfsAnswer answer;
    MonoTime asked_at;     // hung: when the call began that has not come back
    int thread_error = 0;  // not_probed: errno of starting a thread; 0: kHungCallsMax is reached
};

// Time as the prober sees it, so that tests decide how it passes.
class ProbeClock {
  public:
    virtual ~ProbeClock() = default;
    virtual MonoTime now() const = 0;
    // Until `answered` is notified, or `until`. `calls`: how many are under way or about to be.
    virtual void wait(std::condition_variable& answered, std::unique_lock<std::mutex>& lock,
                      MonoTime until, std::size_t calls) = 0;
};
std::shared_ptr<ProbeClock> make_probe_clock();

class MountProber {
  public:
    explicit MountProber(std::shared_ptr<ProbeClock> clock = make_probe_clock());
    // Does not wait for calls that hang.
    ~MountProber();
    MountProber(const MountProber&) = delete;
    MountProber& operator=(const MountProber&) = delete;

    // Asks each; returns when each has answered or is late, all in all after little more than one
    // deadline. At most one probe a filesystem. Any thread, one at a time.
    void probe(std::span<const std::shared_ptr<MountProbe>> probes,
               std::chrono::milliseconds deadline);

    std::size_t hung_calls() const;
    std::size_t threads() const;

  private:
    struct Shared;
    static void* run_thread(void* argument);
    int start_thread();

    // With the threads: one that hangs must find its place when it comes back.
    std::shared_ptr<Shared> shared_;
    std::mutex one_round_;
};

}  // namespace ridgeline::agent
