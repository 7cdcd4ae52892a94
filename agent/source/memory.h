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
};
VmStat parse_vmstat(std::string_view text);

class MemorySource final : public Source {
  public:
    explicit MemorySource(const HostRoot& root);
    std::string_view name() const override { return "memory"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    void declare(Recorder& out);

    HostFile meminfo_file_;
    HostFile vmstat_file_;
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
};

extern const SourceType kMemorySource;

}  // namespace ridgeline::agent
