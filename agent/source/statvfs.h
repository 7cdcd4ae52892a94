// How full a filesystem is: statvfs(3), made safe to compute with, or a recording of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <sys/statvfs.h>

#include "agent/source/host_root.h"

namespace ridgeline::agent {

struct FilesystemUsage {
    std::uint64_t block_bytes = 0;  // f_frsize: what f_blocks counts in
    std::uint64_t blocks = 0;
    std::uint64_t blocks_free = 0;       // to root; at most `blocks`
    std::uint64_t blocks_available = 0;  // to others; at most `blocks_free`
    std::uint64_t inodes = 0;            // 0: the filesystem has no fixed number
    std::uint64_t inodes_free = 0;       // at most `inodes`

    friend bool operator==(const FilesystemUsage&, const FilesystemUsage&) = default;
};
FilesystemUsage to_usage(const struct statvfs& info);

// As df computes its Use% and IUse%: used / (used + available), rounded up, here to a hundredth of
// a percent, so that the whole percents that follow from it are df's. Nothing for a filesystem
// without blocks or inodes, and for one without bounds.
std::optional<double> used_ratio(const FilesystemUsage& usage);
std::optional<double> inodes_used_ratio(const FilesystemUsage& usage);
// Amazon EFS and object stores say 8 EiB: their size means nothing.
bool is_unbounded(const FilesystemUsage& usage);

struct StatvfsAnswer {
    int error = 0;  // errno
    FilesystemUsage usage;
    std::uint64_t mount_id = 0;  // of what the path led to, as in mountinfo; 0: not known
    bool read_only = false;      // the mount or the whole filesystem
};

class StatvfsReader {
  public:
    virtual ~StatvfsReader() = default;
    // On any thread, several at a time. May not return for as long as a server is gone.
    virtual StatvfsAnswer read(const std::string& path) = 0;
    // Before the calls of a round.
    virtual void refresh() {}
};
std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root);

}  // namespace ridgeline::agent
