#include "agent/source/cpu.h"

#include <numeric>
#include <string>

#include "tests/support/catch.h"

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

TEST_CASE("a very long interrupt line and a thousand CPUs are read", "[cpu]") {
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
    const auto shares =
        cpu_shares(ticks({100, 0, 50, 800, 10, 0, 5, 5}), ticks({130, 5, 60, 840, 10, 0, 10, 10}));
    REQUIRE(shares);
    CHECK((*shares)[0] == Approx(30.0 / 95).margin(1e-4));
    CHECK(std::accumulate(shares->begin(), shares->end(), 0.0) == Approx(1).margin(1e-3));
}

TEST_CASE("iowait and idle that step back count as standing still", "[cpu]") {
    const auto shares =
        cpu_shares(ticks({100, 0, 0, 1000, 500, 0, 0, 0}), ticks({150, 0, 0, 990, 400, 0, 0, 0}));
    REQUIRE(shares);
    CHECK((*shares)[0] == 1);
    CHECK((*shares)[kCpuIdle] == 0);
}

TEST_CASE("no time between two readings, or a CPU that came back, gives no share", "[cpu]") {
    const CpuTicks now = ticks({1, 2, 3, 4000, 5, 6, 7, 8});
    CHECK_FALSE(cpu_shares(now, now));
    CHECK_FALSE(cpu_shares(now, ticks({2, 2, 3, 100, 5, 6, 7, 8})));
}

TEST_CASE("load averages are three numbers or nothing", "[cpu]") {
    CHECK(parse_load_average("0.52 0.58 0.59 2/113 4821\n")->five == 0.58);
    CHECK_FALSE(parse_load_average("0.52 0.58"));
    CHECK_FALSE(parse_load_average("a b c"));
}
