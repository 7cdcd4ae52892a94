#include "agent/source/agent_self.h"

#include <sys/resource.h>
#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

AgentSource::AgentSource() = default;

Result<void> AgentSource::read(const SampleInstant&) {
    // Always the real /proc: the agent is here, wherever the host's root is.
    RL_ASSIGN_OR_RETURN(const std::string statm, read_file("/proc/self/statm", 4096));
    std::string_view rest = statm;
    next_field(rest);
    const auto pages = to_u64(next_field(rest));
    if (!pages) return fail(Errc::corrupt, "/proc/self/statm: not numbers");
    rss_bytes_ = static_cast<double>(*pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    struct rusage usage {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    cpu_seconds_ = round_milliseconds(seconds(usage.ru_utime) + seconds(usage.ru_stime));
    return {};
}

void AgentSource::emit(Recorder& out) {
    if (!declared_) {
        rss_ = out.declare("ridgeline.agent.memory.rss", {});
        cpu_ = out.declare("ridgeline.agent.cpu.time", {});
        declared_ = true;
    }
    out.record(rss_, rss_bytes_);
    out.record(cpu_, cpu_seconds_);
}

namespace {

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot&) { return std::make_unique<AgentSource>(); };
}

}  // namespace

const SourceType kAgentSource{"agent", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
