#include "agent/source/mountinfo.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
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

// Fields are separated by exactly one blank, and one may be empty (a mount without a source).
std::string_view take_until_blank(std::string_view& rest) {
    const std::size_t end = rest.find(' ');
    const std::string_view field = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return field;
}

// What the kernel appends (seq_path in fs/seq_file.c) when the directory or file that was mounted
// is gone. Only this literal: a name may end in anything else, blanks included.
std::string without_deleted_mark(std::string path) {
    constexpr std::string_view kMark = "//deleted";
    if (path.ends_with(kMark)) path.resize(std::max<std::size_t>(path.size() - kMark.size(), 1));
    return path;
}

// The filesystem's options: "rw" or "ro", then its own, where a path may hold blanks (WSL, 9p).
// False when the field is missing, that is, the line was cut.
bool parse_super_options(std::string_view options, Mount& mount) {
    bool first = true;
    while (!options.empty()) {
        const std::size_t end = options.find(',');
        const std::string_view option = options.substr(0, end);
        options.remove_prefix(end == std::string_view::npos ? options.size() : end + 1);
        if (first && option != "rw" && option != "ro") return false;
        if (first && option == "ro") mount.superblock_readonly = true;
        // ext4 since 6.12 leaves "rw" in place when it stops writing after an error.
        if (option == "emergency_ro") mount.superblock_readonly = true;
        // btrfs gives a subvolume's path as the root, and again here.
        if (option.starts_with("subvol=") && unescape_path(option.substr(7)) == mount.root)
            mount.whole = true;
        first = false;
    }
    return !first;
}

std::optional<Mount> parse_mount(std::string_view line) {
    Mount mount;
    const auto id = to_u64(take_until_blank(line));
    const auto parent = to_u64(take_until_blank(line));
    if (!id || !parent) return {};
    mount.id = *id;
    mount.parent = *parent;
    mount.device_number = std::string(take_until_blank(line));
    mount.root = without_deleted_mark(unescape_path(take_until_blank(line)));
    mount.mountpoint = without_deleted_mark(unescape_path(take_until_blank(line)));
    take_until_blank(line);  // this mount's own options
    // Any number of optional fields, ended by a lone "-".
    for (;;) {
        if (line.empty()) return {};
        if (take_until_blank(line) == "-") break;
    }
    mount.type = unescape_path(take_until_blank(line));
    mount.source = unescape_path(take_until_blank(line));
    mount.whole = mount.root == "/";
    if (!parse_super_options(line, mount)) return {};
    if (mount.type.empty() || mount.mountpoint.empty() || mount.mountpoint.front() != '/')
        return {};
    return mount;
}

// Follows the tree of mounts from its roots as a path is followed.
class MountTree {
  public:
    explicit MountTree(const std::vector<Mount>& mounts) : mounts_(mounts) {
        for (std::size_t i = 0; i < mounts.size(); ++i) {
            by_id_[mounts[i].id] = i;
            children_[parent_of(i)].push_back(i);
            // Of two mounts on the same place of the same mount the later one counts.
            by_place_[{parent_of(i), mounts[i].mountpoint}] = i;
        }
    }

    std::vector<bool> visible() const {
        std::vector<bool> seen(mounts_.size());
        std::vector<bool> visible(mounts_.size());
        std::vector<std::size_t> todo;
        for (std::size_t i = 0; i < mounts_.size(); ++i) {
            if (!by_id_.contains(parent_of(i))) todo.push_back(i);
        }
        while (!todo.empty()) {
            const std::size_t i = todo.back();
            todo.pop_back();
            if (seen[i] || is_shadowed(i)) continue;
            seen[i] = true;
            const auto cover = by_place_.find({mounts_[i].id, mounts_[i].mountpoint});
            if (cover != by_place_.end()) {
                todo.push_back(cover->second);
                continue;
            }
            visible[i] = true;
            if (const auto below = children_.find(mounts_[i].id); below != children_.end())
                todo.insert(todo.end(), below->second.begin(), below->second.end());
        }
        return visible;
    }

  private:
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};

    std::uint64_t parent_of(std::size_t i) const {
        return mounts_[i].parent == mounts_[i].id ? kNone : mounts_[i].parent;
    }
    // Whether another mount on the same parent lies on the same place or on a directory above.
    bool is_shadowed(std::size_t i) const {
        const std::uint64_t parent = parent_of(i);
        std::string_view path = mounts_[i].mountpoint;
        if (by_place_.find({parent, path})->second != i) return true;
        while (path.size() > 1) {
            path = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
            if (by_place_.contains({parent, path})) return true;
        }
        return false;
    }

    const std::vector<Mount>& mounts_;
    std::unordered_map<std::uint64_t, std::size_t> by_id_;
    std::unordered_map<std::uint64_t, std::vector<std::size_t>> children_;
    std::map<std::pair<std::uint64_t, std::string_view>, std::size_t> by_place_;
};

bool matches_any(const std::vector<std::string>& globs, std::string_view text) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return glob_match(glob, text); });
}

bool passes(const std::vector<std::string>& include, const std::vector<std::string>& exclude,
            std::string_view text) {
    return (include.empty() || matches_any(include, text)) && !matches_any(exclude, text);
}

bool is_wanted(const Mount& mount, const FilesystemOptions& options) {
    return passes(options.include_types, options.exclude_types, mount.type) &&
           passes(options.include_mountpoints, options.exclude_mountpoints, mount.mountpoint) &&
           passes(options.include_devices, options.exclude_devices, mount.source);
}

// The mount of the filesystem's root says more than a bind of a part of it; then the shortest path.
bool says_more(const Mount& a, const Mount& b) {
    const auto rank = [](const Mount& m) {
        return std::tuple{!m.whole, m.mountpoint.size(), std::string_view(m.mountpoint)};
    };
    return rank(a) < rank(b);
}

const Mount* find_root(const std::vector<Mount>& visible) {
    const auto it = std::find_if(visible.begin(), visible.end(),
                                 [](const Mount& mount) { return mount.mountpoint == "/"; });
    return it == visible.end() ? nullptr : &*it;
}

}  // namespace

std::vector<std::string> FilesystemOptions::default_exclude_types() {
    // Kernel interfaces, memory, layers of containers, and images that are full by nature.
    return {"aufs",
            "autofs",
            "binder",
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "composefs",
            "configfs",
            "cpuset",
            "cramfs",
            "debugfs",
            "devfs",
            "devpts",
            "devtmpfs",
            "efivarfs",
            "erofs",
            "functionfs",
            "fuse.erofsfuse",
            "fuse.fuse-overlayfs",
            "fuse.gvfs-fuse-daemon",
            "fuse.gvfsd-fuse",
            "fuse.lxcfs",
            "fuse.portal",
            "fuse.rofiles-fuse",
            "fuse.snapfuse",
            "fuse.squashfuse",
            "fuse.squashfuse_ll",
            "fusectl",
            "hugetlbfs",
            "iso9660",
            "mqueue",
            "nfsd",
            "nsfs",
            "overlay",
            "proc",
            "pstore",
            "ramfs",
            "resctrl",
            "romfs",
            "rootfs",
            "rpc_pipefs",
            "securityfs",
            "selinuxfs",
            "smackfs",
            "squashfs",
            "sysfs",
            "tmpfs",
            "tracefs",
            "udf",
            "usbfs"};
}

std::vector<std::string> FilesystemOptions::default_exclude_mountpoints() {
    return {"/dev/*",
            "/proc/*",
            "/sys/*",
            "/run/containerd/*",
            "/run/credentials/*",
            "/run/user/*",
            "/snap/*",
            "/var/lib/docker/*",
            "/var/lib/containers/*",
            "/var/lib/kubelet/*",
            "/var/lib/containerd/*",
            "/var/snap/*"};
}

bool is_remote(std::string_view type) {
    // Everything on FUSE (fuse, fuseblk, fuse.sshfs, …) hangs with its program.
    if (type.starts_with("fuse")) return true;
    constexpr std::array<std::string_view, 19> kTypes{
        "9p",       "acfs", "afs",    "beegfs", "ceph",    "cifs",  "coda",
        "gfs2",     "gpfs", "lustre", "nfs",    "nfs4",    "ncpfs", "ocfs2",
        "orangefs", "smb3", "smbfs",  "vboxsf", "virtiofs"};
    return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

bool answers_from_memory(const Mount& mount, const std::vector<Mount>& visible) {
    // Their statfs operation adds up counters. Not xfs, which before Linux 5.19 could wait there
    // for inodes to be freed (xfs_fs_statfs), nor btrfs and zfs, which take locks that a writer
    // holds, nor overlay, which asks another filesystem.
    constexpr std::array<std::string_view, 8> kTypes{"devtmpfs", "ext2",  "ext3",     "ext4",
                                                     "f2fs",     "ramfs", "squashfs", "tmpfs"};
    const Mount* on_the_way = &mount;
    for (std::size_t depth = 0; depth <= visible.size(); ++depth) {
        if (std::find(kTypes.begin(), kTypes.end(), on_the_way->type) == kTypes.end()) return false;
        const std::uint64_t parent = on_the_way->parent;
        const auto above = std::find_if(visible.begin(), visible.end(),
                                        [&](const Mount& other) { return other.id == parent; });
        if (above == visible.end() || &*above == on_the_way) return true;
        on_the_way = &*above;
    }
    return false;  // a table that leads in circles
}

std::vector<Mount> parse_mountinfo(std::string_view text) {
    std::vector<Mount> mounts;
    while (!text.empty()) {
        if (auto mount = parse_mount(next_line(text))) mounts.push_back(std::move(*mount));
    }
    return mounts;
}

std::vector<Mount> visible_mounts(std::vector<Mount> mounts) {
    const std::vector<bool> visible = MountTree(mounts).visible();
    std::vector<Mount> kept;
    for (std::size_t i = 0; i < mounts.size(); ++i) {
        if (visible[i]) kept.push_back(std::move(mounts[i]));
    }
    return kept;
}

std::vector<Mount> mounts_below(std::string_view root, std::vector<Mount> mounts) {
    if (root == "/") return mounts;
    std::vector<Mount> kept;
    for (Mount& mount : mounts) {
        const std::string_view path = mount.mountpoint;
        if (!path.starts_with(root)) continue;
        if (path.size() > root.size() && path[root.size()] != '/') continue;
        mount.mountpoint.erase(0, root.size());
        // Not = "/", of which GCC 12 warns without reason (its bug 105651).
        if (mount.mountpoint.empty()) mount.mountpoint.assign(1, '/');
        kept.push_back(std::move(mount));
    }
    return kept;
}

std::vector<Mount> select_mounts(const std::vector<Mount>& visible,
                                 const FilesystemOptions& options) {
    std::map<std::string_view, const Mount*> by_device;
    for (const Mount& mount : visible) {
        if (!is_wanted(mount, options)) continue;
        const Mount*& kept = by_device[mount.device_number];
        if (kept == nullptr || says_more(mount, *kept)) kept = &mount;
    }
    std::vector<Mount> selected;
    selected.reserve(by_device.size());
    for (const auto& [device, mount] : by_device)
        selected.push_back(*mount);
    std::sort(selected.begin(), selected.end(),
              [](const Mount& a, const Mount& b) { return a.mountpoint < b.mountpoint; });
    return selected;
}

std::vector<HostMount> select_host_mounts(const std::vector<Mount>& own,
                                          const std::vector<Mount>* first_process,
                                          const FilesystemOptions& options) {
    const Mount* own_root = find_root(own);
    const Mount* host_root = first_process == nullptr ? nullptr : find_root(*first_process);
    const bool same_root = own_root != nullptr && host_root != nullptr &&
                           own_root->device_number == host_root->device_number;
    std::multimap<std::string_view, const Mount*> by_device;
    for (const Mount& mount : own)
        by_device.emplace(mount.device_number, &mount);

    std::vector<HostMount> all;
    for (Mount& shown : select_mounts(same_root ? *first_process : own, options)) {
        const Mount* reached = nullptr;
        const auto [first, last] = by_device.equal_range(shown.device_number);
        for (auto it = first; it != last; ++it) {
            const Mount& mount = *it->second;
            if (reached == nullptr || mount.mountpoint == shown.mountpoint ||
                (reached->mountpoint != shown.mountpoint && says_more(mount, *reached)))
                reached = &mount;
        }
        HostMount& entry = all.emplace_back();
        entry.shown = std::move(shown);
        if (reached != nullptr) entry.reached = *reached;
    }
    return all;
}

}  // namespace ridgeline::agent
