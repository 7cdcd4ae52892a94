// Control groups: the limits that apply and how near they are.
//
// Without configuration the group of the container the agent runs in is shown, and nothing on a
// plain host: what the agent's own service may use says nothing about the host. [source.cgroup]
// groups names more of them. Limits are the least of the group's own and its ancestors', as far up
// as the agent can see; in a cgroup namespace that is the container.
//
// cgroup v2 is read as it is. With v1 and the hybrid of both only the container's own group is
// read, and a CPU or pids limit of its ancestors is not seen.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/cgroup_level.h"
#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

// Where the container's group lies, from the path of its first process: that of a systemd in it is
// one below. nullopt for a path that cannot be followed from here.
std::optional<std::string> container_group(std::string_view first_process_path);

struct CgroupOptions {
    std::vector<std::string> groups;  // globs: "system.slice/*.service"; * stays within one level
    std::size_t max_groups = 200;
};

class CgroupSource final : public Source {
  public:
    CgroupSource(const HostRoot& root, CgroupOptions options);
    std::string_view name() const override { return "cgroup"; }
    // Too many groups is an error, and what is watched is emitted all the same.
    bool emits_after_error() const override { return true; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    enum Metric : std::size_t {
        memory_usage,
        memory_limit,
        memory_utilization,
        memory_oom_kills,
        cpu_time,
        cpu_limit,
        cpu_utilization,
        cpu_throttled_time,
        pids_usage,
        pids_limit,
        pids_utilization,
        metric_count
    };
    using Values = std::array<std::optional<double>, metric_count>;
    struct Level {
        std::optional<CgroupLevel> files;
        bool watched = false;
        bool needed = false;
    };
    struct Group {
        std::vector<const Level*> chain;  // the group, then its ancestors
        bool wanted = false;
        std::array<std::optional<SlotId>, metric_count> slots;
    };

    Result<void> refresh();
    std::optional<std::string> own_group() const;
    std::optional<CgroupV1Directories> own_v1_group() const;
    void match(const std::string& parent, std::string_view pattern,
               std::set<std::string>& out) const;
    Level* find_level(const std::string& path);
    void watch(const std::string& path);
    void watch_v1(const CgroupV1Directories& directories);
    static Values values_of(const Group& group);

    const HostRoot* root_;
    CgroupOptions options_;
    std::string buffer_;
    // By path. Nodes stay where they are, so that groups may point at the levels.
    std::map<std::string, Level> levels_;
    std::map<std::string, Group> groups_;
    CgroupV1Directories v1_directories_;
    std::uint32_t rounds_ = 0;
};

extern const SourceType kCgroupSource;

}  // namespace ridgeline::agent
