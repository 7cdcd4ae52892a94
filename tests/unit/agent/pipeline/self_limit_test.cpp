#include "agent/pipeline/self_limit.h"

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

// Looks every ten seconds at an agent that uses what it is told to.
class Watched {
  public:
    explicit Watched(SelfLimits limits) : limiter(limits) { limiter.look({}, now_); }
    bool look(double cpu_share, std::uint64_t rss_bytes = 10U << 20) {
        now_ += kSelfLook;
        usage_.cpu_seconds += cpu_share * 10;
        usage_.rss_bytes = rss_bytes;
        return limiter.look(usage_, now_);
    }
    SelfLimiter limiter;

  private:
    SelfUsage usage_;
    MonoTime now_{1h};
};

TEST_CASE("within its limits an agent samples as configured", "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    for (int i = 0; i < 20; ++i)
        REQUIRE_FALSE(agent.look(0.099, 64U << 20));
    REQUIRE(agent.limiter.factor() == 1);
    REQUIRE(agent.limiter.reason().empty());
}

TEST_CASE("over its CPU limit it samples half as often, again and again, and says why",
          "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    REQUIRE(agent.look(0.4));
    REQUIRE(agent.limiter.factor() == 2);
    REQUIRE(agent.limiter.reason() == "uses 40.0% of a CPU, max_cpu is 10.0%");
    REQUIRE(agent.look(0.2));
    REQUIRE(agent.limiter.factor() == 4);
    REQUIRE_FALSE(agent.look(0.1));
    for (int i = 0; i < 10; ++i)
        (void)agent.look(0.9);
    REQUIRE(agent.limiter.factor() == kThinningFactorMax);
    REQUIRE_FALSE(agent.look(0.9));  // and not beyond
}

TEST_CASE("well below the limits for a minute it comes back step by step", "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    REQUIRE(agent.look(0.3));
    REQUIRE(agent.look(0.3));
    REQUIRE(agent.limiter.factor() == 4);
    for (int i = 0; i < 30; ++i)  // twice as often would be too much again
        REQUIRE_FALSE(agent.look(0.06));
    for (int i = 0; i < 5; ++i)
        REQUIRE_FALSE(agent.look(0.01));
    REQUIRE(agent.look(0.01));
    REQUIRE(agent.limiter.factor() == 2);
    for (int i = 0; i < 5; ++i)
        REQUIRE_FALSE(agent.look(0.01));
    REQUIRE(agent.look(0.01));
    REQUIRE(agent.limiter.factor() == 1);
    REQUIRE(agent.limiter.reason().empty());
}

TEST_CASE("over its memory limit it thins too, and says that memory is short", "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    REQUIRE(agent.look(0.01, 65U << 20));
    REQUIRE(agent.limiter.over_memory());
    REQUIRE(agent.limiter.reason() == "uses 65.0 MiB of memory, max_memory is 64.0 MiB");
    REQUIRE_FALSE(agent.look(0.01, 20U << 20));
    REQUIRE_FALSE(agent.limiter.over_memory());
    REQUIRE(agent.limiter.factor() == 2);
}

TEST_CASE("a burst now and then, far below the limit on average, thins nothing", "[self_limit]") {
    const int every = GENERATE(6, 12);  // looks: a minute, two minutes
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    for (int i = 1; i <= 360; ++i)
        CHECK_FALSE(agent.look(i % every == 0 ? 0.3 : 0.0));
    CHECK(agent.limiter.factor() == 1);
}

TEST_CASE("the reason is the present one", "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    for (int i = 0; i < 8; ++i)
        (void)agent.look(0.9);
    (void)agent.look(0.0, 100U << 20);
    CHECK(agent.limiter.reason().find("of memory") != std::string::npos);
}

TEST_CASE("only when thinning is at its end and memory still short is nothing new taken on",
          "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    for (int i = 0; i < 5; ++i) {
        (void)agent.look(0.01, 65U << 20);
        CHECK_FALSE(agent.limiter.last_resort());
    }
    (void)agent.look(0.01, 65U << 20);
    CHECK(agent.limiter.last_resort());
    (void)agent.look(0.01, 60U << 20);
    CHECK_FALSE(agent.limiter.last_resort());
}

TEST_CASE("one burst of work between two looks is not told from the average over the look",
          "[self_limit]") {
    Watched agent({.cpu_share_max = 0.1, .memory_bytes_max = 64U << 20});
    REQUIRE_FALSE(agent.look(0.09));  // 0.9 s of CPU at one go: within ten seconds' worth
}

}  // namespace
}  // namespace ridgeline::agent
