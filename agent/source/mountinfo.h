// The mount table (proc_pid_mountinfo(5)) and the choice of what to report of it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ridgeline::agent {

struct Mount {
    std::uint64_t id = 0;
    std::uint64_t parent_id = 0;
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
    std::vector<std::string> include_devices;
    std::vector<std::string> exclude_devices;

    static std::vector<std::string> default_exclude_types();
    static std::vector<std::string> default_exclude_mountpoints();
};
// Which mounts to report: filtered, visible (not covered by a later mount on the same path or on
// one above it), one per filesystem, in order of mountpoint.
std::vector<Mount> select_mounts(std::vector<Mount> mounts, const FilesystemOptions& options);

// A filesystem that depends on a peer: another host, or a process.
bool depends_on_peer(std::string_view type);

}  // namespace ridgeline::agent
