// The root of the file system that is sampled: "/", a host's root mounted elsewhere (containers),
// or a recorded one.
//
// A recorded root is a tree of files such as tests/fixtures/hosts/*: its /proc files are plain
// files that may be replaced, and files at its top stand in for system calls: `statvfs`, by which a
// recorded root is known, and `inet_diag`, the number of TCP sockets in each state (tcp.h), which
// may be missing. Everything is opened relative to the root.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/result.h"

namespace ridgeline::agent {

class MountProber;

class HostRoot {
  public:
    static Result<HostRoot> open(const std::filesystem::path& root);

    const std::filesystem::path& path() const { return path_; }
    int fd() const { return fd_->get(); }
    // openat(2) below it; a link's absolute target is below it too. −1 and errno.
    int open_below(const std::string& relative, int flags) const;
    bool recorded() const { return recorded_; }  // has a `statvfs` file
    // What asks the mounts below this root; outlives the sources.
    const std::shared_ptr<MountProber>& mount_prober() const { return mount_prober_; }

  private:
    std::filesystem::path path_;
    std::shared_ptr<UniqueFd> fd_;
    std::shared_ptr<MountProber> mount_prober_;
    bool recorded_ = false;
};

// A file under the root that is read again and again: kept open and read to its end with pread, in
// one call where the kernel's ways with that file let it be. What fits a page is of one moment; a
// longer table of the kernel's is of as many as it has pages. (Files of a recorded root are opened
// anew each time.)
class HostFile {
  public:
    // `relative` without a leading slash: "proc/stat". Nothing is opened yet.
    HostFile(const HostRoot& root, std::string relative, std::size_t bytes_max = 16U << 20);
    // Valid until the next call. Errors name the file as "/proc/stat: …".
    Result<std::string_view> read();
    // To poll(2); −1 before the first read and after an error.
    int fd() const { return fd_.get(); }

  private:
    const HostRoot* root_;
    std::string relative_;
    std::size_t bytes_max_;
    std::size_t ends_below_;  // bytes of a read that was the last
    UniqueFd fd_;
    std::string buffer_;
};

// True when pid 1 of the root is known to be in another network namespace than this process, whose
// own /proc/net would tell of a container's interfaces instead of the host's.
bool in_other_network_namespace(const HostRoot& root);
// Where a file of /proc/net is: "proc/net/dev", or "proc/1/net/dev" in that case.
std::string proc_net_file(const HostRoot& root, std::string_view name);

// The names in a directory under the root, sorted, "." and ".." left out.
Result<std::vector<std::string>> list_directory(const HostRoot& root, const std::string& relative);
// The last part of what a symbolic link under the root leads to, as /sys/…/driver names a driver.
Result<std::string> link_name(const HostRoot& root, const std::string& relative);
// A small file under the root (sysfs attribute), trimmed.
Result<std::string> read_attribute(const HostRoot& root, const std::string& relative);

}  // namespace ridgeline::agent
