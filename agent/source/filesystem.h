// Filesystems: /proc/self/mountinfo (proc(5)) and statvfs(3) of each.
//
// One series set per filesystem, not per mount: bind mounts and further mounts of the same device
// are folded into the one with the shortest path. statvfs can hang for ever on a dead network
// mount, so the source runs on a worker thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct Mount {
    std::string device_number;  // "8:1"; one per filesystem
    std::string root;           // within the filesystem; other than "/" for a bind mount
    std::string mountpoint;
    std::string type;
    std::string source;  // "/dev/sda1"
    bool superblock_readonly =
        false;  // the filesystem's own state, whatever this mount's options are
};
// Undoes the mount table's escapes: "\\040" is a blank.
std::string unescape_path(std::string_view text);
// Malformed lines are left out. Octal escapes (\040) are decoded.
std::vector<Mount> parse_mountinfo(std::string_view text);

struct FilesystemOptions {
    // Globs. `exclude_types` in a configuration replaces the list of pseudo filesystems.
    std::vector<std::string> include_types;
    std::vector<std::string> exclude_types = default_exclude_types();
    std::vector<std::string> include_mountpoints;
    std::vector<std::string> exclude_mountpoints = default_exclude_mountpoints();
    std::vector<std::string> exclude_devices;

    static std::vector<std::string> default_exclude_types();
    static std::vector<std::string> default_exclude_mountpoints();
};
// Which mounts to report: filtered, one per filesystem, in order of mountpoint. Of stacked mounts
// on one path only the last is visible and kept.
std::vector<Mount> select_mounts(std::vector<Mount> mounts, const FilesystemOptions& options);

struct FilesystemUsage {
    std::uint64_t block_bytes = 0;  // f_frsize: what f_blocks counts in
    std::uint64_t blocks = 0;
    std::uint64_t blocks_free = 0;       // to root
    std::uint64_t blocks_available = 0;  // to others
    std::uint64_t inodes = 0;            // 0: the filesystem has no fixed number
    std::uint64_t inodes_free = 0;
};
// As df computes its Use%: used / (used + available); nullopt for a filesystem without blocks.
std::optional<double> used_ratio(const FilesystemUsage& usage);

// statvfs, or a recording of it.
class StatvfsReader {
  public:
    virtual ~StatvfsReader() = default;
    virtual Result<FilesystemUsage> read(const std::string& mountpoint) = 0;
    virtual void refresh() {}
};
std::unique_ptr<StatvfsReader> make_statvfs_reader(const HostRoot& root);

class FilesystemSource final : public Source {
  public:
    FilesystemSource(const HostRoot& root, FilesystemOptions options);
    std::string_view name() const override { return "filesystem"; }
    bool blocking() const override { return true; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct Reading {
        Mount mount;
        FilesystemUsage usage;
    };
    struct Slots {
        SlotId used{}, free{}, reserved{}, utilization{}, limit{}, readonly{};
        std::optional<SlotId> inodes_used, inodes_free, inodes_utilization;
    };
    Slots declare(const Reading& reading, Recorder& out) const;

    HostFile mountinfo_file_;
    FilesystemOptions options_;
    std::unique_ptr<StatvfsReader> statvfs_;
    std::vector<Reading> readings_;
    std::map<std::string, Slots> slots_;  // by device, mountpoint and type
};

extern const SourceType kFilesystemSource;

}  // namespace ridgeline::agent
