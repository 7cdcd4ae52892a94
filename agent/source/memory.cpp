#include "agent/source/memory.h"

#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr const char* kArcStats = "proc/spl/kstat/zfs/arcstats";

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
        std::optional<std::uint64_t>* target = key == "MemTotal"          ? &info.total
                                               : key == "MemFree"         ? &info.free
                                               : key == "MemAvailable"    ? &info.available
                                               : key == "Buffers"         ? &info.buffers
                                               : key == "Cached"          ? &info.cached
                                               : key == "SReclaimable"    ? &info.slab_reclaimable
                                               : key == "Shmem"           ? &info.shared
                                               : key == "SwapTotal"       ? &info.swap_total
                                               : key == "SwapFree"        ? &info.swap_free
                                               : key == "Hugepagesize"    ? &info.huge_page_size
                                               : key == "HugePages_Total" ? &info.huge_pages_total
                                               : key == "HugePages_Free"  ? &info.huge_pages_free
                                                                          : nullptr;
        if (target == nullptr) continue;
        line.remove_prefix(colon + 1);
        const auto value = to_u64(next_field(line));
        if (!value || *value >= (std::uint64_t{1} << 53)) continue;
        // Lines without a unit are counts, not sizes.
        const bool is_size = next_field(line) == "kB";
        const bool wants_count = key.starts_with("HugePages_");
        if (is_size != wants_count) *target = is_size ? *value * 1024 : *value;
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
        if (key == "oom_kill") stat.oom_kills = to_u64(next_field(line));
    }
    return stat;
}

std::uint64_t parse_arc_reclaimable(std::string_view text) {
    std::uint64_t size = 0;
    std::uint64_t least = 0;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        const std::string_view key = next_field(line);
        if (key != "size" && key != "c_min") continue;
        next_field(line);  // the value's type
        (key == "size" ? size : least) = to_u64(next_field(line)).value_or(0);
    }
    return minus(size, least);
}

bool meminfo_is_lxcfs(std::string_view mountinfo) {
    while (!mountinfo.empty()) {
        const std::string_view line = next_line(mountinfo);
        if (line.find(" /proc/meminfo ") != std::string_view::npos &&
            line.find(" - fuse.lxcfs ") != std::string_view::npos)
            return true;
    }
    return false;
}

MemorySource::MemorySource(const HostRoot& root)
    : meminfo_file_(root, "proc/meminfo"),
      vmstat_file_(root, "proc/vmstat"),
      arc_file_(root, kArcStats),
      root_(&root) {}

// ZFS can be loaded later; a host without it is asked once a minute, not once a second.
void MemorySource::look_for_arc() {
    constexpr std::uint32_t kLookEveryRounds = 60;
    if (rounds_++ % kLookEveryRounds == 0) {
        arc_counts_ = ::faccessat(root_->fd(), kArcStats, R_OK, 0) == 0;
        if (arc_counts_) {
            HostFile mounts(*root_, "proc/self/mountinfo");
            const auto table = mounts.read();
            arc_counts_ = !table || !meminfo_is_lxcfs(*table);
        }
    }
    arc_reclaimable_ = 0;
    if (!arc_counts_) return;
    if (const auto stats = arc_file_.read()) arc_reclaimable_ = parse_arc_reclaimable(*stats);
}

Result<void> MemorySource::read(const SampleInstant&) {
    RL_ASSIGN_OR_RETURN(const std::string_view meminfo, meminfo_file_.read());
    info_ = parse_meminfo(meminfo);
    if (!info_.total || *info_.total == 0 || !info_.available_or_estimate()) {
        return fail(Errc::corrupt, "/proc/meminfo: MemTotal or MemFree is missing");
    }
    RL_ASSIGN_OR_RETURN(const std::string_view vmstat, vmstat_file_.read());
    vmstat_ = parse_vmstat(vmstat);
    look_for_arc();
    return {};
}

void MemorySource::declare(Recorder& out) {
    constexpr std::array kStates = {"used", "free", "cached", "buffers", "slab_reclaimable"};
    for (std::size_t i = 0; i < kStates.size(); ++i) {
        usage_[i] = out.declare("system.memory.usage", {{"state", kStates[i]}});
        utilization_[i] = out.declare("system.memory.utilization", {{"state", kStates[i]}});
    }
    limit_ = out.declare("system.memory.limit", {});
    available_ = out.declare("system.memory.linux.available", {});
    shared_ = out.declare("system.memory.linux.shared", {});
    oom_kills_ = out.declare("system.memory.oom_kills", {});
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
    emit_states(out);
    emit_paging(out);
}

void MemorySource::emit_states(Recorder& out) {
    const std::uint64_t total = *info_.total;
    const std::uint64_t available =
        std::min(total, *info_.available_or_estimate() + arc_reclaimable_);
    const std::array<std::optional<std::uint64_t>, 5> states = {
        minus(total, available), info_.free, info_.cached, info_.buffers, info_.slab_reclaimable};
    for (std::size_t i = 0; i < states.size(); ++i) {
        if (!states[i]) continue;
        out.record(usage_[i], static_cast<double>(*states[i]));
        out.record(utilization_[i], round_ratio(static_cast<double>(std::min(*states[i], total)) /
                                                static_cast<double>(total)));
    }
    out.record(limit_, static_cast<double>(total));
    out.record(available_, static_cast<double>(available));
    if (info_.shared) out.record(shared_, static_cast<double>(*info_.shared));
    emit_huge_pages(out);
    if (vmstat_.oom_kills) out.record(oom_kills_, static_cast<double>(*vmstat_.oom_kills));
}

// Few hosts set any aside.
void MemorySource::emit_huge_pages(Recorder& out) {
    const bool any = info_.huge_pages_total.value_or(0) > 0;
    if (any && !huge_declared_) {
        huge_declared_ = true;
        huge_limit_ = out.declare("system.memory.linux.hugepages.limit", {});
        huge_size_ = out.declare("system.memory.linux.hugepages.page.size", {});
        huge_usage_ = {out.declare("system.memory.linux.hugepages.usage", {{"state", "used"}}),
                       out.declare("system.memory.linux.hugepages.usage", {{"state", "free"}})};
    }
    if (huge_declared_ && info_.huge_pages_total && info_.huge_pages_free && info_.huge_page_size) {
        out.record(huge_limit_, static_cast<double>(*info_.huge_pages_total));
        out.record(huge_size_, static_cast<double>(*info_.huge_page_size));
        out.record(huge_usage_[0],
                   static_cast<double>(minus(*info_.huge_pages_total, *info_.huge_pages_free)));
        out.record(huge_usage_[1], static_cast<double>(*info_.huge_pages_free));
    }
}

void MemorySource::emit_paging(Recorder& out) {
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
