#include "agent/certprobe/sandbox.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ridgeline::agent {

namespace {

constexpr rlim_t kMemoryBytesMax = rlim_t{512} << 20;
constexpr rlim_t kFilesMax = 16;
constexpr unsigned kReadSearchBit = 1U << CAP_DAC_READ_SEARCH;

// capset(2) with version 3's two words; libcap would be a library for two calls.
struct Capabilities {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
};

void limit(int resource, rlim_t most) {
    const rlimit both{most, most};
    ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

}  // namespace

void raise_read_rights() {
    Capabilities now;
    if (::syscall(SYS_capget, &now.header, now.data) != 0) return;
    if ((now.data[0].permitted & kReadSearchBit) == 0) return;
    now.data[0].effective |= kReadSearchBit;
    ::syscall(SYS_capset, &now.header, now.data);
}

void give_up_rights(std::uint64_t cpu_seconds) {
    Capabilities none;
    ::syscall(SYS_capset, &none.header, none.data);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, kFilesMax);
    limit(RLIMIT_CPU, cpu_seconds);
#ifndef __SANITIZE_ADDRESS__  // its shadow memory alone is larger than any limit
    limit(RLIMIT_AS, kMemoryBytesMax);
#endif
}

}  // namespace ridgeline::agent
