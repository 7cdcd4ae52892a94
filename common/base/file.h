// Files: an owned descriptor, whole-file reads with a cap, and writes that are either the old or
// the new.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/result.h"

namespace ridgeline {

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void reset();

  private:
    int fd_ = -1;
};

// The whole file, in as few reads as it takes. Errc::limit when it holds more than `bytes_max`.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t bytes_max = 16U << 20);

// The same of a file that somebody else chose: a pipe or a device, which might never end, is
// refused without waiting for it.
Result<std::string> read_regular_file(const std::filesystem::path& path,
                                      std::size_t bytes_max = 16U << 20);

// And below a directory that is another system's root: `path` is absolute, and leads where it would
// lead there, links included (before Linux 5.6 an absolute link leaves the root). Empty: "/".
Result<std::string> read_regular_file_in(const std::filesystem::path& root, const std::string& path,
                                         std::size_t bytes_max = 16U << 20);

// As openat(2), links resolved as below a root of its own; −1 and errno.
int open_in_root(int root_fd, const std::string& relative, int flags);

// Writes to a temporary file beside `path`, fsyncs, renames over it and fsyncs the directory.
Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content,
                               unsigned mode = 0644);

Result<void> fsync_directory(const std::filesystem::path& directory);

}  // namespace ridgeline
