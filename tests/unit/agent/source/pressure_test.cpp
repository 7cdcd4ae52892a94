#include "agent/source/pressure.h"

#include <filesystem>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/host_tree.h"
#include "tests/support/sample_sink.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

struct PressureHost {
    PressureHost() : source(root) {}
    std::string second() {
        ++at;
        sink.values.clear();
        const auto read =
            source.read({from_unix_ms(at * 1000), MonoTime{std::chrono::seconds{at}}});
        source.emit(sink);
        CHECK(sink.unknown.empty());
        return read ? "" : read.error().context;
    }
    void pressure(const std::string& resource, const std::string& text) {
        host.write("proc/pressure/" + resource, text);
    }
    test::HostTree host;
    HostRoot root = host.write("statvfs", "").root();
    PressureSource source;
    test::SampleSink sink;
    std::int64_t at = 0;
};

std::string line(const char* scope, int total) {
    return std::string(scope) +
           " avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(total) + "\n";
}

}  // namespace

TEST_CASE("totals are taken, whatever else a kernel writes beside them", "[pressure]") {
    const PressureTotals totals = parse_pressure(
        "some avg10=1.5 avg60=0 avg300=0 new=7 total=123\nother x=1 total=9\nfull total=45");
    CHECK(totals.some_us == 123U);
    CHECK(totals.full_us == 45U);
    CHECK_FALSE(parse_pressure("some avg10=0.00 total=\nfull avg10=0.00\n").some_us);
    CHECK_FALSE(parse_pressure(std::string(3000, '\0')).full_us);
}

TEST_CASE("a kernel without full for cpu, and one with irq, say what they have", "[pressure]") {
    PressureHost host;
    host.pressure("cpu", line("some", 1'000'000));
    host.pressure("irq", line("full", 500'000));
    CHECK(host.second().empty());
    host.pressure("cpu", line("some", 1'250'000));
    host.pressure("irq", line("full", 600'000));
    CHECK(host.second().empty());
    CHECK(host.sink["system.pressure.utilization{resource=\"cpu\",scope=\"some\"}"] == 0.25);
    CHECK_FALSE(host.sink["system.pressure.stall_time{resource=\"cpu\",scope=\"full\"}"]);
    CHECK(host.sink["system.pressure.utilization{resource=\"irq\",scope=\"full\"}"] == 0.1);
    CHECK_FALSE(host.sink["system.pressure.stall_time{resource=\"irq\",scope=\"some\"}"]);
}

TEST_CASE("a kernel without pressure is no fault, and is looked at again ten minutes later",
          "[pressure]") {
    PressureHost host;
    CHECK(host.second().empty());
    CHECK(host.sink.values.empty());
    host.pressure("io", line("some", 5) + line("full", 3));
    for (int i = 0; i < 600; ++i)
        CHECK(host.second().empty());
    CHECK(host.sink.values.empty());
    CHECK(host.second().empty());
    CHECK(host.sink["system.pressure.stall_time{resource=\"io\",scope=\"full\"}"] == 0);
}

TEST_CASE("a file that cannot be read costs its resource only, and is said", "[pressure]") {
    PressureHost host;
    host.pressure("cpu", line("some", 1'000'000));
    std::filesystem::create_directories(host.host.path() / "proc/pressure/memory");  // EISDIR
    CHECK(host.second() == "/proc/pressure/memory: Is a directory");
    REQUIRE(host.source.emits_after_error());
    CHECK(host.sink["system.pressure.stall_time{resource=\"cpu\",scope=\"some\"}"] == 1);
}

TEST_CASE("after a read that failed the share is of the whole time since the last", "[pressure]") {
    PressureHost host;
    host.pressure("io", line("some", 0));
    host.second();
    const auto path = host.host.path() / "proc/pressure/io";
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    CHECK_FALSE(host.second().empty());
    std::filesystem::remove(path);
    host.pressure("io", line("some", 500'000));
    host.second();
    CHECK(host.sink["system.pressure.utilization{resource=\"io\",scope=\"some\"}"] == 0.25);
}

TEST_CASE("totals that catch up are not more than all of the time, a reset is no share",
          "[pressure]") {
    PressureHost host;
    host.pressure("cpu", line("some", 1'000'000));
    host.second();
    host.pressure("cpu", line("some", 2'100'000));
    host.second();
    const std::string share = "system.pressure.utilization{resource=\"cpu\",scope=\"some\"}";
    CHECK(host.sink[share] == 1);
    host.pressure("cpu", line("some", 10));
    host.second();
    CHECK_FALSE(host.sink[share]);
}
