#include "agent/pipeline/self_limit.h"

#include <algorithm>
#include <utility>

#include "common/base/units.h"

namespace ridgeline::agent {

bool SelfLimiter::look(const SelfUsage& usage, MonoTime now) {
    const auto previous = std::exchange(previous_, usage);
    const double elapsed = std::chrono::duration<double>(now - previous_at_).count();
    previous_at_ = now;
    over_memory_ = usage.rss_bytes > limits_.memory_bytes_max;
    double cpu_share = 0;
    if (previous && elapsed > 0)
        cpu_share = std::max(0.0, usage.cpu_seconds - previous->cpu_seconds) / elapsed;
    const double saved_max =
        limits_.cpu_share_max * std::chrono::duration<double>(kCpuSaved).count();
    if (previous) {
        cpu_overdrawn_s_ =
            std::clamp(cpu_overdrawn_s_ + (cpu_share - limits_.cpu_share_max) * elapsed, -saved_max,
                       saved_max);
    }
    const bool over_cpu = cpu_share > limits_.cpu_share_max && cpu_overdrawn_s_ > 0;

    if (over_memory_ || over_cpu) {
        quiet_looks_ = 0;
        const std::string reason =
            over_cpu ? "uses " + format_quantity(cpu_share, "1") + " of a CPU, max_cpu is " +
                           format_quantity(limits_.cpu_share_max, "1")
                     : "uses " + format_size(static_cast<double>(usage.rss_bytes)) +
                           " of memory, max_memory is " +
                           format_size(static_cast<double>(limits_.memory_bytes_max));
        const unsigned factor = std::min(factor_ * 2, kThinningFactorMax);
        const bool changed = factor != factor_ || reason_.empty();
        factor_ = factor;
        reason_ = reason;
        return changed;
    }
    if (factor_ == 1 || cpu_share > kWellBelow * limits_.cpu_share_max ||
        ++quiet_looks_ < kLooksBeforeRecovery) {
        return false;
    }
    quiet_looks_ = 0;
    factor_ /= 2;
    if (factor_ == 1) reason_.clear();
    return true;
}

}  // namespace ridgeline::agent
