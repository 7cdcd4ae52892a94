#include "agent/source/disk.h"

#include <random>

#include "tests/support/catch.h"

using namespace ridgeline::agent;

TEST_CASE("lines of 14, 18 and 20 columns are disks, shorter ones are not", "[disk]") {
    std::vector<DiskCounters> disks;
    parse_diskstats(
        "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"
        "259 1 nvme0n1p1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99\n8 1 sda1 1 2 3 4\n8 2 sda2 "
        "1 2 3 4 5 6 7 8 9 10",
        disks);
    REQUIRE(disks.size() == 3);
    CHECK(disks[0].sectors == std::array<std::uint64_t, 2>{3, 7});
    CHECK(disks[0].io_time_ms == 10);
    CHECK(disks[2].name == "nvme0n1p1");
    parse_diskstats("8 0 sda -1 2 3 4 5 6 7 8 9 10 11\n", disks);
    CHECK(disks.empty());
}

TEST_CASE("a counter that steps back has wrapped only if it can have", "[disk]") {
    CHECK(counter_delta(10, 15) == 5U);
    CHECK(counter_delta(4294967290U, 10) == 16U);
    CHECK_FALSE(counter_delta(1000, 10));        // a reset
    CHECK_FALSE(counter_delta(1ULL << 40, 10));  // not a 32-bit counter
    std::mt19937_64 rng(1);
    for (int i = 0; i < 10'000; ++i) {
        const auto delta = counter_delta(rng(), rng() >> (rng() % 40));
        if (delta) CHECK(*delta <= UINT64_MAX / 1);
    }
}
