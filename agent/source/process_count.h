// How many processes there are: the names in /proc, or their number alone.
//
// Listing /proc takes the kernel two microseconds a process. Its link count is 2, one for each
// directory that is always there and one for each process (fs/proc/root.c, proc_root_getattr), and
// costs next to nothing. A listing tells whether that holds here: not where the agent sees fewer
// processes than there are, as in a container, nor where a directory's links are not counted.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/source/host_root.h"
#include "common/base/clock.h"
#include "common/base/file.h"

namespace ridgeline::agent {

class ProcessCount {
  public:
    explicit ProcessCount(const HostRoot& root) : root_(&root) {}
    // Zombies included. Nothing when others' processes are hidden (hidepid=, ProtectProc=): the
    // count would be of the agent's own. Does not allocate.
    std::optional<std::uint64_t> count(MonoTime now);

  private:
    struct Listing {
        std::uint64_t processes = 0;
        std::uint64_t other_directories = 0;  // "." and ".." as well, as links are counted
        bool first_visible = false;           // process 1
    };
    bool open();
    std::optional<std::uint64_t> links() const;
    std::optional<Listing> list() const;

    const HostRoot* root_;
    UniqueFd proc_;
    std::optional<std::uint64_t> other_links_;  // that are no process's; none: links do not tell
    MonoTime listed_at_;
};

}  // namespace ridgeline::agent
