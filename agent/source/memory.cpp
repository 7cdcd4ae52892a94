#include "agent/source/memory.h"

#include <algorithm>

#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

// a − b, not below zero: the kernel's figures are of slightly different moments.
std::uint64_t minus(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : 0;
}

}  // namespace

MemoryInfo parse_meminfo(std::string_view text) {
    MemoryInfo info;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        const std::string_view key = line.substr(0, colon);
        std::optional<std::uint64_t>* target = key == "MemTotal"       ? &info.total
                                               : key == "MemFree"      ? &info.free
                                               : key == "MemAvailable" ? &info.available
                                               : key == "Buffers"      ? &info.buffers
                                               : key == "Cached"       ? &info.cached
                                               : key == "SReclaimable" ? &info.slab_reclaimable
                                               : key == "Shmem"        ? &info.shared
                                               : key == "SwapTotal"    ? &info.swap_total
                                               : key == "SwapFree"     ? &info.swap_free
                                                                       : nullptr;
        if (target == nullptr) continue;
        line.remove_prefix(colon + 1);
        const auto value = to_u64(next_field(line));
        // Lines without a unit are counts, not sizes.
        if (value && next_field(line) == "kB" && *value < (std::uint64_t{1} << 53))
            *target = *value * 1024;
    }
    return info;
}

std::optional<std::uint64_t> MemoryInfo::available_or_estimate() const {
    if (available) return available;
    if (!free) return {};
    return minus(*free + buffers.value_or(0) + cached.value_or(0) + slab_reclaimable.value_or(0),
                 shared.value_or(0));
}

VmStat parse_vmstat(std::string_view text) {
    VmStat stat;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::string_view key = next_field(line);
        if (key == "pswpin") stat.swap_in = to_u64(next_field(line));
        if (key == "pswpout") stat.swap_out = to_u64(next_field(line));
        if (key == "pgfault") stat.faults = to_u64(next_field(line));
        if (key == "pgmajfault") stat.major_faults = to_u64(next_field(line));
    }
    return stat;
}

MemorySource::MemorySource(const HostRoot& root)
    : meminfo_file_(root, "proc/meminfo"), vmstat_file_(root, "proc/vmstat") {}

Result<void> MemorySource::read(const SampleInstant&) {
    RL_ASSIGN_OR_RETURN(const std::string_view meminfo, meminfo_file_.read());
    info_ = parse_meminfo(meminfo);
    if (!info_.total || *info_.total == 0 || !info_.available_or_estimate()) {
        return fail(Errc::corrupt, "/proc/meminfo: MemTotal or MemFree is missing");
    }
    RL_ASSIGN_OR_RETURN(const std::string_view vmstat, vmstat_file_.read());
    vmstat_ = parse_vmstat(vmstat);
    return {};
}

void MemorySource::declare(Recorder& out) {
    constexpr std::array kStates = {"used", "free", "cached", "buffers", "slab_reclaimable"};
    for (std::size_t i = 0; i < kStates.size(); ++i) {
        usage_[i] = out.declare("system.memory.usage", {{"state", kStates[i]}});
        utilization_[i] = out.declare("system.memory.utilization", {{"state", kStates[i]}});
    }
    limit_ = out.declare("system.memory.limit", {});
    paging_usage_ = {out.declare("system.paging.usage", {{"state", "used"}}),
                     out.declare("system.paging.usage", {{"state", "free"}})};
    paging_utilization_ = out.declare("system.paging.utilization", {{"state", "used"}});
    paging_operations_ = {out.declare("system.paging.operations", {{"direction", "in"}}),
                          out.declare("system.paging.operations", {{"direction", "out"}})};
    faults_ = {out.declare("system.paging.faults", {{"type", "major"}}),
               out.declare("system.paging.faults", {{"type", "minor"}})};
    declared_ = true;
}

void MemorySource::emit(Recorder& out) {
    if (!declared_) declare(out);
    const std::uint64_t total = *info_.total;
    const std::array<std::optional<std::uint64_t>, 5> states = {
        minus(total, *info_.available_or_estimate()), info_.free, info_.cached, info_.buffers,
        info_.slab_reclaimable};
    for (std::size_t i = 0; i < states.size(); ++i) {
        if (!states[i]) continue;
        out.record(usage_[i], static_cast<double>(*states[i]));
        out.record(utilization_[i], round_ratio(static_cast<double>(std::min(*states[i], total)) /
                                                static_cast<double>(total)));
    }
    out.record(limit_, static_cast<double>(total));
    if (info_.swap_total && info_.swap_free) {
        const std::uint64_t used = minus(*info_.swap_total, *info_.swap_free);
        out.record(paging_usage_[0], static_cast<double>(used));
        out.record(paging_usage_[1], static_cast<double>(*info_.swap_free));
        // Without swap there is no share of it: absent, not 0.
        if (*info_.swap_total > 0) {
            out.record(paging_utilization_, round_ratio(static_cast<double>(used) /
                                                        static_cast<double>(*info_.swap_total)));
        }
    }
    if (vmstat_.swap_in) out.record(paging_operations_[0], static_cast<double>(*vmstat_.swap_in));
    if (vmstat_.swap_out) out.record(paging_operations_[1], static_cast<double>(*vmstat_.swap_out));
    if (vmstat_.major_faults) out.record(faults_[0], static_cast<double>(*vmstat_.major_faults));
    if (vmstat_.faults && vmstat_.major_faults) {
        out.record(faults_[1], static_cast<double>(minus(*vmstat_.faults, *vmstat_.major_faults)));
    }
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot& root) { return std::make_unique<MemorySource>(root); };
}

}  // namespace

const SourceType kMemorySource{"memory", {}, configure};

}  // namespace ridgeline::agent
