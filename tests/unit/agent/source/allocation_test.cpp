// In the steady state, sampling does not allocate: counted by replacing operator new in this
// program.
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>

#include "agent/source/catalogue.h"
#include "agent/source/cgroup.h"
#include "agent/source/host.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {
std::atomic<std::uint64_t> g_allocations{0};
}

void* operator new(std::size_t size) {
    ++g_allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    ++g_allocations;
    return std::malloc(size);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

class CountingRecorder final : public Recorder {
  public:
    SlotId declare(std::string_view, Attributes) override { return static_cast<SlotId>(slots_++); }
    void retire(SlotId) override {}
    void record(SlotId, double) override { ++recorded; }
    std::uint64_t recorded = 0;

  private:
    std::uint32_t slots_ = 0;
};

bool a_link_is_down() {
    for (const auto& link : std::filesystem::directory_iterator("/sys/class/net")) {
        int carrier = 0;
        if (!std::filesystem::exists(link.path() / "device")) continue;
        if (!(std::ifstream(link.path() / "carrier") >> carrier)) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("counting TCP sockets allocates nothing", "[allocation]") {
    const auto root = HostRoot::open("/").value();
    const auto config = default_sources_config();
    const auto tcp = find_source(config, "tcp")->make(root);
    CountingRecorder recorder;
    const auto round = [&](std::int64_t n) {
        const auto read =
            tcp->read({from_unix_ms(n * 10'000), MonoTime{std::chrono::seconds{n * 10}}});
        tcp->emit(recorder);
        return read.has_value();
    };
    round(1);
    if (!round(2)) {  // an error is text
        WARN("the kernel does not list its sockets here");
        return;
    }
    const std::uint64_t before = g_allocations;
    for (std::int64_t n = 3; n <= 12; ++n)
        round(n);
    const std::uint64_t allocations = g_allocations - before;
    CHECK(allocations == 0);
    CHECK(recorder.recorded > 100);
}

TEST_CASE("rounds of the fast sources allocate nothing, looks at the links and all",
          "[allocation]") {
    const auto root = HostRoot::open("/").value();
    auto sources = make_sources(default_sources_config(), root);
    CountingRecorder recorder;
    std::array<std::uint64_t, 32> made{};  // by source, after the first rounds
    REQUIRE(sources.size() <= made.size());
    const auto round = [&](std::int64_t n) {
        for (std::size_t i = 0; i < sources.size(); ++i) {
            Source& source = *sources[i].source;
            // Those that look around every few rounds have tests of their own below.
            if ((source.blocking() && source.name() != "filesystem") || source.name() == "agent" ||
                source.name() == "host" || source.name() == "cgroup")
                continue;
            const std::uint64_t before = g_allocations;
            if (source.read({from_unix_ms(n * 1000), MonoTime{std::chrono::seconds{n}}}))
                source.emit(recorder);
            if (n >= 14) made[i] += g_allocations - before;
        }
    };
    for (std::int64_t n = 1; n <= 13; ++n)
        round(n);
    for (std::int64_t n = 14; n <= 80; ++n)
        round(n);
    for (std::size_t i = 0; i < sources.size(); ++i) {
        INFO(sources[i].source->name());
        // Of a link that is down the kernel refuses to say more, and an error is text.
        if (sources[i].source->name() == "network" && a_link_is_down()) continue;
        CHECK(made[i] == 0);
    }
    CHECK(recorder.recorded > 100);
}

TEST_CASE("rounds of watched groups allocate nothing, open files or not", "[allocation]") {
    const test::TempDir dir;
    const auto write = [&](const std::string& path, const std::string& content) {
        std::filesystem::create_directories((dir.path() / path).parent_path());
        std::ofstream(dir.path() / path) << content;
    };
    write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids");
    for (int i = 0; i < 100; ++i) {
        const std::string group = "sys/fs/cgroup/a.slice/g" + std::to_string(i) + "/";
        write(group + "cgroup.procs", "");
        write(group + "memory.current", "600\n");
        write(group + "memory.stat", "inactive_file 100\n");
        write(group + "memory.max", "1000\n");
        write(group + "cpu.stat", "usage_usec 100\n");
        write(group + "cpu.max", "100000 100000\n");
    }
    const auto root = HostRoot::open(dir.path()).value();
    CgroupSource source(root, {{"a.slice/*"}, 200});
    CountingRecorder recorder;
    const auto round = [&](std::int64_t n) {
        CHECK(source.read({from_unix_ms(n * 1000), MonoTime{std::chrono::seconds{n}}}).has_value());
        source.emit(recorder);
    };
    for (std::int64_t n = 1; n <= 11; ++n)
        round(n);
    const std::uint64_t recorded = recorder.recorded;
    std::uint64_t allocations = 0;
    for (std::int64_t n = 12; n <= 20; ++n) {
        const std::uint64_t before = g_allocations;
        (void)source.read({from_unix_ms(n * 1000), MonoTime{std::chrono::seconds{n}}});
        source.emit(recorder);
        allocations += g_allocations - before;
    }
    CHECK(allocations == 0);
    // usage, limit and utilization of memory; time, limit and utilization of CPU
    CHECK(recorder.recorded - recorded == 9U * 100 * 6);
}

TEST_CASE("between two looks around, rounds of the host allocate nothing", "[allocation]") {
    const auto root = HostRoot::open("/").value();
    HostSource source(root, ::adjtimex);
    CountingRecorder recorder;
    std::uint64_t allocations = 0;
    for (std::int64_t n = 1; n <= 10; ++n) {
        const std::uint64_t before = g_allocations;
        const bool read =
            source.read({from_unix_ms(n * 10'000), MonoTime{std::chrono::seconds{10 * n}}})
                .has_value();
        if (read) source.emit(recorder);
        if (n > 1) allocations += g_allocations - before;
        CHECK(read);
    }
    CHECK(allocations == 0);
    CHECK(recorder.recorded >= 50);
}
