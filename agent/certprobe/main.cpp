// certprobe: one request on stdin, one answer on stdout. Started by the agent for everything about
// certificates that is risky: servers of others, files of root. `certprobe publish DIR PATTERN…` is
// what ridgeline-certificates.service runs.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <sys/time.h>
#include <unistd.h>

#include "agent/certprobe/endpoint_probe.h"
#include "agent/certprobe/file_probe.h"
#include "agent/certprobe/probe_protocol.h"
#include "agent/certprobe/publish.h"
#include "agent/certprobe/sandbox.h"
#include "common/base/text.h"

namespace {

using namespace ridgeline;
using namespace ridgeline::agent;

constexpr std::uint64_t kCpuSecondsMax = 10;
constexpr std::uint64_t kPublishCpuSecondsMax = 60;
// The probe itself ends at its deadline and says how far it came; this ends a resolver that does
// not.
constexpr std::chrono::milliseconds kAlarmAfterDeadline{500};

// What the alarm answers; made beforehand, because a signal handler may do nothing but write it.
std::string& late_answer() {
    static std::string text;
    return text;
}
void on_alarm(int) {
    const std::string& text = late_answer();
    const bool written =
        ::write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(written ? 0 : 2);
}

void set_alarm(std::chrono::milliseconds after) {
    ProbeAnswer late;
    late.error = "no answer in time; the name may not be resolvable";
    late_answer() = encode(late);
    std::signal(SIGALRM, on_alarm);
    const auto us = std::chrono::microseconds(after + kAlarmAfterDeadline).count();
    const itimerval timer{{0, 0}, {us / 1'000'000, us % 1'000'000}};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
}

std::string read_request() {
    std::string text;
    char part[4096];
    while (text.size() <= kProbeRequestBytesMax) {
        const ssize_t n = ::read(STDIN_FILENO, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.append(part, static_cast<std::size_t>(n));
    }
    return text;
}

bool write_answer(const ProbeAnswer& answer) {
    const std::string text = encode(answer);
    std::string_view rest = text;
    while (!rest.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

ProbeAnswer answer_to(const ProbeRequest& request) {
    if (const auto* file = std::get_if<FileProbe>(&request)) {
        raise_read_rights();
        const FileContents contents = read_files(*file);
        give_up_rights(kCpuSecondsMax);
        return probe_file(*file, contents);
    }
    const auto& endpoint = std::get<EndpointProbe>(request);
    give_up_rights(kCpuSecondsMax);
    set_alarm(endpoint.timeout);
    return probe_endpoint(endpoint);
}

int publish(const std::string& directory, const std::vector<std::string>& patterns) {
    if (patterns.empty()) {
        std::fprintf(stderr,
                     "no files to read; `systemctl edit ridgeline-certificates`, "
                     "ridgeline-agent(8) says how\n");
        return 2;
    }
    PublishProblems problems;
    raise_read_rights();
    const auto files = read_certificates(patterns, problems);
    give_up_rights(kPublishCpuSecondsMax);
    const auto published = publish_certificates(directory, files, problems);
    for (const std::string& problem : problems)
        std::fprintf(stderr, "<4>%s\n", printable(problem).c_str());
    if (!published) {
        std::fprintf(stderr, "<3>%s\n", published.error().context.c_str());
        return 1;
    }
    std::fprintf(stderr, "<6>%zu files in %s\n", *published, directory.c_str());
    return problems.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc >= 3 && std::string_view(argv[1]) == "publish")
        return publish(argv[2], std::vector<std::string>(argv + 3, argv + argc));
    const auto request = parse_probe_request(read_request());
    if (!request) {
        std::fprintf(stderr, "%s; ridgeline-agent starts this program\n",
                     request.error().context.c_str());
        return 2;
    }
    const ProbeAnswer answer = answer_to(*request);
    ::setitimer(ITIMER_REAL, nullptr, nullptr);
    std::signal(SIGALRM, SIG_IGN);
    return write_answer(answer) ? 0 : 2;
}
