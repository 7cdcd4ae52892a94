#include "collector/sink/counter_book.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const WallTime kStart = from_unix_ms(1'772'445'600'000);

}  // namespace

TEST_CASE("a counter's growth is from one sample to the next", "[counter]") {
    CounterBook::Counter counter;
    CHECK_FALSE(counter.step(kStart, 1e15, false));
    CHECK(counter.step(kStart + 1s, 1e15 + 7, false) == 7);
    CHECK(counter.step(kStart + 2s, 1e15 + 7, false) == 0);
    CHECK(counter.step(kStart + 3s, 5, false) == 5);  // begun anew
    CHECK_FALSE(counter.step(kStart + 3s, 9, false));
    CHECK_FALSE(counter.step(kStart, 9, false));
    CHECK(counter.step(kStart + 4s, 6, false) == 1);
}

TEST_CASE("growth over a gap is the backlog's, and counted once", "[counter]") {
    CounterBook::Counter counter;
    for (int second = 0; second <= 100; ++second)
        counter.step(kStart + std::chrono::seconds(second), second * 10.0, false);
    // The uplink was down for ten minutes: live first, then what lies between.
    CHECK_FALSE(counter.step(kStart + 701s, 7010, false));
    double grown = 0;
    int live = 701;
    for (int second = 101; second <= 700; ++second) {
        const auto step = counter.step(kStart + std::chrono::seconds(second), second * 10.0, true);
        REQUIRE(step);
        grown += *step;
        if (second % 100 == 0) {  // live data go on meanwhile
            ++live;
            CHECK(counter.step(kStart + std::chrono::seconds(live), live * 10.0, false) == 10);
        }
    }
    CHECK(grown == 6000);
}

TEST_CASE("what is sampled rarely has no gap", "[counter]") {
    CounterBook::Counter counter;
    counter.step(kStart, 0, false);
    CHECK(counter.step(kStart + 10min, 3, false) == 3);
    CHECK(counter.step(kStart + 20min, 4, false) == 1);
    CHECK(counter.step(kStart + 45min, 9, false) == 5);  // one was missed
    CHECK_FALSE(counter.step(kStart + 20h, 20, false));
}

TEST_CASE("counters that are silent are forgotten", "[counter]") {
    CounterBook book;
    book.of("a", {"system.network.io", {}}).step(kStart, 1, false);
    book.of("b", {"system.network.io", {}}).step(kStart + 1h, 1, true);
    book.of("b", {"system.disk.io", {}});  // nothing of it yet
    CHECK(book.size() == 3);
    book.forget_before(kStart + 1min);
    CHECK(book.size() == 2);
}
