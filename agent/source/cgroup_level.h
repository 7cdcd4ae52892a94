// One control group's files: what it uses and what it may use.
//
// cgroup v2 (Documentation/admin-guide/cgroup-v2.rst); of v1 (admin-guide/cgroup-v1) the same
// figures where it has them. A file that is not there (its controller is not enabled for the
// group, an older kernel) leaves its value absent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

// The path in /proc/PID/cgroup of `controller` ("" for v2's line). It may hold colons, blanks and
// backslashes.
std::optional<std::string_view> parse_cgroup_path(std::string_view text,
                                                  std::string_view controller);
// "max", v1's −1 and v1's largest page-aligned number are no limit.
std::optional<std::uint64_t> parse_cgroup_limit(std::string_view text);
// cpu.max as a number of CPUs: "150000 100000" is 1.5.
std::optional<double> parse_cpu_max(std::string_view text);
std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us);
// The number after `key` in a file of lines "key number"; a line that is cut short is none.
std::optional<std::uint64_t> parse_flat_key(std::string_view text, std::string_view key);

struct CgroupLimits {
    std::optional<std::uint64_t> memory_bytes;
    std::optional<double> cpus;
    std::optional<std::uint64_t> pids;
};

struct CgroupUse {
    // Without the page cache that is given up first (inactive_file): what is left when memory runs
    // short.
    std::optional<std::uint64_t> memory_bytes;
    std::optional<std::uint64_t> oom_kills;
    std::optional<double> cpu_seconds;
    std::optional<double> throttled_seconds;
    std::optional<double> cpus;  // CPUs kept busy since the last sample
    std::optional<std::uint64_t> pids;
};

// The directories of a v1 group, one per controller, below the root; empty where there is none.
struct CgroupV1Directories {
    std::string memory, cpu, cpuacct, pids;
    bool operator==(const CgroupV1Directories&) const = default;
};

class CgroupLevel {
  public:
    // Files that are read at every sample.
    static constexpr std::size_t kSampledFiles = 5;

    // `directory` is below the root, without a leading slash. Without `keep_open` the files are
    // opened for each reading, for there are only so many descriptors.
    CgroupLevel(const HostRoot& root, std::string directory, bool keep_open);
    CgroupLevel(const HostRoot& root, const CgroupV1Directories& directories);

    // Another group under the same name has another inode: its counters begin anew.
    bool same(std::uint64_t inode) const { return inode_ == inode; }
    bool gone() const { return gone_; }

    void read_limits(std::string& buffer);
    // `watched`: everything; otherwise only what this group limits. Use limits() before.
    void sample(const SampleInstant& at, bool watched, std::string& buffer);

    const CgroupLimits& limits() const { return limits_; }
    const CgroupUse& use() const { return use_; }

  private:
    // By what they tell in v2; v1 needs two files more.
    enum File : std::size_t {
        memory_current,
        memory_stat,
        memory_events,
        cpu_stat,
        pids_current,
        cpuacct_usage,
        memory_max,
        cpu_max,
        cfs_period,
        pids_max,
        file_count
    };
    struct Handle {
        std::string name;  // below directory_; empty: not of this version
        UniqueFd fd;
        bool absent = false;  // until read_limits()
    };

    void open_directory();
    std::optional<std::string_view> read(File file, std::string& buffer);
    void sample_memory(bool watched, std::string& buffer);
    void sample_cpu(const SampleInstant& at, bool watched, std::string& buffer);

    const HostRoot* root_;
    std::string directory_;
    bool v1_ = false;
    bool keep_open_ = true;
    bool gone_ = false;
    UniqueFd fd_;  // of the directory: all files are of the same group
    std::uint64_t inode_ = 0;
    std::array<Handle, file_count> files_;
    CgroupLimits limits_;
    CgroupUse use_;
    std::optional<double> previous_cpu_seconds_;
    std::optional<MonoTime> previous_at_;
};

}  // namespace ridgeline::agent
