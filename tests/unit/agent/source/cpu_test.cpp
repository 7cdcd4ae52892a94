#include "agent/source/cpu.h"

#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/sample_sink.h"

using namespace ridgeline::agent;

namespace {

CpuTicks ticks(std::array<std::uint64_t, 8> values) {
    return {kCpuTotal, values};
}

CpuStat parsed(const std::string& text) {
    CpuStat stat;
    REQUIRE(parse_cpu_stat(text, stat));
    return stat;
}

}  // namespace

TEST_CASE("columns an old kernel lacks are zero, ones a new kernel adds are ignored", "[cpu]") {
    CHECK(parsed("cpu 1 2 3 4\n").cpus[0].ticks ==
          std::array<std::uint64_t, 8>{1, 2, 3, 4, 0, 0, 0, 0});
    CHECK(parsed("cpu  1 2 3 4 5 6 7 8 9 10 11 12\nctxt 9\n").cpus[0].ticks ==
          std::array<std::uint64_t, 8>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("one bad line costs that CPU only; without a total there is nothing", "[cpu]") {
    const CpuStat stat = parsed(
        "cpu 1 2 3 4\ncpu0 1 2 x 4\ncpu1 1 2 3 4 5\ncpu99999 1 2 3 4\ncpuX 1 2 3 4\ncpu2 1 2\n");
    REQUIRE(stat.cpus.size() == 2);
    CHECK(stat.cpus[1].id == 1);
    CpuStat none;
    CHECK_FALSE(parse_cpu_stat("cpu0 1 2 3 4\n", none));
    CHECK_FALSE(parse_cpu_stat("", none));
    CHECK_FALSE(parse_cpu_stat(std::string(5000, '\0'), none));
}

TEST_CASE("a very long interrupt line and a thousand CPUs are read", "[cpu][STAT-10]") {
    std::string text = "cpu 1024 0 0 1024\n";
    for (int i = 0; i < 1024; ++i)
        text += "cpu" + std::to_string(i) + " 1 0 0 1 0 0 0 0 0 0\n";
    text += "intr 1";
    for (int i = 0; i < 8000; ++i)
        text += " 0";
    text += "\nctxt 77\nbtime 5\n";
    const CpuStat stat = parsed(text);
    CHECK(stat.cpus.size() == 1025);
    CHECK(stat.context_switches == 77U);
}

TEST_CASE("shares sum to one and leave guest time where the kernel counts it", "[cpu]") {
    const auto shares = cpu_shares(ticks({100, 0, 50, 800, 10, 0, 5, 5}),
                                   ticks({130, 5, 60, 840, 10, 0, 10, 10}), 100);
    REQUIRE(shares);
    CHECK((*shares)[0] == Approx(30.0 / 95).margin(1e-4));
    CHECK(std::accumulate(shares->begin(), shares->end(), 0.0) == Approx(1).margin(1e-3));
}

TEST_CASE("iowait and idle that step back count as standing still", "[cpu]") {
    const auto shares = cpu_shares(ticks({100, 0, 0, 1000, 500, 0, 0, 0}),
                                   ticks({150, 0, 0, 990, 400, 0, 0, 0}), 100);
    REQUIRE(shares);
    CHECK((*shares)[0] == 1);
    CHECK((*shares)[kCpuIdle] == 0);
}

TEST_CASE("no time between two readings, or a CPU that came back, gives no share", "[cpu]") {
    const CpuTicks now = ticks({1, 2, 3, 4000, 5, 6, 7, 8});
    CHECK_FALSE(cpu_shares(now, now, 100));
    CHECK_FALSE(cpu_shares(now, ticks({2, 2, 3, 100, 5, 6, 7, 8}), 100));
}

TEST_CASE("load averages are three numbers or nothing", "[cpu]") {
    CHECK(parse_load_average("0.52 0.58 0.59 2/113 4821\n")->five == 0.58);
    CHECK_FALSE(parse_load_average("0.52 0.58"));
    CHECK_FALSE(parse_load_average("a b c"));
}

TEST_CASE("an odd softirq line, or any other line, costs nothing but itself", "[cpu]") {
    const CpuStat stat = parsed("cpu 1 2 3 4\nsoftirq 5 1 2\nintr x\nctxt nonsense\n");
    CHECK(stat.cpus.size() == 1);
    CHECK_FALSE(stat.context_switches);
}

TEST_CASE("ticks that cannot have passed are a new baseline, not a share", "[cpu][STAT-12]") {
    const CpuTicks before = ticks({1000, 0, 0, 1000, 0, 0, 0, 0});
    CHECK(plausible_ticks(before, ticks({1100, 0, 0, 1100, 0, 0, 0, 0}), 2, 1, 100));
    // Idle CPUs catch up by some tenths of a second.
    CHECK(plausible_ticks(before, ticks({1100, 0, 0, 1200, 0, 0, 0, 0}), 2, 1, 100));
    // Steal leapt: an hour in a second.
    CHECK_FALSE(plausible_ticks(before, ticks({1000, 0, 0, 1000, 0, 0, 0, 360'000}), 2, 1, 100));
    CHECK(plausible_ticks(before, ticks({1000, 0, 0, 1000, 0, 0, 0, 0}), 0, 0, 100));
    CHECK(
        plausible_ticks(before, ticks({2000, 0, 0, 1000, 0, 0, 0, 0}), 1, 1, 1000));  // HZ of 1000
}

TEST_CASE("whatever two readings say, shares are shares", "[cpu]") {
    std::mt19937_64 random(11);  // NOLINT: the same every time
    for (int i = 0; i < 20'000; ++i) {
        CpuTicks before;
        CpuTicks now;
        for (std::size_t mode = 0; mode < kCpuModes.size(); ++mode) {
            before.ticks[mode] = random() >> (random() % 64);
            now.ticks[mode] = random() % 2 == 0 ? before.ticks[mode] + random() % 1000
                                                : random() >> (random() % 64);
        }
        const auto shares = cpu_shares(before, now, 100);
        if (!shares) continue;
        for (const double share : *shares)
            CHECK((share >= 0 && share <= 1));
        CHECK(std::accumulate(shares->begin(), shares->end(), 0.0) == Approx(1).margin(1e-3));
    }
}

namespace {

// A host of which only /proc/stat and /proc/loadavg exist.
struct CpuHost {
    explicit CpuHost(bool per_cpu, double ticks_per_second = 100)
        : source(root, {per_cpu}, ticks_per_second) {}
    void second(const std::string& stat) {
        host.write("proc/stat", stat).write("proc/loadavg", "0.1 0.2 0.3 1/100 5\n");
        ++at;
        sink.values.clear();
        REQUIRE(source.read(
            {ridgeline::from_unix_ms(at * 1000), ridgeline::MonoTime{std::chrono::seconds{at}}}));
        source.emit(sink);
        CHECK(sink.unknown.empty());
    }
    std::optional<double> used(const std::string& cpu = "") {
        return sink["system.cpu.utilization{" + (cpu.empty() ? "" : "cpu=\"" + cpu + "\",") +
                    "state=\"used\"}"];
    }
    std::optional<double> idle_time(const std::string& cpu) {
        return sink["system.cpu.time{cpu=\"" + cpu + "\",mode=\"idle\"}"];
    }
    ridgeline::test::HostTree host;
    HostRoot root = host.write("statvfs", "").root();
    CpuSource source;
    ridgeline::test::SampleSink sink;
    std::int64_t at = 0;
};

}  // namespace

TEST_CASE("a CPU that goes offline and returns leaves a gap, not a spike", "[cpu]") {
    CpuHost host(true);
    host.second("cpu 200 0 0 2000\ncpu0 100 0 0 1000\ncpu2 100 0 0 1000\n");
    host.second("cpu 250 0 0 2150\ncpu0 150 0 0 1050\ncpu2 100 0 0 1100\n");
    CHECK(host.used("0") == 0.5);
    CHECK(host.used("2") == 0);
    CHECK_FALSE(host.used("1"));  // the numbering has holes
    CHECK(host.sink["system.cpu.logical.count"] == 2);
    host.second("cpu 300 0 0 2200\ncpu0 200 0 0 1100\n");
    CHECK_FALSE(host.used("2"));
    CHECK_FALSE(host.idle_time("2"));
    CHECK(host.sink["system.cpu.logical.count"] == 1);
    host.second("cpu 350 0 0 2250\ncpu0 250 0 0 1150\ncpu2 0 0 0 5\n");
    CHECK_FALSE(host.used("2"));
    CHECK(host.used("0") == 0.5);
    host.second("cpu 400 0 0 2300\ncpu0 300 0 0 1200\ncpu2 75 0 0 30\n");
    CHECK(host.used("2") == 0.75);
}

TEST_CASE("a machine that was moved, and counts anew, is one second without a share", "[cpu]") {
    CpuHost host(false);
    host.second("cpu 5000 0 0 90000\n");
    host.second("cpu 5050 0 0 90050\n");
    CHECK(host.used() == 0.5);
    host.second("cpu 10 0 0 100\n");
    CHECK_FALSE(host.used());
    host.second("cpu 35 0 0 175\n");
    CHECK(host.used() == 0.25);
}

TEST_CASE("a counter of time does not step back with iowait, and starts over after a reset",
          "[cpu]") {
    CpuHost host(true);
    host.second("cpu 1 0 0 1\ncpu0 100 0 0 1000 50\n");
    host.second("cpu 1 0 0 1\ncpu0 110 0 0 1090 40\n");
    CHECK(host.sink["system.cpu.time{cpu=\"0\",mode=\"iowait\"}"] == 0.5);
    CHECK(host.idle_time("0") == 10.9);
    host.second("cpu 1 0 0 1\ncpu0 3 0 0 7 0\n");
    CHECK(host.idle_time("0") == 0.07);
}

TEST_CASE("a kernel that counts a thousand ticks a second", "[cpu][STAT-14]") {
    CpuHost host(true, 1000);
    host.second("cpu 1000 0 0 9000\ncpu0 1000 0 0 9000\n");
    CHECK(host.idle_time("0") == 9);
    host.second("cpu 1500 0 0 9500\ncpu0 1500 0 0 9500\n");
    CHECK(host.used() == 0.5);
    CHECK(host.used("0") == 0.5);
    // Idle steps back by half a second: 500 ticks here, and no CPU that was away.
    host.second("cpu 2500 0 0 9000\ncpu0 2500 0 0 9000\n");
    CHECK(host.used("0") == 1);
    CHECK(host.idle_time("0") == 9.5);
}

TEST_CASE("a /proc/stat of LXCFS that leaps gives no share of millions of per cent",
          "[cpu][STAT-12]") {
    CpuHost host(false);
    host.second("cpu 100 0 50 1000 0 0 0 0\ncpu0 100 0 50 1000 0 0 0 0\n");
    // Netdata #6511: the container's figures for a while are the host's, then its own again.
    host.second("cpu 7626516 0 90000 1010 0 0 0 0\ncpu0 7626516 0 90000 1010 0 0 0 0\n");
    CHECK_FALSE(host.used());
    host.second("cpu 150 0 50 1060 0 0 0 0\ncpu0 150 0 50 1060 0 0 0 0\n");
    host.second("cpu 200 0 50 1110 0 0 0 0\ncpu0 200 0 50 1110 0 0 0 0\n");
    CHECK(host.used() == 0.5);
}

TEST_CASE("two looks within one tick give no share and no NaN", "[cpu][STAT-13]") {
    CpuHost host(false);
    host.second("cpu 100 0 0 1000\n");
    host.second("cpu 100 0 0 1000\n");
    CHECK_FALSE(host.used());
    for (const auto& [name, value] : host.sink.values)
        CHECK(std::isfinite(value));
}
