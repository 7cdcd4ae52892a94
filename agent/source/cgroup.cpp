#include "agent/source/cgroup.h"

#include <algorithm>
#include <cmath>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

const std::string kMount = "sys/fs/cgroup";
// Groups come and go, and limits change, rarely; to look costs a directory listing.
constexpr std::uint32_t kRefreshRounds = 10;
constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kEntriesMax = 100'000;
constexpr std::size_t kMatchesMax = 10'000;
// systemd gives a service 1024 descriptors; groups beyond these are opened for each reading.
constexpr std::size_t kOpenFilesMax = 256;
constexpr std::size_t kGroupsMax = 500;

bool exists(const HostRoot& root, const std::string& path) {
    return ::faccessat(root.fd(), path.c_str(), F_OK, 0) == 0;
}

// The inode of a directory that is a control group.
std::optional<std::uint64_t> group_inode(const HostRoot& root, const std::string& directory) {
    struct stat status {};
    if (::fstatat(root.fd(), directory.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};
    if (!S_ISDIR(status.st_mode) || !exists(root, directory + "/cgroup.procs")) return {};
    return status.st_ino;
}

bool is_pattern(std::string_view component) {
    return component.find_first_of("*?") != std::string_view::npos;
}

// Calls `found` with each directory's name, unsorted.
template <class Found>
void each_directory(const HostRoot& root, const std::string& path, Found found) {
    const int fd = ::openat(root.fd(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;  // removed between two looks
    DIR* directory = ::fdopendir(fd);
    if (directory == nullptr) {
        ::close(fd);
        return;
    }
    std::size_t entries = 0;
    while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (++entries > kEntriesMax) break;
        if (entry->d_type == DT_DIR && name != "." && name != "..") found(name);
    }
    ::closedir(directory);
}

std::optional<double> to_value(const std::optional<std::uint64_t>& value) {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}
template <class T>
void lower(std::optional<double>& least, const std::optional<T>& limit) {
    if (!limit) return;
    const auto value = static_cast<double>(*limit);
    least = least ? std::min(*least, value) : value;
}
template <class Use, class Limit>
void raise(std::optional<double>& worst, const std::optional<Use>& use,
           const std::optional<Limit>& limit) {
    if (!use || !limit || *limit <= 0) return;
    const double ratio =
        std::min(1.0, round_ratio(static_cast<double>(*use) / static_cast<double>(*limit)));
    worst = std::max(worst.value_or(0), ratio);
}

// In the order of CgroupSource::Metric.
constexpr std::array kMetricNames = {
    "cgroup.memory.usage",     "cgroup.memory.limit",       "cgroup.memory.utilization",
    "cgroup.memory.oom_kills", "cgroup.cpu.time",           "cgroup.cpu.limit",
    "cgroup.cpu.utilization",  "cgroup.cpu.throttled_time", "cgroup.pids.usage",
    "cgroup.pids.limit",       "cgroup.pids.utilization",
};

}  // namespace

std::optional<std::string> container_group(std::string_view first_process_path) {
    constexpr std::string_view kSystemd = "/init.scope";
    // ".." leads out of the agent's cgroup namespace.
    if (!first_process_path.starts_with('/') ||
        (std::string(first_process_path) + "/").find("/../") != std::string::npos) {
        return {};
    }
    if (first_process_path.ends_with(kSystemd)) first_process_path.remove_suffix(kSystemd.size());
    return first_process_path.empty() ? "/" : std::string(first_process_path);
}

CgroupSource::CgroupSource(const HostRoot& root, CgroupOptions options)
    : root_(&root), options_(std::move(options)) {
    static_assert(kMetricNames.size() == metric_count);
}

std::optional<std::string> CgroupSource::own_group() const {
    // All groups but the hierarchy's root have this file: the mount is a container's view.
    if (exists(*root_, kMount + "/cgroup.events")) return "/";
    const auto text = read_attribute(*root_, "proc/1/cgroup");
    const auto path = text ? parse_cgroup_path(*text, "") : std::nullopt;
    auto group = path ? container_group(*path) : std::nullopt;
    // The whole hierarchy and the first process in its root: a host.
    return group == "/" ? std::nullopt : group;
}

std::optional<CgroupV1Directories> CgroupSource::own_v1_group() const {
    const auto text = read_attribute(*root_, "proc/1/cgroup");
    if (!text) return {};
    const auto directory = [&](std::string_view controller) -> std::string {
        std::string mount = kMount + "/" + std::string(controller);
        if (!exists(*root_, mount + "/cgroup.procs")) return "";
        // Only the hierarchy's root has this file; a container sees its own group as the mount.
        if (!exists(*root_, mount + "/release_agent")) return mount;
        const auto path = parse_cgroup_path(*text, controller);
        const auto group = path ? container_group(*path) : std::nullopt;
        if (!group || *group == "/" || !exists(*root_, mount + *group + "/cgroup.procs")) return "";
        return mount + *group;
    };
    const CgroupV1Directories directories{directory("memory"), directory("cpu"),
                                          directory("cpuacct"), directory("pids")};
    if (directories == CgroupV1Directories{}) return {};
    return directories;
}

void CgroupSource::match(const std::string& parent, std::string_view pattern,
                         std::set<std::string>& out) const {
    const std::size_t slash = std::min(pattern.find('/'), pattern.size());
    const std::string_view component = pattern.substr(0, slash);
    const std::string_view rest = pattern.substr(std::min(slash + 1, pattern.size()));
    const auto enter = [&](std::string_view name) {
        if (out.size() >= kMatchesMax) return;
        const std::string path = parent + "/" + std::string(name);
        if (!rest.empty()) {
            match(path, rest, out);
        } else if (group_inode(*root_, kMount + path)) {
            out.insert(path);
        }
    };
    if (!is_pattern(component)) return enter(component);
    each_directory(*root_, kMount + parent, [&](std::string_view name) {
        if (glob_match(component, name)) enter(name);
    });
}

CgroupSource::Level* CgroupSource::find_level(const std::string& path) {
    const std::string directory = kMount + path;
    const auto inode = group_inode(*root_, directory);
    if (!inode) return nullptr;
    Level& level = levels_[path];
    // A recorded root's files are new ones at every instant, of the same groups.
    const bool same = level.files && (level.files->same(*inode) || root_->recorded());
    if (!same || (level.files->gone() && !root_->recorded())) {
        const bool keep_open = levels_.size() * CgroupLevel::kSampledFiles <= kOpenFilesMax;
        level.files.emplace(*root_, directory, keep_open);
    }
    if (!level.needed) level.files->read_limits(buffer_);
    level.needed = true;
    return &level;
}

void CgroupSource::watch(const std::string& path) {
    Level* leaf = find_level(path);
    if (leaf == nullptr) return;
    leaf->watched = true;
    Group& group = groups_[path];
    group.wanted = true;
    group.chain.assign(1, leaf);
    std::string ancestor = path;
    while (ancestor != "/" && group.chain.size() < kDepthMax) {
        ancestor.resize(ancestor.rfind('/'));
        if (ancestor.empty()) ancestor = "/";
        if (const Level* level = find_level(ancestor)) group.chain.push_back(level);
    }
}

void CgroupSource::watch_v1(const CgroupV1Directories& directories) {
    const std::string path = "/";
    Level& level = levels_[path];
    if (!level.files || v1_directories_ != directories) level.files.emplace(*root_, directories);
    v1_directories_ = directories;
    level.needed = level.watched = true;
    level.files->read_limits(buffer_);
    Group& group = groups_[path];
    group.wanted = true;
    group.chain.assign(1, &level);
}

Result<void> CgroupSource::refresh() {
    for (auto& [path, level] : levels_)
        level.needed = level.watched = false;
    for (auto& [path, group] : groups_)
        group.wanted = false;

    std::size_t matched = 0;
    if (exists(*root_, kMount + "/cgroup.controllers")) {
        const auto own = own_group();
        if (own) watch(*own);
        std::set<std::string> found;
        for (const std::string& pattern : options_.groups)
            match("", pattern, found);
        if (own) found.erase(*own);
        matched = found.size();
        // Groups that are watched already stay, whichever new ones there are.
        std::vector<std::string> order(found.begin(), found.end());
        std::stable_partition(order.begin(), order.end(),
                              [&](const std::string& path) { return groups_.contains(path); });
        order.resize(std::min(order.size(), options_.max_groups));
        for (const std::string& path : order)
            watch(path);
    } else if (const auto directories = own_v1_group()) {
        watch_v1(*directories);
    }

    for (auto& [path, group] : groups_) {
        if (!group.wanted) group.chain.clear();
    }
    std::erase_if(levels_, [](const auto& entry) { return !entry.second.needed; });
    if (matched > options_.max_groups) {
        return fail(Errc::limit, std::to_string(matched) + " groups match, " +
                                     std::to_string(options_.max_groups) +
                                     " are watched (max_groups)");
    }
    return {};
}

Result<void> CgroupSource::read(const SampleInstant& at) {
    Result<void> result;
    const bool due = rounds_++ % kRefreshRounds == 0;
    if (due || root_->recorded()) result = refresh();
    bool gone = false;
    for (auto& [path, level] : levels_) {
        level.files->sample(at, level.watched, buffer_);
        gone = gone || level.files->gone();
    }
    if (gone) RL_TRY(refresh());
    return result;
}

CgroupSource::Values CgroupSource::values_of(const Group& group) {
    Values values;
    const CgroupUse& use = group.chain.front()->files->use();
    values[memory_usage] = to_value(use.memory_bytes);
    values[memory_oom_kills] = to_value(use.oom_kills);
    values[pids_usage] = to_value(use.pids);
    if (use.cpu_seconds) values[cpu_time] = round_milliseconds(*use.cpu_seconds);
    if (use.throttled_seconds)
        values[cpu_throttled_time] = round_milliseconds(*use.throttled_seconds);
    for (const Level* level : group.chain) {
        const CgroupLimits& limits = level->files->limits();
        const CgroupUse& used = level->files->use();
        lower(values[memory_limit], limits.memory_bytes);
        lower(values[cpu_limit], limits.cpus);
        lower(values[pids_limit], limits.pids);
        // Whichever limit is nearest stops the group first, be it a neighbour that fills it.
        raise(values[memory_utilization], used.memory_bytes, limits.memory_bytes);
        raise(values[cpu_utilization], used.cpus, limits.cpus);
        raise(values[pids_utilization], used.pids, limits.pids);
    }
    return values;
}

void CgroupSource::emit(Recorder& out) {
    for (auto it = groups_.begin(); it != groups_.end();) {
        auto& [path, group] = *it;
        if (!group.wanted) {
            for (const auto& slot : group.slots) {
                if (slot) out.retire(*slot);
            }
            it = groups_.erase(it);
            continue;
        }
        const Values values = values_of(group);
        for (std::size_t metric = 0; metric < metric_count; ++metric) {
            if (!values[metric]) continue;
            auto& slot = group.slots[metric];
            if (!slot) slot = out.declare(kMetricNames[metric], {{"cgroup", printable(path)}});
            out.record(*slot, *values[metric]);
        }
        ++it;
    }
}

namespace {

// What is wrong with a pattern, if anything.
std::string_view fault_of(std::string_view pattern) {
    std::size_t depth = 0;
    for (const std::string_view component : split(pattern, '/')) {
        if (component.empty()) return "an empty part between slashes";
        if (component == "." || component == "..") return "\".\" and \"..\" cannot be in it";
        if (++depth > kDepthMax) return "too many parts";
    }
    return depth == 0 ? "empty" : "";
}

SourceMaker configure(ConfigTable& table) {
    CgroupOptions options;
    for (std::string& group : table.strings("groups")) {
        std::string_view pattern = group;
        if (pattern.starts_with('/')) pattern.remove_prefix(1);
        const std::string_view fault = fault_of(pattern);
        if (fault.empty()) {
            options.groups.emplace_back(pattern);
        } else {
            table.error_at("groups", "\"" + printable(group) + "\": " + std::string(fault));
        }
    }
    options.max_groups = static_cast<std::size_t>(
        table.integer("max_groups", static_cast<std::int64_t>(options.max_groups), 1, kGroupsMax));
    return
        [options](const HostRoot& root) { return std::make_unique<CgroupSource>(root, options); };
}

}  // namespace

const SourceType kCgroupSource{"cgroup", {}, configure};

}  // namespace ridgeline::agent
