#include "agent/source/host.h"

#include <algorithm>
#include <cstddef>

#include "agent/source/reboot.h"
#include "agent/source/rounding.h"
#include "common/base/nearest_integer.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

using namespace std::chrono_literals;

constexpr auto kLookAround = 10min;
constexpr std::uint64_t kBootTimeJitterS = 5;
// file-max of a kernel without a limit is 2^63 − 1.
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 62;

std::optional<std::uint64_t> read_number(const HostRoot& root, const std::string& path) {
    const auto text = read_attribute(root, path);
    return text ? to_u64(*text) : std::nullopt;
}

}  // namespace

void parse_uptime(std::string_view text, HostFacts& out) {
    out.uptime_seconds = to_double(next_field(text));
}

void parse_process_counts(std::string_view stat, std::string_view loadavg, HostFacts& out) {
    while (!stat.empty()) {
        std::string_view line = next_line(stat);
        if (!line.starts_with("btime ") && !line.starts_with("procs_")) continue;
        const std::string_view key = next_field(line);
        const auto value = to_u64(next_field(line));
        if (key == "btime") out.boot_time_s = value;
        if (key == "procs_running") out.running = value;
        if (key == "procs_blocked") out.blocked = value;
    }
    // The fourth field: running/total scheduling entities.
    for (int i = 0; i < 3; ++i)
        next_field(loadavg);
    const std::string_view entities = next_field(loadavg);
    const std::size_t slash = entities.find('/');
    if (slash != std::string_view::npos) out.threads = to_u64(entities.substr(slash + 1));
}

std::optional<FileHandles> parse_file_nr(std::string_view text) {
    const auto allocated = to_u64(next_field(text));
    const auto unused = to_u64(next_field(text));  // 0 since Linux 2.6
    const auto limit = to_u64(next_field(text));
    if (!allocated || !unused || !limit) return {};
    FileHandles handles;
    handles.used = *allocated - std::min(*allocated, *unused);
    if (*limit < kUnlimited) handles.limit = limit;
    return handles;
}

std::uint64_t BootTime::settle(std::uint64_t btime_s, std::string_view boot_id) {
    const std::uint64_t before = settled_s_.value_or(btime_s);
    const std::uint64_t moved = std::max(before, btime_s) - std::min(before, btime_s);
    if (!settled_s_ || boot_id != boot_id_ || moved > kBootTimeJitterS) {
        settled_s_ = btime_s;
        boot_id_ = boot_id;
    }
    return *settled_s_;
}

HostSource::HostSource(const HostRoot& root, ReadTimex timex_reader)
    : root_(&root),
      timex_reader_(timex_reader),
      uptime_file_(root, "proc/uptime"),
      stat_file_(root, "proc/stat"),
      load_file_(root, "proc/loadavg"),
      boot_id_file_(root, "proc/sys/kernel/random/boot_id"),
      file_nr_file_(root, "proc/sys/fs/file-nr"),
      processes_(root) {}

void HostSource::set(Metric metric, const std::optional<std::uint64_t>& value) {
    if (value) values_[metric] = static_cast<double>(*value);
}

// The boot's id says something new only with another btime.
std::uint64_t HostSource::settled_boot_time(std::uint64_t btime_s) {
    if (btime_s_ == btime_s) return boot_time_s_;
    const auto boot_id = boot_id_file_.read();
    boot_time_s_ = boot_time_.settle(btime_s, boot_id ? trim(*boot_id) : std::string_view());
    btime_s_ = btime_s;
    return boot_time_s_;
}

void HostSource::read_file_handles() {
    const auto text = file_nr_file_.read();
    const auto handles = text ? parse_file_nr(*text) : std::nullopt;
    if (!handles) return;
    set(file_handles_usage, std::optional(handles->used));
    set(file_handles_limit, handles->limit);
    if (handles->limit.value_or(0) == 0) return;
    set(file_handles_utilization,
        round_ratio(static_cast<double>(handles->used) / static_cast<double>(*handles->limit)));
}

void HostSource::read_clock() {
    const auto clock = timex_reader_ != nullptr ? read_clock_state(timex_reader_) : std::nullopt;
    if (!clock) return;
    set(clock_synchronized, clock->synchronized ? 1 : 0);
    set(clock_max_error, round_microseconds(clock->max_error_seconds));
    if (clock->offset_seconds) set(clock_offset, round_microseconds(*clock->offset_seconds));
}

void HostSource::look_around() {
    const auto pids = read_number(*root_, "proc/sys/kernel/pid_max");
    const auto threads = read_number(*root_, "proc/sys/kernel/threads-max");
    process_limit_ = pids && threads ? std::min(*pids, *threads) : (pids ? pids : threads);
    reboot_required_ = reboot_required(*root_);
}

Result<void> HostSource::read(const SampleInstant& at) {
    values_ = {};
    HostFacts facts;
    RL_ASSIGN_OR_RETURN(const std::string_view uptime_text, uptime_file_.read());
    parse_uptime(uptime_text, facts);
    RL_ASSIGN_OR_RETURN(const std::string_view stat, stat_file_.read());
    RL_ASSIGN_OR_RETURN(const std::string_view load, load_file_.read());
    parse_process_counts(stat, load, facts);
    if (!facts.uptime_seconds) return fail(Errc::corrupt, "/proc/uptime: not a number");
    set(uptime, nearest_integer(*facts.uptime_seconds));
    if (facts.boot_time_s) set(boot_time, std::optional(settled_boot_time(*facts.boot_time_s)));
    set(processes_running, facts.running);
    set(processes_blocked, facts.blocked);
    set(processes_threads, facts.threads);
    set(processes_total, processes_.count(at.mono));
    read_file_handles();
    read_clock();
    if (!looked_at_ || at.mono - *looked_at_ >= kLookAround) {
        looked_at_ = at.mono;
        look_around();
    }
    set(process_limit, process_limit_);
    if (reboot_required_) set(reboot_required_flag, *reboot_required_ ? 1 : 0);
    return {};
}

void HostSource::emit(Recorder& out) {
    struct Series {
        std::string_view metric;
        std::string_view state;
    };
    // In the order of Metric.
    static constexpr std::array kSeries = {
        Series{"system.uptime", ""},
        Series{"system.boot_time", ""},
        Series{"system.process.count", "running"},
        Series{"system.process.count", "blocked"},
        Series{"system.process.count", "threads"},
        Series{"system.process.count", "total"},
        Series{"system.process.limit", ""},
        Series{"system.file_handles.usage", ""},
        Series{"system.file_handles.limit", ""},
        Series{"system.file_handles.utilization", ""},
        Series{"system.clock.offset", ""},
        Series{"system.clock.synchronized", ""},
        Series{"system.clock.max_error", ""},
        Series{"system.reboot_required", ""},
    };
    static_assert(kSeries.size() == metric_count);
    for (std::size_t metric = 0; metric < metric_count; ++metric) {
        if (!values_[metric]) continue;
        auto& slot = slots_[metric];
        if (!slot) {
            const auto& [name, state] = kSeries[metric];
            slot = out.declare(
                name, state.empty() ? Attributes{} : Attributes{{"state", std::string(state)}});
        }
        out.record(*slot, *values_[metric]);
    }
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot& root) {
        return std::make_unique<HostSource>(root,
                                            root.path() == "/" ? ReadTimex{::adjtimex} : nullptr);
    };
}

}  // namespace

const SourceType kHostSource{"host", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
