#include "agent/source/host_root.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source/mount_prober.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kFirstBufferBytes = 4096;
constexpr std::size_t kEntriesMax = 100'000;

// What the kernel writes as one record comes whole when the buffer has room, and needs no second
// read that says so. Everything else may come in pieces.
bool is_one_record(std::string_view relative) {
    constexpr std::array<std::string_view, 4> kNames = {"proc/stat", "proc/loadavg", "proc/meminfo",
                                                        "proc/uptime"};
    return relative.starts_with("proc/pressure/") || relative.starts_with("sys/") ||
           std::find(kNames.begin(), kNames.end(), relative) != kNames.end();
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
      one_record_(is_one_record(relative_)) {}

Result<std::string_view> HostFile::read() {
    const bool opened = !fd_ || root_->recorded();
    if (opened) {
        fd_ = UniqueFd{root_->open_below(relative_, O_RDONLY | O_CLOEXEC | O_NOCTTY)};
        if (!fd_) return fail(errno_error("/" + relative_));
    }
    if (buffer_.empty()) buffer_.resize(std::min(kFirstBufferBytes, bytes_max_));
    // A file that the kernel writes record by record (seq_file: net/dev, diskstats, mountinfo,
    // vmstat) comes in pieces of a page, however large the buffer is: only 0 is the end.
    std::size_t filled = 0;
    for (;;) {
        const ssize_t n = ::pread(fd_.get(), buffer_.data() + filled, buffer_.size() - filled,
                                  static_cast<off_t>(filled));
        if (n < 0) {
            if (errno == EINTR) continue;
            const Error error = errno_error("/" + relative_);
            fd_.reset();
            // The device is gone; another one may have its name by now.
            if (!opened && error.sys_errno == ENODEV) return read();
            return fail(error);
        }
        if (n == 0) return std::string_view(buffer_.data(), filled);
        filled += static_cast<std::size_t>(n);
        if (filled < buffer_.size()) {
            if (one_record_) return std::string_view(buffer_.data(), filled);
            continue;
        }
        if (buffer_.size() >= bytes_max_) {
            return fail(Errc::limit,
                        "/" + relative_ + ": larger than " + std::to_string(bytes_max_) + " bytes");
        }
        buffer_.resize(buffer_.size() * 2);
    }
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
