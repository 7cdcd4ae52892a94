#include <atomic>
#include <cstdlib>
#include <new>

#include "agent/pipeline/batch.h"
#include "tests/support/catch.h"

namespace {
std::atomic<std::size_t> g_allocations{0};
}

void* operator new(std::size_t size) {
    ++g_allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
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

namespace ridgeline::agent {
namespace {

TEST_CASE("recording the rounds of a batch does not allocate once the series are known",
          "[batch]") {
    Batcher batcher(10);
    std::vector<SlotId> slots;
    std::int64_t ms = 0;
    const auto next_instant = [&] { return SampleInstant{from_unix_ms(ms += 1000), MonoTime{}}; };
    batcher.begin_round("cpu", next_instant());
    for (int i = 0; i < 200; ++i) {
        slots.push_back(
            batcher.declare("system.cpu.time", {{"cpu", std::to_string(i)}, {"mode", "user"}}));
    }
    batcher.end_round(WallTime{}, MonoTime{});
    batcher.seal(WallTime{}, MonoTime{});

    const std::size_t before = g_allocations;
    for (int round = 0; round < 10; ++round) {
        batcher.begin_round("cpu", next_instant());
        for (const SlotId slot : slots)
            batcher.record(slot, 0.5);
        batcher.end_round(WallTime{}, MonoTime{});
    }
    const std::size_t after = g_allocations;
    REQUIRE(after == before);
    REQUIRE(batcher.seal(WallTime{}, MonoTime{})->body.sample_count == 2000);
}

}  // namespace
}  // namespace ridgeline::agent
