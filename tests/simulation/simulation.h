// One run: a seed decides how many agents there are, what befalls them and when. Then everything is
// healed and drained, and every sample must be where it should be.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace ridgeline::sim {

struct Outcome {
    std::string violation;  // empty: all promises held
    std::uint64_t digest = 0;
    std::uint64_t samples = 0;
    std::map<std::string, std::uint64_t> counts;  // fates, faults
    std::deque<std::string> trace;
};

// `harsh`: agents lose power, and die while their disks refuse.
Outcome simulate(std::uint64_t seed, bool tracing, bool harsh);

}  // namespace ridgeline::sim
