// The host as a whole: uptime, boot time, processes, file handles, clock, pending reboot.
//
// /proc/uptime, /proc/stat, /proc/loadavg, /proc itself (process_count.h), /proc/sys/fs/file-nr
// (Documentation/admin-guide/sysctl/fs.rst) and kernel/{pid_max,threads-max}; adjtimex(2).
// Zombies are not counted: that takes a read of every process.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/source/clock_state.h"
#include "agent/source/host_root.h"
#include "agent/source/process_count.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct HostFacts {
    std::optional<double> uptime_seconds;
    std::optional<std::uint64_t> boot_time_s;
    std::optional<std::uint64_t> running;
    std::optional<std::uint64_t> blocked;
    std::optional<std::uint64_t> threads;  // all kernel scheduling entities
};
void parse_uptime(std::string_view text, HostFacts& out);
void parse_process_counts(std::string_view stat, std::string_view loadavg, HostFacts& out);

struct FileHandles {
    std::uint64_t used = 0;
    std::optional<std::uint64_t> limit;  // absent: unlimited
};
std::optional<FileHandles> parse_file_nr(std::string_view text);

// /proc/stat's btime is the wall clock minus the uptime: it moves by a second with either one's
// rounding, and by years once a clock that began in 1970 is set. The same boot keeps one time until
// the clock was set to another.
class BootTime {
  public:
    std::uint64_t settle(std::uint64_t btime_s, std::string_view boot_id);

  private:
    std::string boot_id_;
    std::optional<std::uint64_t> settled_s_;
};

class HostSource final : public Source {
  public:
    // `timex_reader` is null where the clock is not this host's: a root that is not "/".
    HostSource(const HostRoot& root, ReadTimex timex_reader);
    std::string_view name() const override { return "host"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    enum Metric : std::size_t {
        uptime,
        boot_time,
        processes_running,
        processes_blocked,
        processes_threads,
        processes_total,
        process_limit,
        file_handles_usage,
        file_handles_limit,
        file_handles_utilization,
        clock_offset,
        clock_synchronized,
        clock_max_error,
        reboot_required_flag,
        metric_count
    };

    void set(Metric metric, double value) { values_[metric] = value; }
    void set(Metric metric, const std::optional<std::uint64_t>& value);
    std::uint64_t settled_boot_time(std::uint64_t btime_s);
    void read_file_handles();
    void read_clock();
    void look_around();  // what changes rarely and costs more

    const HostRoot* root_;
    ReadTimex timex_reader_;
    HostFile uptime_file_;
    HostFile stat_file_;
    HostFile load_file_;
    HostFile boot_id_file_;
    HostFile file_nr_file_;
    ProcessCount processes_;
    BootTime boot_time_;
    std::optional<std::uint64_t> btime_s_;  // settled to boot_time_s_
    std::uint64_t boot_time_s_ = 0;
    std::optional<MonoTime> looked_at_;
    std::optional<std::uint64_t> process_limit_;
    std::optional<bool> reboot_required_;
    std::array<std::optional<double>, metric_count> values_;
    std::array<std::optional<SlotId>, metric_count> slots_;
};

extern const SourceType kHostSource;

}  // namespace ridgeline::agent
