#include "agent/source/host.h"

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

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

HostSource::HostSource(const HostRoot& root)
    : uptime_file_(root, "proc/uptime"),
      stat_file_(root, "proc/stat"),
      load_file_(root, "proc/loadavg") {}

Result<void> HostSource::read(const SampleInstant&) {
    facts_ = {};
    RL_ASSIGN_OR_RETURN(const std::string_view uptime, uptime_file_.read());
    parse_uptime(uptime, facts_);
    RL_ASSIGN_OR_RETURN(const std::string_view stat, stat_file_.read());
    RL_ASSIGN_OR_RETURN(const std::string_view load, load_file_.read());
    parse_process_counts(stat, load, facts_);
    if (!facts_.uptime_seconds) return fail(Errc::corrupt, "/proc/uptime: not a number");
    return {};
}

void HostSource::emit(Recorder& out) {
    if (!declared_) {
        uptime_ = out.declare("system.uptime", {});
        boot_time_ = out.declare("system.boot_time", {});
        running_ = out.declare("system.process.count", {{"state", "running"}});
        blocked_ = out.declare("system.process.count", {{"state", "blocked"}});
        threads_ = out.declare("system.process.count", {{"state", "threads"}});
        declared_ = true;
    }
    out.record(uptime_, std::round(*facts_.uptime_seconds));
    if (facts_.boot_time_s) out.record(boot_time_, static_cast<double>(*facts_.boot_time_s));
    if (facts_.running) out.record(running_, static_cast<double>(*facts_.running));
    if (facts_.blocked) out.record(blocked_, static_cast<double>(*facts_.blocked));
    if (facts_.threads) out.record(threads_, static_cast<double>(*facts_.threads));
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot& root) { return std::make_unique<HostSource>(root); };
}

}  // namespace

const SourceType kHostSource{"host", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
