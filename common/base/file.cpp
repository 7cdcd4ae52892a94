#include "common/base/file.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ridgeline {

void UniqueFd::reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

namespace {

Result<std::string> read_all(const UniqueFd& fd, const std::filesystem::path& path,
                             std::size_t bytes_max) {
    std::string content;
    std::size_t used = 0;
    content.resize(16 * 1024);
    for (;;) {
        const ssize_t n = ::read(fd.get(), content.data() + used, content.size() - used);
        if (n < 0) {
            if (errno == EINTR) continue;
            return fail(errno_error(path.string()));
        }
        if (n == 0) break;
        used += static_cast<std::size_t>(n);
        if (used > bytes_max) {
            return fail(Errc::limit,
                        path.string() + ": larger than " + std::to_string(bytes_max) + " bytes");
        }
        if (used == content.size()) content.resize(content.size() * 2);
    }
    content.resize(used);
    return content;
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t bytes_max) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (!fd) return fail(errno_error(path.string()));
    return read_all(fd, path, bytes_max);
}

namespace {

constexpr int kHarmlessOpen = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

Result<std::string> read_regular(const UniqueFd& fd, const std::filesystem::path& path,
                                 std::size_t bytes_max) {
    if (!fd) return fail(errno_error(path.string()));
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return fail(errno_error(path.string()));
    if (!S_ISREG(info.st_mode))
        return fail(Errc::invalid_argument, path.string() + ": not a regular file");
    return read_all(fd, path, bytes_max);
}

}  // namespace

Result<std::string> read_regular_file(const std::filesystem::path& path, std::size_t bytes_max) {
    return read_regular(UniqueFd{::open(path.c_str(), kHarmlessOpen)}, path, bytes_max);
}

Result<std::string> read_regular_file_in(const std::filesystem::path& root, const std::string& path,
                                         std::size_t bytes_max) {
    if (root.empty() || root == "/") return read_regular_file(path, bytes_max);
    const UniqueFd directory{::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!directory) return fail(errno_error(root.string()));
    return read_regular(UniqueFd{open_in_root(directory.get(), path, kHarmlessOpen)},
                        root.string() + path, bytes_max);
}

int open_in_root(int root_fd, const std::string& relative, int flags) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags);
    how.resolve = RESOLVE_IN_ROOT;
    const auto fd = ::syscall(SYS_openat2, root_fd, relative.c_str(), &how, sizeof how);
    // An older kernel, or a filter of system calls that does not know it.
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
        const std::size_t slashes = relative.find_first_not_of('/');
        return ::openat(root_fd, slashes == std::string::npos ? "." : relative.c_str() + slashes,
                        flags);
    }
    return static_cast<int>(fd);
}

namespace {

Result<void> write_all(int fd, std::string_view content, const std::string& name) {
    while (!content.empty()) {
        const ssize_t n = ::write(fd, content.data(), content.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return fail(errno_error(name));
        }
        content.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

}  // namespace

Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content,
                               unsigned mode) {
    std::string temporary = path.string() + ".XXXXXX";
    const UniqueFd fd{::mkostemp(temporary.data(), O_CLOEXEC)};
    if (!fd) return fail(errno_error(temporary));
    const auto give_up = [&](Error error) {
        ::unlink(temporary.c_str());
        return fail(std::move(error));
    };
    if (::fchmod(fd.get(), mode) != 0) return give_up(errno_error(temporary));
    if (auto written = write_all(fd.get(), content, temporary); !written)
        return give_up(written.error());
    if (::fsync(fd.get()) != 0) return give_up(errno_error(temporary));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up(errno_error(path.string()));
    return fsync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<void> fsync_directory(const std::filesystem::path& directory) {
    const UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd || ::fsync(fd.get()) != 0) return fail(errno_error(directory.string()));
    return {};
}

}  // namespace ridgeline
