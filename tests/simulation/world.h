// The simulated world: one time line, one source of chance, one trace. Everything that happens in a
// run is an event on the line, so that the same seed is the same run, to the byte.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace ridgeline::sim {

using Millis = std::int64_t;

// What was promised did not hold: the finding of a run.
struct Violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Thrown by a disk in the middle of a change: the process is gone from there on. Product code knows
// no exceptions, so nothing between the disk and the node can swallow or act on it.
struct Killed {
    bool power = false;
};

class World {
  public:
    World(std::uint64_t seed, bool tracing) : rng_(seed), tracing_(tracing) {}

    Millis now() const { return now_; }
    void after(Millis delay, std::function<void()> run);
    // Runs what is due up to then.
    void run_until(Millis until);

    std::uint64_t random() { return rng_(); }
    // Both ends included.
    Millis between(Millis low, Millis high) {
        return low + static_cast<Millis>(rng_() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool chance(unsigned percent) { return rng_() % 100 < percent; }
    template <class T>
    const T& one_of(const std::vector<T>& choices) {
        return choices[rng_() % choices.size()];
    }

    template <class... Parts>
    void say(std::string_view who, const Parts&... parts) {
        ++lines_;
        if (!tracing_) return;
        std::ostringstream line;
        line << now_ / 1000 << '.' << std::to_string(1000 + now_ % 1000).substr(1) << "  " << who
             << "  ";
        (line << ... << parts);
        keep(line.str());
    }
    const std::deque<std::string>& trace() const { return trace_; }
    // Sums up the run: equal for equal runs.
    std::uint64_t digest() const {
        return lines_ * 0x9e3779b97f4a7c15U ^ order_ ^ std::mt19937_64(rng_)();
    }

  private:
    static constexpr std::size_t kTraceLinesMax = 200'000;
    struct Event {
        Millis at;
        std::uint64_t order;
        std::function<void()> run;
    };
    static bool later(const Event& a, const Event& b) {
        return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
    void keep(std::string line);

    std::mt19937_64 rng_;
    bool tracing_;
    Millis now_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t lines_ = 0;
    std::vector<Event> events_;  // a heap, the next one in front
    std::deque<std::string> trace_;
};

// The clock of one machine: the world's time, and a wall clock that can be wrong and be stepped.
class NodeClock final : public Clock {
  public:
    explicit NodeClock(const World& world) : world_(&world) {}
    WallTime wall_now() const override {
        return from_unix_ms(kStartMs + world_->now() + wall_error_ms_);
    }
    MonoTime mono_now() const override {
        return MonoTime{std::chrono::hours{1} + std::chrono::milliseconds{world_->now()}};
    }
    void step(Millis by) { wall_error_ms_ += by; }
    void set_right() { wall_error_ms_ = 0; }

  private:
    static constexpr Millis kStartMs = 1'772'445'600'000;  // 2026-03-02T10:00:00Z
    const World* world_;
    Millis wall_error_ms_ = 0;
};

}  // namespace ridgeline::sim
