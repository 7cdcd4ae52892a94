#include "agent/source/mountinfo.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

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

// What the kernel appends to the path of a mount whose directory was removed.
constexpr std::string_view kDeleted = "//deleted";

// Fields are separated by exactly one blank, and one may be empty (a mount without a source).
std::string_view take_until_blank(std::string_view& rest) {
    const std::size_t end = rest.find(' ');
    const std::string_view field = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
}

std::optional<Mount> parse_mount(std::string_view line) {
    Mount mount;
    const auto id = to_u64(take_until_blank(line));
    const auto parent_id = to_u64(take_until_blank(line));
    if (!id || !parent_id) return {};
    mount.id = *id;
    mount.parent_id = *parent_id;
    mount.device_number = std::string(take_until_blank(line));
    mount.root = unescape_path(take_until_blank(line));
    mount.mountpoint = unescape_path(take_until_blank(line));
    if (mount.mountpoint.ends_with(kDeleted)) return {};  // its directory is gone, and it with it
    take_until_blank(line);                               // this mount's own options
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
           (options.include_devices.empty() ||
            matches_any(options.include_devices, mount.source)) &&
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

bool depends_on_peer(std::string_view type) {
    constexpr std::array kTypes = {"nfs",   "nfs4", "cifs",   "smb3",     "smbfs",   "ceph",
                                   "9p",    "afs",  "coda",   "ncp",      "lustre",  "glusterfs",
                                   "ocfs2", "gfs2", "beegfs", "orangefs", "virtiofs"};
    return type.starts_with("fuse") ||
           std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

namespace {

constexpr int kNestingMax = 1000;  // of mounts on mounts; the kernel allows fewer in all but theory

// By mount id, and what is on top at each path.
class MountTree {
  public:
    explicit MountTree(const std::vector<Mount>& mounts) {
        for (const Mount& mount : mounts) {
            by_id_.insert_or_assign(mount.id, &mount);
            on_top_.insert_or_assign(mount.mountpoint, &mount);
        }
    }

    // Nothing covers it: the mount on top at its path is itself, and those on top at the paths
    // above are mounts it hangs from.
    bool visible(const Mount& mount) const {
        if (on_top_.at(mount.mountpoint) != &mount) return false;
        std::string_view path = mount.mountpoint;
        while (path.size() > 1) {
            path = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
            const auto above = on_top_.find(path);
            if (above != on_top_.end() && !hangs_from(mount, above->second->id)) return false;
        }
        return true;
    }

  private:
    bool hangs_from(const Mount& mount, std::uint64_t ancestor) const {
        const Mount* at = &mount;
        for (int depth = 0; depth < kNestingMax; ++depth) {
            if (at->id == ancestor || at->parent_id == ancestor) return true;
            const auto parent = by_id_.find(at->parent_id);
            if (parent == by_id_.end() || parent->second == at) return false;
            at = parent->second;
        }
        return false;
    }

    std::map<std::uint64_t, const Mount*> by_id_;
    std::map<std::string, const Mount*, std::less<>> on_top_;
};

}  // namespace

std::vector<Mount> select_mounts(std::vector<Mount> mounts, const FilesystemOptions& options) {
    const MountTree tree(mounts);
    std::map<std::string, Mount*> by_device;
    for (Mount& mount : mounts) {
        if (!is_wanted(mount, options) || !tree.visible(mount)) continue;
        Mount*& kept = by_device[mount.device_number];
        // The mount of the filesystem's root says more than a bind of a part of it; then the
        // shortest path.
        const auto rank = [](const Mount& m) {
            return std::pair{m.root != "/", m.mountpoint.size()};
        };
        if (kept == nullptr || rank(mount) < rank(*kept)) kept = &mount;
    }
    std::vector<Mount> selected;
    for (const auto& [device, mount] : by_device)
        selected.push_back(std::move(*mount));
    std::sort(selected.begin(), selected.end(),
              [](const Mount& a, const Mount& b) { return a.mountpoint < b.mountpoint; });
    return selected;
}

}  // namespace ridgeline::agent
