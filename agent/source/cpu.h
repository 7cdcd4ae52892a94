// CPU time by mode, load, context switches: /proc/stat and /proc/loadavg (proc(5)).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

// In the order of /proc/stat's columns. Guest time is not listed: the kernel counts it in user and
// nice already.
inline constexpr std::array<std::string_view, 8> kCpuModes = {"user",   "nice", "system",  "idle",
                                                              "iowait", "irq",  "softirq", "steal"};
inline constexpr std::size_t kCpuIdle = 3;
inline constexpr std::size_t kCpuIowait = 4;
inline constexpr int kCpuTotal = -1;  // the id of the line "cpu"
inline constexpr int kCpuIdMax = 8191;

struct CpuTicks {
    int id = kCpuTotal;
    std::array<std::uint64_t, kCpuModes.size()> ticks{};  // columns an old kernel lacks are 0
};

struct CpuStat {
    std::vector<CpuTicks> cpus;  // the total first, then by id; offline CPUs are not there
    std::optional<std::uint64_t> context_switches;
};
// Reuses `out`'s memory. False when there is no total line; a line that makes no sense is left out.
bool parse_cpu_stat(std::string_view text, CpuStat& out);

struct LoadAverage {
    double one = 0;
    double five = 0;
    double fifteen = 0;
};
std::optional<LoadAverage> parse_load_average(std::string_view text);

// Shares of the time between two readings, by mode; nullopt when no time passed or the counters
// make no sense (a reset, a CPU that came back). A mode that went backwards counts as not having
// moved: iowait and idle do that on healthy kernels.
std::optional<std::array<double, kCpuModes.size()>> cpu_shares(const CpuTicks& before,
                                                               const CpuTicks& now,
                                                               double ticks_per_second);

// Whether this many ticks can have passed on `cpus` CPUs in `seconds`. Some hypervisors let steal
// and idle leap; such a reading is a new baseline and no share.
bool plausible_ticks(const CpuTicks& before, const CpuTicks& now, std::size_t cpus, double seconds,
                     double ticks_per_second);

struct CpuOptions {
    bool per_cpu = false;  // system.cpu.utilization{state=used} and system.cpu.time of each CPU too
};

class CpuSource final : public Source {
  public:
    // The kernel counts in ticks of USER_HZ, a hundred a second nearly everywhere.
    CpuSource(const HostRoot& root, CpuOptions options, double ticks_per_second);
    std::string_view name() const override { return "cpu"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct PerCpu {
        bool seen = false;
        bool has_previous = false;
        CpuTicks previous;
        CpuTicks high_water;  // what is emitted as a counter never steps back
        std::array<SlotId, kCpuModes.size()> time_slots{};
        std::array<SlotId, kCpuModes.size()> share_slots{};
        SlotId used_slot{};
        bool declared = false;
        std::optional<std::array<double, kCpuModes.size()>> shares;
    };
    void digest(PerCpu& cpu, const CpuTicks& now, std::size_t cpus, double seconds);
    void declare(PerCpu& cpu, int id, Recorder& out);
    void emit_cpu(PerCpu& cpu, int id, Recorder& out);

    HostFile stat_file_;
    HostFile load_file_;
    CpuOptions options_;
    double ticks_per_second_;
    CpuStat stat_;
    std::optional<LoadAverage> load_;
    std::optional<MonoTime> previous_at_;
    std::vector<PerCpu> cpus_;  // index id + 1: the total at 0
    std::array<SlotId, 3> load_slots_{};
    SlotId switches_slot_{};
    SlotId count_slot_{};
    bool declared_ = false;
};

extern const SourceType kCpuSource;

}  // namespace ridgeline::agent
