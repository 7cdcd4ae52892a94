// Asks filesystems for their usage without ever waiting for one that does not answer.
//
// statvfs(2) on a dead network mount can block for ever and cannot be cancelled, so the calls are
// made by a thread of its own. One that does not come back within the deadline is left to its
// filesystem, which is not asked again until it does; a fresh thread serves the others. Thus a hung
// mount costs one thread, however long it hangs, and the number of them is bounded.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "agent/source/host_root.h"
#include "common/base/result.h"

namespace ridgeline::agent {

struct FilesystemUsage {
    std::uint64_t block_bytes = 0;  // f_frsize: what f_blocks counts in
    std::uint64_t blocks = 0;
    std::uint64_t blocks_free = 0;       // to root
    std::uint64_t blocks_available = 0;  // to others
    std::uint64_t inodes = 0;            // 0: the filesystem has no fixed number
    std::uint64_t inodes_free = 0;
};

// statvfs, or a recording of it. read() is called on the prober's threads.
class StatvfsReader {
  public:
    virtual ~StatvfsReader() = default;
    virtual Result<FilesystemUsage> read(const std::string& mountpoint) = 0;
    virtual void refresh() {}  // before a round
};
std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root);

// A filesystem that answers at all does so in milliseconds, NFS over a slow link in tens of them.
inline constexpr std::chrono::milliseconds kMountDeadline{1000};
// Threads that hang. More hung mounts than this and those that may hang too are not asked any more.
inline constexpr std::size_t kHungMountsMax = 8;

class MountProber {
  public:
    explicit MountProber(std::shared_ptr<StatvfsReader> reader,
                         std::chrono::milliseconds deadline = kMountDeadline,
                         std::size_t hung_max = kHungMountsMax);
    ~MountProber();  // does not wait for a hung thread
    MountProber(const MountProber&) = delete;
    MountProber& operator=(const MountProber&) = delete;

    enum class State : std::uint8_t {
        answered,   // usage, or the call's own error
        hung,       // no answer, now or since an earlier round
        not_asked,  // too many hang; not probed
    };
    struct Outcome {
        State state = State::answered;
        Result<FilesystemUsage> usage = FilesystemUsage{};
    };
    // `filesystem` names what must not be asked twice at a time (a device number); `may_hang`: of a
    // type that depends on a peer, so that it is left out when too many hang.
    Outcome probe(const std::string& filesystem, const std::string& mountpoint, bool may_hang);

    std::size_t hung() const { return hung_.size(); }

  private:
    struct Worker;
    std::shared_ptr<Worker> start_worker();

    std::shared_ptr<StatvfsReader> reader_;
    std::chrono::milliseconds deadline_;
    std::size_t hung_max_;
    std::shared_ptr<Worker> worker_;  // the idle one; nullptr before the first probe
    std::map<std::string, std::shared_ptr<Worker>> hung_;
};

}  // namespace ridgeline::agent
