#include "agent/source/memory.h"

#include <string>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/sample_sink.h"

using namespace ridgeline::agent;

TEST_CASE("kilobytes become bytes, counts without a unit are no sizes", "[memory]") {
    const MemoryInfo info = parse_meminfo(
        "MemTotal:  16 kB\nMemFree: 4\nMemAvailable:    8 kB extra\nBuffers: x kB\n\n:\nCached 5 "
        "kB\n");
    CHECK(info.total == 16U * 1024);
    CHECK_FALSE(info.free);
    CHECK(info.available == 8U * 1024);
    CHECK_FALSE(info.buffers);
    CHECK_FALSE(info.cached);
}

TEST_CASE("without MemAvailable it is estimated and never below zero", "[memory]") {
    CHECK(parse_meminfo(
              "MemFree: 1 kB\nBuffers: 2 kB\nCached: 10 kB\nSReclaimable: 3 kB\nShmem: 4 kB\n")
              .available_or_estimate() == 12U * 1024);
    CHECK(parse_meminfo("MemFree: 1 kB\nShmem: 400 kB\n").available_or_estimate() == 0U);
    CHECK_FALSE(parse_meminfo("").available_or_estimate());
    CHECK_FALSE(parse_meminfo("MemTotal: 99999999999999999999 kB\n").total);
}

TEST_CASE("vmstat keys a kernel lacks are absent", "[memory]") {
    const VmStat stat = parse_vmstat("pswpin 5\npgfault 100\npgmajfault\nother 3\n");
    CHECK(stat.swap_in == 5U);
    CHECK(stat.faults == 100U);
    CHECK_FALSE(stat.major_faults);
    CHECK_FALSE(stat.swap_out);
}

namespace {

struct MemoryHost {
    MemoryHost() : source(root) {}
    void look(const std::string& meminfo) {
        host.write("proc/meminfo", meminfo).write("proc/vmstat", "pgfault 5\noom_kill 2\n");
        sink.values.clear();
        REQUIRE(source.read({}));
        source.emit(sink);
        CHECK(sink.unknown.empty());
    }
    ridgeline::test::HostTree host;
    HostRoot root = host.write("statvfs", "").root();
    MemorySource source;
    ridgeline::test::SampleSink sink;
};

constexpr const char* kArc =
    "13 1 0x01 122 33184 1 2\nname type data\nc_min 4 1024000\nc_max 4 9\nsize 4 3072000\n";

}  // namespace

TEST_CASE("what ZFS would give back counts as available, but for what it keeps", "[memory]") {
    CHECK(parse_arc_reclaimable(kArc) == 2048000);
    CHECK(parse_arc_reclaimable("size 4 5\nc_min 4 10\n") == 0);
    CHECK(parse_arc_reclaimable("size 4\nsize\n\n") == 0);
    MemoryHost host;
    host.host.write("proc/spl/kstat/zfs/arcstats", kArc);
    host.look("MemTotal: 10000 kB\nMemFree: 1000 kB\nMemAvailable: 2000 kB\n");
    CHECK(host.sink["system.memory.usage{state=\"used\"}"] == 6000 * 1024);
    CHECK(host.sink["system.memory.linux.available"] == 4000 * 1024);
    host.look("MemTotal: 3000 kB\nMemFree: 1000 kB\nMemAvailable: 2000 kB\n");
    CHECK(host.sink["system.memory.utilization{state=\"used\"}"] == 0);  // never below
}

TEST_CASE("in a container the cache of ZFS is the host's", "[memory]") {
    CHECK(
        meminfo_is_lxcfs("5 1 0:1 / / rw - ext4 /dev/a rw\n"
                         "9 5 0:60 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n"));
    CHECK_FALSE(meminfo_is_lxcfs("9 5 0:60 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw\n"));
    MemoryHost host;
    host.host.write("proc/spl/kstat/zfs/arcstats", kArc)
        .write("proc/self/mountinfo",
               "9 5 0:60 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n");
    host.look("MemTotal: 10000 kB\nMemFree: 1000 kB\nMemAvailable: 2000 kB\n");
    CHECK(host.sink["system.memory.usage{state=\"used\"}"] == 8000 * 1024);
}

TEST_CASE("huge pages are counted in pages, and only where some are set aside", "[memory]") {
    const MemoryInfo info =
        parse_meminfo("HugePages_Total:  64\nHugePages_Free: 16\nHugepagesize: 2048 kB\n");
    CHECK(info.huge_pages_total == 64U);
    CHECK(info.huge_page_size == 2048U * 1024);
    MemoryHost host;
    host.look(
        "MemTotal: 10 kB\nMemFree: 5 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 "
        "kB\n");
    CHECK_FALSE(host.sink["system.memory.linux.hugepages.limit"]);
    host.look(
        "MemTotal: 10 kB\nMemFree: 5 kB\nHugePages_Total: 64\nHugePages_Free: 16\nHugepagesize: "
        "2048 kB\n");
    CHECK(host.sink["system.memory.linux.hugepages.usage{state=\"used\"}"] == 48);
    CHECK(host.sink["system.memory.linux.hugepages.page.size"] == 2048 * 1024);
}

TEST_CASE("shared memory and kills are told apart from cache", "[memory]") {
    MemoryHost host;
    host.look("MemTotal: 100 kB\nMemFree: 50 kB\nCached: 40 kB\nShmem: 30 kB\n");
    CHECK(host.sink["system.memory.linux.shared"] == 30 * 1024);
    CHECK(host.sink["system.memory.oom_kills"] == 2);
}

TEST_CASE("memory that is added while it runs is the new whole", "[memory]") {
    MemoryHost host;
    host.look("MemTotal: 100 kB\nMemFree: 50 kB\nMemAvailable: 50 kB\n");
    CHECK(host.sink["system.memory.utilization{state=\"used\"}"] == 0.5);
    host.look("MemTotal: 200 kB\nMemFree: 150 kB\nMemAvailable: 150 kB\n");
    CHECK(host.sink["system.memory.utilization{state=\"used\"}"] == 0.25);
    CHECK(host.sink["system.memory.limit"] == 200 * 1024);
}

TEST_CASE("an odd or empty line costs itself alone", "[memory]") {
    const MemoryInfo info = parse_meminfo(
        "\n\nMemTotal: 5 kB x y z\nMemFree\nBuffers:\n:::\n\xff\xfe: 1 kB\nSwapFree: 7 kB");
    CHECK(info.total == 5U * 1024);
    CHECK(info.swap_free == 7U * 1024);
    CHECK_FALSE(info.buffers);
}
