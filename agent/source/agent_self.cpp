#include "agent/source/agent_self.h"

#include <array>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source/rounding.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

double seconds(const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

std::uint32_t count_open_fds() {
    // The directory's size is their number since Linux 6.2; before, it is 0.
    struct stat info {};
    if (::stat("/proc/self/fd", &info) == 0 && info.st_size > 0)
        return static_cast<std::uint32_t>(info.st_size);
    DIR* directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) return 0;
    std::uint32_t count = 0;
    while (const dirent* entry = ::readdir(directory))
        count += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(directory);
    return count - 1;  // the directory's own
}

SourceMaker configure(ConfigTable&) {
    return [](const HostRoot&) { return std::make_unique<AgentSource>(); };
}

}  // namespace

// /proc/self/stat (proc(5)): num_threads and rss are the 18th and the 22nd field after the name,
// which may hold anything and ends at the last parenthesis.
Result<SelfUsage> SelfUsageReader::read() {
    std::array<char, 1024> buffer{};
    if (!stat_) stat_ = UniqueFd{::open("/proc/self/stat", O_RDONLY | O_CLOEXEC)};
    const ssize_t n = stat_ ? ::pread(stat_.get(), buffer.data(), buffer.size(), 0) : -1;
    if (n < 0) return fail(errno_error("/proc/self/stat"));
    std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
    rest.remove_prefix(std::min(rest.rfind(')'), rest.size() - 1) + 1);
    SelfUsage usage;
    std::optional<std::uint64_t> threads, pages;
    for (int field = 1; field <= 22; ++field) {
        const std::string_view text = next_field(rest);
        if (field == 18) threads = to_u64(text);
        if (field == 22) pages = to_u64(text);
    }
    if (!threads || !pages) return fail(Errc::corrupt, "/proc/self/stat: not numbers");
    usage.threads = static_cast<std::uint32_t>(*threads);
    usage.rss_bytes = *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
        struct rusage used {};
        ::getrusage(who, &used);
        usage.cpu_seconds += seconds(used.ru_utime) + seconds(used.ru_stime);
    }
    usage.open_fds = count_open_fds();
    return usage;
}

Result<void> AgentSource::read(const SampleInstant&) {
    RL_ASSIGN_OR_RETURN(usage_, reader_.read());
    return {};
}

void AgentSource::emit(Recorder& out) {
    if (!declared_) {
        rss_ = out.declare("ridgeline.agent.memory.rss", {});
        cpu_ = out.declare("ridgeline.agent.cpu.time", {});
        fds_ = out.declare("ridgeline.agent.open_fds", {});
        threads_ = out.declare("ridgeline.agent.threads", {});
        declared_ = true;
    }
    out.record(rss_, static_cast<double>(usage_.rss_bytes));
    out.record(cpu_, round_milliseconds(usage_.cpu_seconds));
    out.record(fds_, usage_.open_fds);
    out.record(threads_, usage_.threads);
}

const SourceType kAgentSource{"agent", std::chrono::seconds{10}, configure};

}  // namespace ridgeline::agent
