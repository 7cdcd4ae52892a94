// Every parser of a kernel file gets every input: what the kernel writes into one must not harm
// another.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/source/cgroup.h"
#include "agent/source/cpu.h"
#include "agent/source/disk.h"
#include "agent/source/filesystem.h"
#include "agent/source/host.h"
#include "agent/source/memory.h"
#include "agent/source/network.h"
#include "agent/source/pressure.h"
#include "agent/source/reboot.h"
#include "agent/source/tcp.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

// Halves of the input as two readings of one counter file.
void check_cpu(std::string_view text) {
    CpuStat before;
    CpuStat now;
    if (!parse_cpu_stat(text.substr(0, text.size() / 2), before)) return;
    if (!parse_cpu_stat(text.substr(text.size() / 2), now)) return;
    const auto shares = cpu_shares(before.cpus.front(), now.cpus.front(), 100);
    if (!shares) return;
    double sum = 0;
    for (const double share : *shares) {
        fuzz::expect(share >= 0 && share <= 1, "a share is a ratio");
        sum += share;
    }
    fuzz::expect(std::abs(sum - 1) < 1e-3, "shares add up");
}

// Halves of the input as the tables of two processes.
void check_mounts(std::string_view text) {
    const auto all = parse_mountinfo(text);
    const auto visible = visible_mounts(all);
    fuzz::expect(visible.size() <= all.size(), "nothing hidden is made up");
    const auto selected = select_mounts(visible, {});
    fuzz::expect(selected.size() <= visible.size(), "selecting makes no mounts up");
    const auto own = visible_mounts(parse_mountinfo(text.substr(0, text.size() / 2)));
    const auto first_process = visible_mounts(parse_mountinfo(text.substr(text.size() / 2)));
    for (const HostMount& mount : select_host_mounts(own, &first_process, {})) {
        fuzz::expect(!mount.reached || mount.reached->device_number == mount.shown.device_number,
                     "no filesystem is taken for another");
    }
    (void)mounts_below("/mnt", visible);
}

void check_cgroup(std::string_view text) {
    if (const auto path = parse_cgroup_path(text, "")) {
        if (const auto group = container_group(*path))
            fuzz::expect(group->starts_with('/'), "a group's path is absolute");
    }
    (void)parse_cgroup_path(text, "memory");
    (void)parse_cgroup_limit(text);
    if (const auto cpus = parse_cpu_max(text))
        fuzz::expect(std::isfinite(*cpus) && *cpus >= 0, "a limit is a number of CPUs");
    (void)parse_flat_key(text, "inactive_file");
}

void check_kernel_releases(std::string_view text) {
    const std::string_view a = text.substr(0, text.size() / 2);
    const std::string_view b = text.substr(text.size() / 2);
    const int order = compare_kernel_releases(a, b);
    const int reverse = compare_kernel_releases(b, a);
    fuzz::expect((order < 0) == (reverse > 0) && (order == 0) == (reverse == 0),
                 "an order is the same from both sides");
    fuzz::expect(compare_kernel_releases(text, text) == 0, "a release is its own equal");
    (void)kernel_flavour(text);
}

void check_tcp(std::string_view text) {
    std::array<NetCounter, 2> wanted = {
        {{"Tcp", "RetransSegs", {}}, {"TcpExt", "ListenOverflows", {}}}};
    parse_net_counters(text, wanted);
    (void)parse_snmp6(text, "Udp6RcvbufErrors");
    (void)parse_sockstat(text);
    if (const auto drops = parse_conntrack_stat(text))
        fuzz::expect(text.find('\n') != text.rfind('\n'), "drops come from a line below the names");
    (void)parse_recorded_states(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    CpuStat stat;
    (void)parse_cpu_stat(text, stat);
    check_cpu(text);
    if (const auto load = parse_load_average(text))
        fuzz::expect(std::isfinite(load->one), "a load average is a number");
    (void)parse_meminfo(text).available_or_estimate();
    (void)parse_vmstat(text);
    check_mounts(text);
    std::vector<InterfaceCounters> interfaces;
    (void)parse_net_dev(text, interfaces);
    std::vector<DiskCounters> disks;
    parse_diskstats(text, disks);
    (void)parse_pressure(text);
    check_tcp(text);
    HostFacts facts;
    parse_uptime(text, facts);
    parse_process_counts(text, text, facts);
    (void)parse_file_nr(text);
    check_cgroup(text);
    check_kernel_releases(text);
    return 0;
}
