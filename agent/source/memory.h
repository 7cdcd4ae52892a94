// Memory and swap: /proc/meminfo and /proc/vmstat (proc(5)).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

// Bytes. What the kernel does not say is absent.
struct MemoryInfo {
    std::optional<std::uint64_t> total;
    std::optional<std::uint64_t> free;
    std::optional<std::uint64_t> available;
    std::optional<std::uint64_t> buffers;
    std::optional<std::uint64_t> cached;
    std::optional<std::uint64_t> slab_reclaimable;
    std::optional<std::uint64_t> shared;
    std::optional<std::uint64_t> swap_total;
    std::optional<std::uint64_t> swap_free;
    // Pages set aside for hugetlbfs: neither free nor anybody's until they are used.
    std::optional<std::uint64_t> huge_pages_total;  // a count
    std::optional<std::uint64_t> huge_pages_free;
    std::optional<std::uint64_t> huge_page_size;

    // MemAvailable, or on kernels before 3.14 what it stands for: free + buffers + cached +
    // reclaimable − shared.
    std::optional<std::uint64_t> available_or_estimate() const;
};
MemoryInfo parse_meminfo(std::string_view text);

// Counters since boot. Pages swapped, faults.
struct VmStat {
    std::optional<std::uint64_t> swap_in;
    std::optional<std::uint64_t> swap_out;
    std::optional<std::uint64_t> faults;  // minor and major
    std::optional<std::uint64_t> major_faults;
    std::optional<std::uint64_t> oom_kills;  // since Linux 4.13
};
VmStat parse_vmstat(std::string_view text);

// What ZFS's cache would give back if memory were short, which MemAvailable does not know of
// (openzfs #10255): /proc/spl/kstat/zfs/arcstats, size − c_min.
std::uint64_t parse_arc_reclaimable(std::string_view text);
// Whether the mount table says that LXCFS stands in for /proc/meminfo; arcstats is then the host's.
bool meminfo_is_lxcfs(std::string_view mountinfo);

class MemorySource final : public Source {
  public:
    explicit MemorySource(const HostRoot& root);
    std::string_view name() const override { return "memory"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    void look_for_arc();
    void declare(Recorder& out);
    void emit_states(Recorder& out);
    void emit_huge_pages(Recorder& out);
    void emit_paging(Recorder& out);

    HostFile meminfo_file_;
    HostFile vmstat_file_;
    HostFile arc_file_;
    const HostRoot* root_;
    std::uint32_t rounds_ = 0;
    bool arc_counts_ = false;
    std::uint64_t arc_reclaimable_ = 0;
    MemoryInfo info_;
    VmStat vmstat_;
    bool declared_ = false;
    std::array<SlotId, 5> usage_{};
    std::array<SlotId, 5> utilization_{};
    SlotId limit_{};
    std::array<SlotId, 2> paging_usage_{};
    SlotId paging_utilization_{};
    std::array<SlotId, 2> paging_operations_{};
    std::array<SlotId, 2> faults_{};
    SlotId available_{}, shared_{}, oom_kills_{};
    std::array<SlotId, 2> huge_usage_{};
    SlotId huge_limit_{}, huge_size_{};
    bool huge_declared_ = false;
};

extern const SourceType kMemorySource;

}  // namespace ridgeline::agent
