#include "collector/rule/sample_times.h"

#include <deque>
#include <random>

#include "tests/support/catch.h"

using namespace ridgeline::collector;

namespace {

struct Sample {
    std::int64_t time_ms;
    std::int64_t covers_ms;
    bool operator==(const Sample&) const = default;
};

std::deque<Sample> all_of(const SampleTimes& times) {
    std::deque<Sample> all;
    times.each_from_back([&](std::size_t index, std::int64_t time_ms, std::int64_t covers_ms) {
        all.push_front({time_ms, covers_ms});
        return all.size() == times.size() - index;
    });
    return all;
}

}  // namespace

TEST_CASE("a window's times come out as they went in, whatever their rhythm") {
    std::mt19937 rng(GENERATE(1U, 2U, 3U, 4U, 5U, 6U));
    SampleTimes times;
    std::deque<Sample> expected;
    std::int64_t now_ms = 1'772'445'600'000;
    for (int i = 0; i < 5000; ++i) {
        const auto dice = rng() % 100;
        if (dice < 40 && !expected.empty()) {
            REQUIRE(times.front_ms() == expected.front().time_ms);
            REQUIRE(times.front_covers_ms() == expected.front().covers_ms);
            times.pop_front();
            expected.pop_front();
        } else if (dice < 42 && !expected.empty()) {
            const std::size_t index = rng() % expected.size();
            times.uncover(index);
            expected[index].covers_ms = 0;
        } else {
            // Mostly a second; at times a jitter, a hole, or longer than 32 bits can say.
            std::int64_t step_ms = 1000;
            if (dice > 90) step_ms += static_cast<std::int64_t>(rng() % 20) - 10;
            if (dice == 98) step_ms = 90'000;
            if (dice == 99) step_ms = 1LL << 33U;
            now_ms += step_ms;
            const std::int64_t covers_ms = dice == 98 ? 0 : step_ms;
            times.push_back(now_ms, covers_ms);
            expected.push_back({now_ms, covers_ms});
        }
        REQUIRE(times.size() == expected.size());
        REQUIRE(times.empty() == expected.empty());
        if (i % 50 == 0) REQUIRE(all_of(times) == expected);
    }
}

TEST_CASE("a ring of samples keeps its order while it grows and turns") {
    SampleQueue<int> queue;
    std::deque<int> expected;
    std::mt19937 rng(7);
    for (int i = 0; i < 5000; ++i) {
        const auto dice = rng() % 8;
        if (dice < 3 && !expected.empty()) {
            queue.pop_front();
            expected.pop_front();
        } else if (dice == 3 && !expected.empty()) {
            queue.pop_back();
            expected.pop_back();
        } else {
            queue.push_back(i);
            expected.push_back(i);
        }
        REQUIRE(queue.size() == expected.size());
        if (expected.empty()) continue;
        REQUIRE(queue.front() == expected.front());
        REQUIRE(queue.back() == expected.back());
        const std::size_t middle = expected.size() / 2;
        REQUIRE(queue[middle] == expected[middle]);
    }
    SampleQueue<int> taken = std::move(queue);
    CHECK(taken.size() == expected.size());
}
