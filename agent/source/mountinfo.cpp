// The mount table's grammar and the choice of what to report; no system calls.
#include <algorithm>
#include <map>

#include "agent/source/filesystem.h"
#include "common/base/text.h"

namespace ridgeline::agent {

// \040 and its like: the kernel writes blanks, newlines, backslashes and '#' so (seq_path, mangle
// in fs/proc_namespace.c).
std::string unescape_path(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
            is_octal(text[i + 2]) && is_octal(text[i + 3])) {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                     (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

namespace {

bool has_option(std::string_view options, std::string_view wanted) {
    const auto all = split(options, ',');
    return std::find(all.begin(), all.end(), wanted) != all.end();
}

// Fields are separated by exactly one blank, and one may be empty (a mount without a source).
std::string_view take_until_blank(std::string_view& rest) {
    const std::size_t end = rest.find(' ');
    const std::string_view field = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
}

std::optional<Mount> parse_mount(std::string_view line) {
    Mount mount;
    take_until_blank(line);  // mount id
    take_until_blank(line);  // parent
    mount.device_number = std::string(take_until_blank(line));
    mount.root = unescape_path(take_until_blank(line));
    mount.mountpoint = unescape_path(take_until_blank(line));
    take_until_blank(line);  // this mount's own options
    // Any number of optional fields, ended by a lone "-".
    for (;;) {
        if (line.empty()) return {};
        if (take_until_blank(line) == "-") break;
    }
    mount.type = unescape_path(take_until_blank(line));
    mount.source = unescape_path(take_until_blank(line));
    mount.superblock_readonly = has_option(line, "ro") || has_option(line, "emergency_ro");
    if (mount.type.empty() || mount.mountpoint.empty() || mount.mountpoint.front() != '/')
        return {};
    return mount;
}

bool matches_any(const std::vector<std::string>& globs, std::string_view text) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_match(glob, text); });
}

bool is_wanted(const Mount& mount, const FilesystemOptions& options) {
    if (!options.include_types.empty() && !matches_any(options.include_types, mount.type))
        return false;
    if (!options.include_mountpoints.empty() &&
        !matches_any(options.include_mountpoints, mount.mountpoint))
        return false;
    return !matches_any(options.exclude_types, mount.type) &&
           !matches_any(options.exclude_mountpoints, mount.mountpoint) &&
           !matches_any(options.exclude_devices, mount.source);
}

}  // namespace

std::vector<std::string> FilesystemOptions::default_exclude_types() {
    // Kernel interfaces, and images that are full by nature.
    return {
        "autofs",     "binfmt_misc", "bpf",           "cgroup",    "cgroup2",   "configfs",
        "debugfs",    "devpts",      "devtmpfs",      "efivarfs",  "erofs",     "fuse.gvfsd-fuse",
        "fuse.lxcfs", "fuse.portal", "fuse.snapfuse", "fusectl",   "hugetlbfs", "iso9660",
        "mqueue",     "nsfs",        "overlay",       "proc",      "pstore",    "ramfs",
        "rootfs",     "rpc_pipefs",  "securityfs",    "selinuxfs", "squashfs",  "sysfs",
        "tmpfs",      "tracefs"};
}

std::vector<std::string> FilesystemOptions::default_exclude_mountpoints() {
    return {"/dev/*",
            "/proc/*",
            "/sys/*",
            "/run/credentials/*",
            "/run/user/*",
            "/snap/*",
            "/var/lib/docker/*",
            "/var/lib/containers/*",
            "/var/lib/kubelet/*",
            "/var/lib/containerd/*"};
}

std::vector<Mount> parse_mountinfo(std::string_view text) {
    std::vector<Mount> mounts;
    while (!text.empty()) {
        if (auto mount = parse_mount(next_line(text))) mounts.push_back(std::move(*mount));
    }
    return mounts;
}

std::vector<Mount> select_mounts(std::vector<Mount> mounts, const FilesystemOptions& options) {
    std::map<std::string, Mount> by_mountpoint;
    for (Mount& mount : mounts)
        by_mountpoint[mount.mountpoint] = std::move(mount);
    std::map<std::string, const Mount*> by_device;
    for (const auto& [mountpoint, mount] : by_mountpoint) {
        if (!is_wanted(mount, options)) continue;
        const Mount*& kept = by_device[mount.device_number];
        // The mount of the filesystem's root says more than a bind of a part of it; then the
        // shortest path.
        const auto rank = [](const Mount& m) {
            return std::pair{m.root != "/", m.mountpoint.size()};
        };
        if (kept == nullptr || rank(mount) < rank(*kept)) kept = &mount;
    }
    std::vector<Mount> selected;
    for (const auto& [device, mount] : by_device)
        selected.push_back(*mount);
    std::sort(selected.begin(), selected.end(),
              [](const Mount& a, const Mount& b) { return a.mountpoint < b.mountpoint; });
    return selected;
}

}  // namespace ridgeline::agent
