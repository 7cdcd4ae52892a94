#include "agent/source/memory.h"

#include <string>

#include "tests/support/catch.h"

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
