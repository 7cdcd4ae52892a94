#include <algorithm>
#include <cerrno>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/segment/storage.h"

namespace ridgeline {

namespace {

constexpr std::size_t kWriteAgainBytes = 256U << 10;

class DirectoryAppendFile final : public AppendFile {
  public:
    DirectoryAppendFile(UniqueFd fd, std::string name, std::uint64_t size)
        : fd_(std::move(fd)), name_(std::move(name)), size_(size) {}

    Result<void> append(std::span<const std::byte> bytes) override {
        return write_at(size_, bytes);
    }

    Result<void> sync() override {
        if (::fdatasync(fd_.get()) != 0) return fail(errno_error(name_ + ": fdatasync"));
        return {};
    }

    Result<void> truncate_to(std::uint64_t size_bytes) override {
        if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0)
            return fail(errno_error(name_ + ": truncate"));
        size_ = size_bytes;
        return {};
    }

    Result<void> write_again(std::uint64_t from) override {
        std::vector<std::byte> bytes(kWriteAgainBytes);
        while (from < size_) {
            const ssize_t n =
                ::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(from));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(errno_error(name_));
            if (n == 0) break;
            RL_TRY(write_at(from, std::span(bytes).first(static_cast<std::size_t>(n))));
            from += static_cast<std::uint64_t>(n);
        }
        return {};
    }

    std::uint64_t size_bytes() const override { return size_; }

  private:
    Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t n =
                ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(errno_error(name_));
            offset += static_cast<std::uint64_t>(n);
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            size_ = std::max(size_, offset);
        }
        return {};
    }

    UniqueFd fd_;
    std::string name_;
    std::uint64_t size_;
};

class DirectoryReadFile final : public ReadFile {
  public:
    DirectoryReadFile(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> bytes) override {
        for (;;) {
            const ssize_t n =
                ::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n >= 0) return static_cast<std::size_t>(n);
            if (errno != EINTR) return fail(errno_error(name_));
        }
    }

  private:
    UniqueFd fd_;
    std::string name_;
};

class DirectoryStorage final : public Storage {
  public:
    DirectoryStorage(UniqueFd directory, std::filesystem::path path, bool read_only)
        : directory_(std::move(directory)), path_(std::move(path)), read_only_(read_only) {}

    Result<std::vector<std::string>> list() override {
        std::vector<std::string> names;
        std::error_code error;
        for (std::filesystem::directory_iterator it(path_, error), end; !error && it != end;
             it.increment(error)) {
            names.push_back(it->path().filename().string());
        }
        if (error) return fail(errno_error(path_.string(), error.value()));
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<std::unique_ptr<AppendFile>> open_append(std::string_view name) override {
        if (read_only_) return fail(errno_error(full_name(name), EROFS));
        UniqueFd fd{::openat(directory_.get(), std::string(name).c_str(),
                             O_RDWR | O_CREAT | O_CLOEXEC, 0640)};
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0) return fail(errno_error(full_name(name)));
        return std::unique_ptr<AppendFile>(std::make_unique<DirectoryAppendFile>(
            std::move(fd), full_name(name), static_cast<std::uint64_t>(info.st_size)));
    }

    Result<std::unique_ptr<ReadFile>> open_read(std::string_view name) override {
        UniqueFd fd{::openat(directory_.get(), std::string(name).c_str(), O_RDONLY | O_CLOEXEC)};
        if (!fd) return fail(errno_error(full_name(name)));
        return std::unique_ptr<ReadFile>(
            std::make_unique<DirectoryReadFile>(std::move(fd), full_name(name)));
    }

    Result<void> remove(std::string_view name) override {
        if (read_only_) return fail(errno_error(full_name(name), EROFS));
        if (::unlinkat(directory_.get(), std::string(name).c_str(), 0) != 0)
            return fail(errno_error(full_name(name)));
        return {};
    }

    Result<void> sync_directory() override {
        if (::fsync(directory_.get()) != 0) return fail(errno_error(path_.string()));
        return {};
    }

    Result<void> rename(std::string_view from, std::string_view to) override {
        if (read_only_) return fail(errno_error(full_name(to), EROFS));
        if (::renameat(directory_.get(), std::string(from).c_str(), directory_.get(),
                       std::string(to).c_str()) != 0)
            return fail(errno_error(full_name(to)));
        return {};
    }

    void reserve(std::string_view name, std::uint64_t size_bytes) override {
        if (read_only_) return;
        const UniqueFd fd{
            ::openat(directory_.get(), std::string(name).c_str(), O_WRONLY | O_CLOEXEC)};
        if (fd) ::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size_bytes));
    }

  private:
    std::string full_name(std::string_view name) const { return (path_ / name).string(); }

    UniqueFd directory_;
    std::filesystem::path path_;
    bool read_only_;
};

Result<std::unique_ptr<Storage>> open_directory(const std::filesystem::path& directory,
                                                bool read_only) {
    UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd) return fail(errno_error(directory.string()));
    return std::unique_ptr<Storage>(
        std::make_unique<DirectoryStorage>(std::move(fd), directory, read_only));
}

}  // namespace

Result<std::unique_ptr<Storage>> open_directory_storage(const std::filesystem::path& directory) {
    std::error_code error;
    if (std::filesystem::create_directories(directory, error)) ::chmod(directory.c_str(), 0750);
    if (error) return fail(errno_error(directory.string(), error.value()));
    return open_directory(directory, false);
}

Result<std::unique_ptr<Storage>> open_directory_for_reading(
    const std::filesystem::path& directory) {
    return open_directory(directory, true);
}

}  // namespace ridgeline
