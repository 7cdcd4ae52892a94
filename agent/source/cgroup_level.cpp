#include "agent/source/cgroup_level.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

// v1 writes PAGE_COUNTER_MAX pages for "no limit", close to 2^63 and different by page size.
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 62;
// memory.stat, the longest of the files, has 2 kB in Linux 6.12.
constexpr std::size_t kBufferBytes = 8192;
constexpr std::uint64_t kDefaultPeriodUs = 100'000;  // cgroup-v2.rst, cpu.max

constexpr double kMicroseconds = 1e6;
constexpr double kNanoseconds = 1e9;

std::optional<double> scaled(std::optional<std::uint64_t> value, double per_second) {
    if (!value) return {};
    return static_cast<double>(*value) / per_second;
}

std::optional<std::uint64_t> smaller(std::optional<std::uint64_t> a,
                                     std::optional<std::uint64_t> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
}

}  // namespace

std::optional<std::string_view> parse_cgroup_path(std::string_view text,
                                                  std::string_view controller) {
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        const std::size_t first = line.find(':');
        if (first == std::string_view::npos) continue;
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        std::string_view controllers = line.substr(first + 1, second - first - 1);
        const std::string_view path = line.substr(second + 1);
        if (!path.starts_with('/')) continue;
        if (controller.empty()) {
            if (controllers.empty() && line.starts_with("0:")) return path;
            continue;
        }
        while (!controllers.empty()) {
            const std::size_t comma = std::min(controllers.find(','), controllers.size());
            if (controllers.substr(0, comma) == controller) return path;
            controllers.remove_prefix(std::min(comma + 1, controllers.size()));
        }
    }
    return {};
}

std::optional<std::uint64_t> parse_cgroup_limit(std::string_view text) {
    const auto value = to_u64(trim(text));
    return value && *value < kUnlimited ? value : std::nullopt;
}

std::optional<double> parse_cpu_max(std::string_view text) {
    const std::string_view quota = next_field(text);
    return parse_cfs_quota(quota, next_field(text));
}

std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us) {
    const auto quota = parse_cgroup_limit(quota_us);
    const auto period =
        trim(period_us).empty() ? std::optional(kDefaultPeriodUs) : to_u64(trim(period_us));
    if (!quota || !period || *period == 0) return {};
    return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<std::uint64_t> parse_flat_key(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return {};
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (next_field(line) == key) return to_u64(trim(line));
    }
    return {};
}

CgroupLevel::CgroupLevel(const HostRoot& root, std::string directory, bool keep_open)
    : root_(&root), directory_(std::move(directory)), keep_open_(keep_open && !root.recorded()) {
    files_[memory_current].name = "memory.current";
    files_[memory_stat].name = "memory.stat";
    files_[memory_events].name = "memory.events";
    files_[cpu_stat].name = "cpu.stat";
    files_[pids_current].name = "pids.current";
    files_[memory_max].name = "memory.max";
    files_[cpu_max].name = "cpu.max";
    files_[pids_max].name = "pids.max";
    open_directory();
}

CgroupLevel::CgroupLevel(const HostRoot& root, const CgroupV1Directories& directories)
    : root_(&root), v1_(true), keep_open_(!root.recorded()) {
    const auto set = [&](File file, const std::string& directory, const char* name) {
        if (!directory.empty()) files_[file].name = directory + "/" + name;
    };
    set(memory_current, directories.memory, "memory.usage_in_bytes");
    set(memory_stat, directories.memory, "memory.stat");
    set(memory_events, directories.memory, "memory.oom_control");
    set(memory_max, directories.memory, "memory.limit_in_bytes");
    set(cpu_stat, directories.cpu, "cpu.stat");
    set(cpu_max, directories.cpu, "cpu.cfs_quota_us");
    set(cfs_period, directories.cpu, "cpu.cfs_period_us");
    set(cpuacct_usage, directories.cpuacct, "cpuacct.usage");
    set(pids_current, directories.pids, "pids.current");
    set(pids_max, directories.pids, "pids.max");
    directory_ = ".";
    open_directory();
}

void CgroupLevel::open_directory() {
    fd_ = UniqueFd{
        ::openat(root_->fd(), directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    struct stat status {};
    gone_ = !fd_ || ::fstat(fd_.get(), &status) != 0;
    inode_ = status.st_ino;
}

std::optional<std::string_view> CgroupLevel::read(File file, std::string& buffer) {
    Handle& handle = files_[file];
    if (gone_ || handle.absent || handle.name.empty()) return {};
    if (!handle.fd) {
        handle.fd =
            UniqueFd{::openat(fd_.get(), handle.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
        if (!handle.fd) {
            handle.absent = true;
            // Every group has cgroup.procs: without it the directory is one that was removed.
            gone_ =
                errno == ENODEV || (!v1_ && ::faccessat(fd_.get(), "cgroup.procs", F_OK, 0) != 0);
            return {};
        }
    }
    if (buffer.size() < kBufferBytes) buffer.resize(kBufferBytes);
    ssize_t n = 0;
    do {
        n = ::pread(handle.fd.get(), buffer.data(), buffer.size(), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        handle.absent = true;
        gone_ = errno == ENODEV;  // removed while the file was open
    }
    if (n < 0 || !keep_open_ || file >= memory_max) handle.fd.reset();
    // A buffer filled to the brim may have cut the content.
    if (n < 0 || static_cast<std::size_t>(n) == buffer.size()) return {};
    return std::string_view(buffer.data(), static_cast<std::size_t>(n));
}

void CgroupLevel::read_limits(std::string& buffer) {
    for (Handle& handle : files_)
        handle.absent = false;
    if (root_->recorded()) open_directory();  // the tree may have been replaced
    limits_ = {};
    if (const auto text = read(memory_max, buffer))
        limits_.memory_bytes = parse_cgroup_limit(*text);
    if (v1_) {
        // The least of the ancestors' too, which a container cannot see.
        if (const auto text = read(memory_stat, buffer)) {
            const auto hierarchical = parse_flat_key(*text, "hierarchical_memory_limit");
            if (hierarchical && *hierarchical < kUnlimited)
                limits_.memory_bytes = smaller(limits_.memory_bytes, hierarchical);
        }
        std::string quota;
        if (const auto text = read(cpu_max, buffer)) quota = *text;
        if (const auto text = read(cfs_period, buffer))
            limits_.cpus = parse_cfs_quota(quota, *text);
    } else if (const auto text = read(cpu_max, buffer)) {
        limits_.cpus = parse_cpu_max(*text);
    }
    if (const auto text = read(pids_max, buffer)) limits_.pids = parse_cgroup_limit(*text);
}

void CgroupLevel::sample(const SampleInstant& at, bool watched, std::string& buffer) {
    use_ = {};
    if (watched || limits_.memory_bytes) sample_memory(watched, buffer);
    if (watched || limits_.cpus) sample_cpu(at, watched, buffer);
    if (watched || limits_.pids) {
        if (const auto text = read(pids_current, buffer)) use_.pids = to_u64(trim(*text));
    }
}

void CgroupLevel::sample_memory(bool watched, std::string& buffer) {
    std::optional<std::uint64_t> charged;
    if (const auto text = read(memory_current, buffer)) charged = to_u64(trim(*text));
    if (const auto text = read(memory_stat, buffer); text && charged) {
        const auto inactive = parse_flat_key(*text, v1_ ? "total_inactive_file" : "inactive_file");
        // The two files are of two moments: the cache may be larger than what was charged before.
        if (inactive) use_.memory_bytes = *charged - std::min(*charged, *inactive);
    }
    if (!watched) return;
    if (const auto text = read(memory_events, buffer))
        use_.oom_kills = parse_flat_key(*text, "oom_kill");
}

void CgroupLevel::sample_cpu(const SampleInstant& at, bool watched, std::string& buffer) {
    if (const auto text = read(cpu_stat, buffer)) {
        use_.cpu_seconds = scaled(parse_flat_key(*text, "usage_usec"), kMicroseconds);
        if (watched) {
            use_.throttled_seconds =
                v1_ ? scaled(parse_flat_key(*text, "throttled_time"), kNanoseconds)
                    : scaled(parse_flat_key(*text, "throttled_usec"), kMicroseconds);
        }
    }
    if (const auto text = read(cpuacct_usage, buffer))
        use_.cpu_seconds = scaled(to_u64(trim(*text)), kNanoseconds);
    if (at.after_gap) previous_at_.reset();
    if (!use_.cpu_seconds) return;
    const double seconds = rate_seconds(at, previous_at_);
    if (previous_cpu_seconds_ && seconds > 0 && *use_.cpu_seconds >= *previous_cpu_seconds_) {
        use_.cpus = (*use_.cpu_seconds - *previous_cpu_seconds_) / seconds;
    }
    previous_cpu_seconds_ = use_.cpu_seconds;
}

}  // namespace ridgeline::agent
