#include "agent/source/cpu.h"

#include <algorithm>

#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

std::optional<CpuTicks> parse_cpu_line(std::string_view line) {
    std::string_view name = next_field(line);
    name.remove_prefix(3);  // "cpu"
    CpuTicks cpu;
    if (!name.empty()) {
        const auto id = to_u64(name);
        if (!id || *id > static_cast<std::uint64_t>(kCpuIdMax)) return {};
        cpu.id = static_cast<int>(*id);
    }
    for (std::size_t mode = 0; mode < kCpuModes.size(); ++mode) {
        const std::string_view field = next_field(line);
        if (field.empty())
            return mode > kCpuIdle ? std::optional(cpu)
                                   : std::nullopt;  // an old kernel, or cut short
        const auto ticks = to_u64(field);
        if (!ticks) return {};
        cpu.ticks[mode] = *ticks;
    }
    return cpu;
}

}  // namespace

bool parse_cpu_stat(std::string_view text, CpuStat& out) {
    out.cpus.clear();
    out.context_switches.reset();
    bool total = false;
    while (!text.empty()) {
        std::string_view line = next_line(text);
        if (line.starts_with("cpu")) {
            if (const auto cpu = parse_cpu_line(line)) {
                total = total || cpu->id == kCpuTotal;
                out.cpus.push_back(*cpu);
            }
        } else if (line.starts_with("ctxt ")) {
            line.remove_prefix(5);
            out.context_switches = to_u64(trim(line));
            break;  // what follows is not needed, and "intr" before it was skipped whole
        }
    }
    return total;
}

std::optional<LoadAverage> parse_load_average(std::string_view text) {
    const auto one = to_double(next_field(text));
    const auto five = to_double(next_field(text));
    const auto fifteen = to_double(next_field(text));
    if (!one || !five || !fifteen) return {};
    return LoadAverage{*one, *five, *fifteen};
}

std::optional<std::array<double, kCpuModes.size()>> cpu_shares(const CpuTicks& before,
                                                               const CpuTicks& now,
                                                               double ticks_per_second) {
    // Small steps back of idle and iowait are normal; a large one of idle is a CPU that was away
    // (its counters begin anew). Three seconds' worth of ticks tells the two apart.
    const auto reset_ticks = static_cast<std::uint64_t>(3 * ticks_per_second);
    if (before.ticks[kCpuIdle] > now.ticks[kCpuIdle] + reset_ticks) return {};
    std::array<double, kCpuModes.size()> deltas{};
    double sum = 0;
    for (std::size_t mode = 0; mode < deltas.size(); ++mode) {
        const std::uint64_t delta =
            now.ticks[mode] > before.ticks[mode] ? now.ticks[mode] - before.ticks[mode] : 0;
        deltas[mode] = static_cast<double>(delta);
        sum += deltas[mode];
    }
    if (sum == 0) return {};
    for (double& delta : deltas)
        delta = round_ratio(delta / sum);
    return deltas;
}

bool plausible_ticks(const CpuTicks& before, const CpuTicks& now, std::size_t cpus, double seconds,
                     double ticks_per_second) {
    // Idle CPUs are accounted for late and all at once, by up to their longest sleep; half as much
    // again and half a second cover that.
    constexpr double kSlackFactor = 1.5;
    constexpr double kSlackSeconds = 0.5;
    double sum = 0;
    for (std::size_t mode = 0; mode < now.ticks.size(); ++mode) {
        if (now.ticks[mode] > before.ticks[mode])
            sum += static_cast<double>(now.ticks[mode] - before.ticks[mode]);
    }
    return sum <= static_cast<double>(std::max<std::size_t>(cpus, 1)) * ticks_per_second *
                      (seconds * kSlackFactor + kSlackSeconds);
}

CpuSource::CpuSource(const HostRoot& root, CpuOptions options, double ticks_per_second)
    : stat_file_(root, "proc/stat"),
      load_file_(root, "proc/loadavg"),
      options_(options),
      ticks_per_second_(ticks_per_second) {}

Result<void> CpuSource::read(const SampleInstant& at) {
    RL_ASSIGN_OR_RETURN(const std::string_view stat, stat_file_.read());
    if (!parse_cpu_stat(stat, stat_))
        return fail(Errc::corrupt, "/proc/stat: no line \"cpu\" with its columns");
    RL_ASSIGN_OR_RETURN(const std::string_view load, load_file_.read());
    load_ = parse_load_average(load);
    const double seconds = rate_seconds(at, previous_at_);
    for (PerCpu& cpu : cpus_) {
        cpu.seen = false;
        cpu.has_previous = cpu.has_previous && !at.after_gap;
    }
    for (const CpuTicks& ticks : stat_.cpus) {
        const int line = ticks.id - kCpuTotal;
        const auto index = static_cast<std::size_t>(line);
        if (index > 0 && !options_.per_cpu) continue;
        if (index >= cpus_.size()) cpus_.resize(index + 1);
        digest(cpus_[index], ticks, index == 0 ? stat_.cpus.size() - 1 : 1, seconds);
    }
    // A CPU that went offline starts afresh when it is back.
    for (PerCpu& cpu : cpus_)
        cpu.has_previous = cpu.has_previous && cpu.seen;
    if (!load_) return fail(Errc::corrupt, "/proc/loadavg: not three numbers");
    return {};
}

void CpuSource::digest(PerCpu& cpu, const CpuTicks& now, std::size_t cpus, double seconds) {
    cpu.seen = true;
    cpu.shares = cpu.has_previous ? cpu_shares(cpu.previous, now, ticks_per_second_) : std::nullopt;
    const bool reset =
        cpu.has_previous && cpu.previous.ticks[kCpuIdle] > now.ticks[kCpuIdle] && !cpu.shares;
    if (cpu.shares && !plausible_ticks(cpu.previous, now, cpus, seconds, ticks_per_second_))
        cpu.shares.reset();
    for (std::size_t mode = 0; mode < kCpuModes.size(); ++mode) {
        cpu.high_water.ticks[mode] =
            reset ? now.ticks[mode] : std::max(cpu.high_water.ticks[mode], now.ticks[mode]);
    }
    cpu.previous = now;
    cpu.has_previous = true;
}

void CpuSource::declare(PerCpu& cpu, int id, Recorder& out) {
    const auto with_cpu = [&](Attributes attributes) {
        if (id != kCpuTotal) attributes.push_back({"cpu", std::to_string(id)});
        normalise(attributes);
        return attributes;
    };
    for (std::size_t mode = 0; mode < kCpuModes.size(); ++mode) {
        const std::string name(kCpuModes[mode]);
        cpu.time_slots[mode] = out.declare("system.cpu.time", with_cpu({{"mode", name}}));
        if (id == kCpuTotal)
            cpu.share_slots[mode] = out.declare("system.cpu.utilization", {{"mode", name}});
    }
    cpu.used_slot = out.declare("system.cpu.utilization", with_cpu({{"state", "used"}}));
    cpu.declared = true;
}

void CpuSource::emit_cpu(PerCpu& cpu, int id, Recorder& out) {
    if (!cpu.declared) declare(cpu, id, out);
    for (std::size_t mode = 0; mode < kCpuModes.size(); ++mode) {
        out.record(cpu.time_slots[mode],
                   round_milliseconds(static_cast<double>(cpu.high_water.ticks[mode]) /
                                      ticks_per_second_));
        if (cpu.shares && id == kCpuTotal) out.record(cpu.share_slots[mode], (*cpu.shares)[mode]);
    }
    if (!cpu.shares) return;
    const double idle = (*cpu.shares)[kCpuIdle] + (*cpu.shares)[kCpuIowait];
    out.record(cpu.used_slot, round_ratio(std::clamp(1 - idle, 0.0, 1.0)));
}

void CpuSource::emit(Recorder& out) {
    if (!declared_) {
        load_slots_ = {out.declare("system.cpu.load_average.1m", {}),
                       out.declare("system.cpu.load_average.5m", {}),
                       out.declare("system.cpu.load_average.15m", {})};
        switches_slot_ = out.declare("system.cpu.context_switches", {});
        count_slot_ = out.declare("system.cpu.logical.count", {});
        declared_ = true;
    }
    for (std::size_t index = 0; index < cpus_.size(); ++index) {
        if (cpus_[index].seen) emit_cpu(cpus_[index], static_cast<int>(index) - 1, out);
    }
    if (load_) {
        out.record(load_slots_[0], load_->one);
        out.record(load_slots_[1], load_->five);
        out.record(load_slots_[2], load_->fifteen);
    }
    if (stat_.context_switches)
        out.record(switches_slot_, static_cast<double>(*stat_.context_switches));
    out.record(count_slot_, static_cast<double>(stat_.cpus.size() - 1));
}

namespace {

SourceMaker configure(ConfigTable& table) {
    CpuOptions options;
    options.per_cpu = table.boolean("per_cpu", options.per_cpu);
    return [options](const HostRoot& root) {
        return std::make_unique<CpuSource>(root, options,
                                           static_cast<double>(::sysconf(_SC_CLK_TCK)));
    };
}

}  // namespace

const SourceType kCpuSource{"cpu", {}, configure};

}  // namespace ridgeline::agent
