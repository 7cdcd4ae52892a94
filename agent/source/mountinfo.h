// The mount table (/proc/*/mountinfo, proc(5)): its grammar, which mounts can be reached by their
// path, and which of them stand for the host's filesystems. Pure: no system calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline::agent {

struct Mount {
    std::uint64_t id = 0;
    std::uint64_t parent = 0;   // the mount it lies on; itself or not in the table for a root
    std::string device_number;  // "8:1"; one per filesystem (superblock)
    std::string root;           // within the filesystem; other than "/" for a bind mount
    std::string mountpoint;
    std::string type;
    std::string source;  // "/dev/sda1"
    // Shows the filesystem's root, or a btrfs subvolume's, and not a part of it.
    bool whole = true;
    // The filesystem's own state, whatever this mount's options are.
    bool superblock_readonly = false;
};

// Undoes the mount table's escapes: "\\040" is a blank.
std::string unescape_path(std::string_view text);
// Malformed and cut lines are left out, the others stay.
std::vector<Mount> parse_mountinfo(std::string_view text);
// The mounts that their path leads to: not those under a later mount on the same path or on a
// directory above it.
std::vector<Mount> visible_mounts(std::vector<Mount> mounts);
// The table as seen from below `root` ("/host"), which is an absolute path without symlinks: mounts
// elsewhere are left out.
std::vector<Mount> mounts_below(std::string_view root, std::vector<Mount> mounts);

struct FilesystemOptions {
    // Globs. A list in a configuration replaces the default one.
    std::vector<std::string> include_types;
    std::vector<std::string> exclude_types = default_exclude_types();
    std::vector<std::string> include_mountpoints;
    std::vector<std::string> exclude_mountpoints = default_exclude_mountpoints();
    std::vector<std::string> include_devices;
    std::vector<std::string> exclude_devices;

    static std::vector<std::string> default_exclude_types();
    static std::vector<std::string> default_exclude_mountpoints();
};
// Which of the visible mounts to report: filtered, one per filesystem, in order of mountpoint.
std::vector<Mount> select_mounts(const std::vector<Mount>& visible,
                                 const FilesystemOptions& options);

// A filesystem as it is reported, and where the agent itself can reach it.
struct HostMount {
    Mount shown;                   // by the host's table
    std::optional<Mount> reached;  // by the agent's own; nothing when it is hidden from the agent
};
// A service manager gives a service a mount table of its own, with read-only binds and with
// directories hidden under empty ones (ProtectSystem, ProtectHome, PrivateTmp). So the table of
// process 1 says what the host has, and `own` where that can be reached. Without it, or when its
// root is another filesystem (the agent is in a container of its own), `own` is the host. Both
// tables are of visible mounts.
std::vector<HostMount> select_host_mounts(const std::vector<Mount>& own,
                                          const std::vector<Mount>* first_process,
                                          const FilesystemOptions& options);

// Whether a server or a user's program answers for the filesystem, and so may fail to.
bool is_remote(std::string_view type);
// Whether statvfs(3) of its path cannot wait, whatever becomes of disks and servers: the mount and
// all that the path leads through are of filesystems that answer from memory. False where that is
// not known. `visible`: the table that the mount is of, its ancestors among them.
bool answers_from_memory(const Mount& mount, const std::vector<Mount>& visible);

}  // namespace ridgeline::agent
