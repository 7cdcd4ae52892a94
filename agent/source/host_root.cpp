#include "agent/source/host_root.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source/mount_prober.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFirstReadBytes = 4096;
constexpr std::size_t kEntriesMax = 100'000;
// The kernel's own buffer for a table, at least (fs/seq_file.c: a page, and 4 KiB is the smallest).
constexpr std::size_t kSeqBufferBytes = 4096;

// A read that brought fewer bytes than this has brought the end of the file; 0: only an empty one
// has. A table that is written record by record (seq_file) comes in pieces, however large the
// buffer is: a piece ends where the next record does not fit into what is left of the kernel's
// buffer. Where the largest record is known, a piece that leaves room for one is the last. What is
// one record, or no table at all (sysctl, sysfs), comes whole.
std::size_t ends_below(std::string_view relative) {
    constexpr std::size_t kAnyLength = ~std::size_t{0};
    constexpr std::array<std::string_view, 4> kProc = {"proc/stat", "proc/loadavg", "proc/meminfo",
                                                       "proc/uptime"};
    constexpr std::array<std::string_view, 3> kBelow = {"proc/pressure/", "proc/sys/", "sys/"};
    constexpr std::array<std::string_view, 5> kNet = {"/net/snmp", "/net/snmp6", "/net/netstat",
                                                      "/net/sockstat", "/net/sockstat6"};
    const auto ends = [&](std::string_view end) { return relative.ends_with(end); };
    if (std::find(kProc.begin(), kProc.end(), relative) != kProc.end() ||
        std::any_of(kNet.begin(), kNet.end(), ends) ||
        std::any_of(kBelow.begin(), kBelow.end(),
                    [&](std::string_view start) { return relative.starts_with(start); }))
        return kAnyLength;
    // A name and one number; a name of 15 bytes and 16 numbers; 17 numbers of a CPU.
    constexpr std::size_t kVmstatLineMax = 96;
    constexpr std::size_t kNetLineMax = 512;
    if (relative == "proc/vmstat") return kSeqBufferBytes - kVmstatLineMax;
    if (ends("/net/dev") || ends("/net/stat/nf_conntrack")) return kSeqBufferBytes - kNetLineMax;
    return 0;  // of a disk all partitions are one record, and a mount's paths have no end
}

}  // namespace

Result<HostRoot> HostRoot::open(const std::filesystem::path& root) {
    UniqueFd fd{::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!fd) return fail(errno_error(root.string()));
    HostRoot result;
    result.recorded_ = ::faccessat(fd.get(), "statvfs", F_OK, 0) == 0 && root != "/";
    result.path_ = root;
    result.fd_ = std::make_shared<UniqueFd>(std::move(fd));
    result.mount_prober_ = std::make_shared<MountProber>();
    return result;
}

int HostRoot::open_below(const std::string& relative, int flags) const {
    return path_ == "/" ? ::openat(fd(), relative.c_str(), flags)
                        : open_in_root(fd(), relative, flags);
}

HostFile::HostFile(const HostRoot& root, std::string relative, std::size_t bytes_max)
    : root_(&root),
      relative_(std::move(relative)),
      bytes_max_(bytes_max),
      ends_below_(ends_below(relative_)) {}

Result<std::string_view> HostFile::read() {
    const bool opened = !fd_ || root_->recorded();
    if (opened) {
        fd_ = UniqueFd{root_->open_below(relative_, O_RDONLY | O_CLOEXEC | O_NOCTTY)};
        if (!fd_) return fail(errno_error("/" + relative_));
    }
    // Most files are far shorter than a page. What is kept for each is as long as its content, or
    // two dozen of them would take a hundred kilobytes.
    std::array<char, kFirstReadBytes> first;
    std::span<char> into = buffer_;
    if (buffer_.size() <= first.size())
        into = std::span(first).first(std::min(first.size(), bytes_max_));
    std::size_t filled = 0;
    for (;;) {
        const ssize_t n = ::pread(fd_.get(), into.data() + filled, into.size() - filled,
                                  static_cast<off_t>(filled));
        if (n < 0) {
            if (errno == EINTR) continue;
            const Error error = errno_error("/" + relative_);
            fd_.reset();
            // The device is gone; another one may have its name by now.
            if (!opened && error.sys_errno == ENODEV) return read();
            return fail(error);
        }
        filled += static_cast<std::size_t>(n);
        if (filled < into.size()) {
            if (n == 0 || static_cast<std::size_t>(n) < ends_below_) break;
            continue;
        }
        if (into.size() >= bytes_max_) {
            return fail(Errc::limit,
                        "/" + relative_ + ": larger than " + std::to_string(bytes_max_) + " bytes");
        }
        const bool was_first = into.data() == first.data();
        buffer_.resize(into.size() * 2);
        if (was_first) std::copy(first.begin(), first.end(), buffer_.begin());
        into = buffer_;
    }
    if (into.data() == first.data()) {
        // Room for digits to come, so that it is not allocated anew all the time.
        if (buffer_.capacity() < filled) buffer_.reserve(filled + filled / 4);
        buffer_.assign(first.data(), filled);
    }
    return std::string_view(buffer_.data(), filled);
}

bool in_other_network_namespace(const HostRoot& root) {
    struct stat own {};
    struct stat first {};
    // Without the right to look at pid 1 nothing is known; then most likely it is the same.
    return ::stat("/proc/self/ns/net", &own) == 0 &&
           ::fstatat(root.fd(), "proc/1/ns/net", &first, 0) == 0 &&
           (own.st_dev != first.st_dev || own.st_ino != first.st_ino);
}

std::string proc_net_file(const HostRoot& root, std::string_view name) {
    return (in_other_network_namespace(root) ? "proc/1/net/" : "proc/net/") + std::string(name);
}

Result<std::vector<std::string>> list_directory(const HostRoot& root, const std::string& relative) {
    const int fd = root.open_below(relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail(errno_error("/" + relative));
    DIR* directory = ::fdopendir(fd);
    if (directory == nullptr) {
        ::close(fd);
        return fail(errno_error("/" + relative));
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (names.size() == kEntriesMax) break;
        names.emplace_back(name);
    }
    ::closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

Result<std::string> link_name(const HostRoot& root, const std::string& relative) {
    char target[4096];
    const ssize_t size = ::readlinkat(root.fd(), relative.c_str(), target, sizeof target);
    if (size < 0) return fail(errno_error("/" + relative));
    const std::string_view text(target, static_cast<std::size_t>(size));
    return std::string(text.substr(text.rfind('/') + 1));
}

Result<std::string> read_attribute(const HostRoot& root, const std::string& relative) {
    HostFile file(root, relative, 64 * 1024);
    RL_ASSIGN_OR_RETURN(const std::string_view content, file.read());
    return std::string(trim(content));
}

}  // namespace ridgeline::agent
