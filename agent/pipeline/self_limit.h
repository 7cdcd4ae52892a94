// The agent's limits on itself: how far it must thin its work to stay within max_cpu and
// max_memory.
//
// Over a limit, the sampling intervals are doubled, again and again until it is kept; well below it
// for a while, they are halved again. The agent thus loses resolution, never the host's memory or
// CPU, and says so. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/source/agent_self.h"
#include "common/base/clock.h"

namespace ridgeline::agent {

struct SelfLimits {
    double cpu_share_max = 0.1;  // of one CPU
    std::uint64_t memory_bytes_max = 128U << 20;
};

inline constexpr std::chrono::seconds kSelfLook{10};  // one look at the usage
inline constexpr unsigned kThinningFactorMax = 64;    // a second becomes about a minute
inline constexpr unsigned kLooksBeforeRecovery = 6;   // a minute well below the limits
// CPU may be used in bursts: so much of the limit is saved up while it is not used. As long as the
// longest stretched interval (sampler.h), or a burst at each would thin for ever.
inline constexpr std::chrono::seconds kCpuSaved{60};
inline constexpr double kWellBelow = 0.4;  // halving the intervals doubles the CPU used at most

class SelfLimiter {
  public:
    explicit SelfLimiter(SelfLimits limits) : limits_(limits) {}
    void set_limits(SelfLimits limits) { limits_ = limits; }

    // A look every kSelfLook or so. True when factor() or the reason changed.
    bool look(const SelfUsage& usage, MonoTime now);

    unsigned factor() const { return factor_; }            // of the intervals; 1: not thinned
    const std::string& reason() const { return reason_; }  // empty while not thinned
    bool over_memory() const { return over_memory_; }      // as of the last look
    // Thinned as far as it goes and still over memory: nothing new may be taken on.
    bool last_resort() const { return over_memory_ && factor_ == kThinningFactorMax; }

  private:
    SelfLimits limits_;
    unsigned factor_ = 1;
    unsigned quiet_looks_ = 0;
    bool over_memory_ = false;
    double cpu_overdrawn_s_ = 0;  // used beyond the limit and not made up for; below 0: saved
    std::string reason_;
    std::optional<SelfUsage> previous_;
    MonoTime previous_at_;
};

}  // namespace ridgeline::agent
