// In the steady state, sampling does not allocate: counted by replacing operator new in this
// program.
#include <atomic>
#include <cstdlib>
#include <new>

#include "agent/source/catalogue.h"
#include "tests/support/catch.h"

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

}  // namespace

TEST_CASE("between two looks at the links, rounds of the fast sources allocate nothing",
          "[allocation]") {
    const auto root = HostRoot::open("/").value();
    auto sources = make_sources(default_sources_config(), root);
    CountingRecorder recorder;
    const auto round = [&](std::int64_t n) {
        for (auto& scheduled : sources) {
            Source& source = *scheduled.source;
            if (source.blocking() && source.name() != "filesystem") continue;
            if (source.name() == "agent" || source.name() == "host") continue;
            if (!source.read({from_unix_ms(n * 1000), MonoTime{std::chrono::seconds{n}}})) continue;
            source.emit(recorder);
        }
    };
    for (std::int64_t n = 1; n <= 11; ++n)
        round(n);
    // The network source looks at its links every tenth round (rounds 11, 21, …); the nine between
    // are the rule.
    const std::uint64_t before = g_allocations;
    for (std::int64_t n = 12; n <= 20; ++n)
        round(n);
    const std::uint64_t allocations = g_allocations - before;
    CHECK(allocations == 0);
    CHECK(recorder.recorded > 100);
}
