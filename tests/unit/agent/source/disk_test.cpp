#include "agent/source/disk.h"

#include <cmath>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/sample_sink.h"

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

namespace {

struct DiskHost {
    explicit DiskHost(DiskOptions options = {}) : source(root, std::move(options)) {}
    void second(const std::string& diskstats) {
        host.write("proc/diskstats", diskstats);
        ++at;
        sink.values.clear();
        REQUIRE(source.read(
            {ridgeline::from_unix_ms(at * 1000), ridgeline::MonoTime{std::chrono::seconds{at}}}));
        source.emit(sink);
        CHECK(sink.unknown.empty());
    }
    bool shown(const std::string& device) {
        return sink["system.disk.io_time{device=\"" + device + "\"}"].has_value();
    }
    std::optional<double> of(const std::string& metric, const std::string& device) {
        return sink["system.disk." + metric + "{device=\"" + device + "\"}"];
    }
    std::optional<double> latency(const std::string& device, const std::string& direction) {
        return sink["system.disk.latency{device=\"" + device + "\",direction=\"" + direction +
                    "\"}"];
    }
    ridgeline::test::HostTree host;
    HostRoot root = host.write("statvfs", "").root();
    DiskSource source;
    ridgeline::test::SampleSink sink;
    std::int64_t at = 0;
};

// major minor name, then reads, merged, sectors, ms, writes, merged, sectors, ms, in flight, io ms,
// weighted ms
std::string disk(const std::string& which, std::uint64_t reads, std::uint64_t sectors,
                 std::uint64_t ms, std::uint64_t io_ms, int in_flight = 0) {
    return which + " " + std::to_string(reads) + " 0 " + std::to_string(sectors) + " " +
           std::to_string(ms) + " 0 0 0 0 " + std::to_string(in_flight) + " " +
           std::to_string(io_ms) + " " + std::to_string(io_ms) + "\n";
}

}  // namespace

TEST_CASE("partitions are told by sysfs, so that a disk with a partition's name is a disk",
          "[disk]") {
    DiskHost host;
    for (const char* name : {"mmcblk0p1", "nbd0p1", "md0p1", "nvme0n1p1"})
        host.host.write(std::string("sys/class/block/") + name + "/partition", "1\n");
    host.second(disk("202 1 xvda1", 1, 8, 1, 1) + disk("179 0 mmcblk0", 1, 8, 1, 1) +
                disk("179 1 mmcblk0p1", 1, 8, 1, 1) + disk("43 1 nbd0p1", 1, 8, 1, 1) +
                disk("259 1 md0p1", 1, 8, 1, 1) + disk("259 2 nvme0n1p1", 1, 8, 1, 1));
    CHECK(host.shown("xvda1"));  // the root disk of old EC2 instances
    CHECK(host.shown("mmcblk0"));
    CHECK(host.sink.values.size() == 2 * (2 * 4 + 3));
}

TEST_CASE("the paths of a multipath disk are not counted beside it", "[disk]") {
    DiskHost host;
    for (const char* path : {"sda", "sdb"})
        host.host.write(std::string("sys/class/block/") + path + "/holders/dm-0/x", "");
    host.host.write("sys/class/block/dm-0/dm/name", "mpatha\n")
        .write("sys/class/block/dm-0/dm/uuid", "mpath-3600a\n")
        .write("sys/class/block/sdc/holders/dm-1/x", "")
        .write("sys/class/block/dm-1/dm/uuid", "LVM-abc\n")
        .write("sys/class/block/dm-1/dm/name", "vg0-root\n");
    host.second(disk("8 0 sda", 1, 8, 1, 1) + disk("8 16 sdb", 1, 8, 1, 1) +
                disk("8 32 sdc", 1, 8, 1, 1) + disk("253 0 dm-0", 2, 16, 2, 2) +
                disk("253 1 dm-1", 1, 8, 1, 1));
    CHECK_FALSE(host.shown("sda"));
    CHECK_FALSE(host.shown("sdb"));
    CHECK(host.shown("mpatha"));
    CHECK(host.shown("sdc"));  // below a logical volume it is still the disk
    CHECK(host.shown("vg0-root"));
}

TEST_CASE("a slash in a name is an exclamation mark in sysfs", "[disk]") {
    DiskHost host;
    host.host.write("sys/class/block/cciss!c0d0p1/partition", "1\n");
    host.second(disk("104 0 cciss/c0d0", 1, 8, 1, 1) + disk("104 1 cciss/c0d0p1", 1, 8, 1, 1));
    CHECK(host.shown("cciss/c0d0"));
    CHECK_FALSE(host.shown("cciss/c0d0p1"));
}

TEST_CASE("a device that was made anew under its name starts anew", "[disk]") {
    DiskHost host;
    host.second(disk("253 3 dm-3", 5'000'000, 90'000'000, 70'000, 60'000));
    host.second(disk("253 3 dm-3", 10, 80, 5, 5));  // the same number, other counters
    CHECK_FALSE(host.of("utilization", "dm-3"));
    CHECK_FALSE(host.latency("dm-3", "read"));
    host.second(disk("253 3 dm-3", 20, 160, 25, 105));
    CHECK(host.of("utilization", "dm-3") == 0.1);
    CHECK(host.latency("dm-3", "read") == 0.002);
    host.second(disk("253 9 dm-3", 900, 7200, 900, 900));  // another number: another device
    CHECK_FALSE(host.of("utilization", "dm-3"));
}

TEST_CASE("a disk that finishes nothing has no latency, and shows what waits", "[disk]") {
    DiskHost host;
    host.second(disk("8 0 sda", 100, 800, 100, 100, 0));
    host.second(disk("8 0 sda", 100, 800, 100, 1100, 4));
    CHECK_FALSE(host.latency("sda", "read"));
    CHECK(host.of("utilization", "sda") == 1);
    CHECK(host.of("pending_operations", "sda") == 4);
}

TEST_CASE("a disk is never busy for longer than the time that passed", "[disk]") {
    DiskHost host;
    host.second(disk("8 0 sda", 100, 800, 100, 1000));
    host.second(disk("8 0 sda", 101, 808, 101, 2050));  // the kernel rounds to its ticks
    CHECK(host.of("utilization", "sda") == 1);
}

TEST_CASE("a new disk that did nothing yet is there", "[disk]") {
    DiskHost host;
    host.second(disk("8 0 sda", 0, 0, 0, 0));
    CHECK(host.sink["system.disk.io{device=\"sda\",direction=\"read\"}"] == 0);
}

TEST_CASE("sectors are 512 bytes on every disk", "[disk]") {
    DiskHost host;
    host.host.write("sys/class/block/sda/queue/hw_sector_size", "4096\n");
    host.second(disk("8 0 sda", 1, 8, 1, 1));
    CHECK(host.sink["system.disk.io{device=\"sda\",direction=\"read\"}"] == 4096);
}

TEST_CASE("whatever two readings say, shares and latencies are possible ones", "[disk]") {
    std::mt19937_64 random(5);  // NOLINT: the same every time
    DiskHost host;
    for (int i = 0; i < 500; ++i) {
        const auto any = [&] { return random() >> (random() % 64); };
        host.second(disk("8 0 sda", any(), any(), any(), any()));
        const auto utilization = host.of("utilization", "sda");
        if (utilization) CHECK((*utilization >= 0 && *utilization <= 1));
        const auto latency = host.latency("sda", "read");
        if (latency) CHECK((*latency >= 0 && std::isfinite(*latency)));
    }
}

TEST_CASE("a volume that is renamed goes on under its new name", "[disk]") {
    DiskHost host;
    host.host.write("sys/class/block/dm-0/dm/name", "vg-old\n");
    host.second(disk("253 0 dm-0", 1, 8, 1, 1));
    CHECK(host.shown("vg-old"));
    host.host.write("sys/class/block/dm-0/dm/name", "vg-new\n");
    for (int i = 0; i < 12; ++i)
        host.second(disk("253 0 dm-0", 2, 16, 2, 2));
    CHECK(host.shown("vg-new"));
    CHECK_FALSE(host.shown("vg-old"));
}

TEST_CASE("a volume that came back under another number keeps its series", "[disk]") {
    DiskHost host;
    host.host.write("sys/class/block/dm-9/dm/name", "vg-x\n");
    host.second(disk("253 9 dm-9", 1, 8, 1, 1));
    host.host.write("sys/class/block/dm-10/dm/name", "vg-x\n");
    host.second(disk("253 10 dm-10", 7, 56, 7, 7));
    CHECK(host.shown("vg-x"));  // retired as dm-9's first, then declared as dm-10's
}

TEST_CASE("another disk under the same name and number starts its own count", "[disk][DSK-04]") {
    DiskHost host;
    const auto line = [](std::uint64_t n) { return disk("8 0 sda", n, n * 8, n, n); };
    host.host.write("sys/class/block/sda/diskseq", "7\n");
    // In the upper half of 32 bits, so that a lower value would pass for a wrap.
    host.second(line(3'000'000'000U));
    host.second(line(3'000'000'001U));
    CHECK(host.latency("sda", "read"));
    host.host.write("sys/class/block/sda/diskseq", "8\n");
    host.second(line(50));
    CHECK_FALSE(host.latency("sda", "read"));
    CHECK_FALSE(host.of("utilization", "sda"));
    CHECK(host.of("io_time", "sda") == 0.05);
    host.second(line(60));
    CHECK(host.latency("sda", "read"));
}

TEST_CASE("an EBS volume is known by its id, wherever it is attached", "[disk][DSK-12]") {
    DiskHost host;
    const auto serial = [&](const std::string& device, const std::string& text) {
        host.host.write("sys/class/block/" + device + "/device/serial", text);
    };
    serial("nvme0n1", "vol0123456789abcdef0\n");
    serial("nvme1n1", "AWS11111111111111111\n");  // an instance store
    serial("nvme2n1", "vol-0123abcd\n");
    serial("nvme3n1", "vol../../etc\n");
    std::string lines;
    for (int i = 0; i < 4; ++i)
        lines += disk("259 " + std::to_string(i) + " nvme" + std::to_string(i) + "n1", 1, 8, 1, 1);
    host.second(lines);
    CHECK(host.sink["system.disk.io_time{device=\"nvme0n1\",volume=\"vol-0123456789abcdef0\"}"]);
    CHECK(
        host.sink["system.disk.io{device=\"nvme2n1\",direction=\"read\",volume=\"vol-0123abcd\"}"]);
    CHECK(host.shown("nvme1n1"));
    CHECK(host.shown("nvme3n1"));
}
