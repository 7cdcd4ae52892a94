// The disk, as spool and log see it: the seam at which tests make it full, torn, slow or gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline {

// An open file that only grows. One thread at a time, but for sync(), which may run on another
// thread while this one appends (it covers what was appended before it was called).
class AppendFile {
  public:
    virtual ~AppendFile() = default;
    // All of `bytes` or an error; after an error the file may hold a part of them (truncate_to cuts
    // it off).
    virtual Result<void> append(std::span<const std::byte> bytes) = 0;
    virtual Result<void> sync() = 0;
    virtual Result<void> truncate_to(std::uint64_t size_bytes) = 0;
    // Writes what the file holds from there on once more, unchanged. A failed sync of an earlier
    // process may have left pages unwritten that the kernel calls clean: the next sync would
    // succeed without them.
    virtual Result<void> write_again(std::uint64_t from) = 0;
    virtual std::uint64_t size_bytes() const = 0;
};

class ReadFile {
  public:
    virtual ~ReadFile() = default;
    // Up to bytes.size() bytes from `offset`; 0 at the end of the file.
    virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> bytes) = 0;
};

// One flat directory of files.
class Storage {
  public:
    virtual ~Storage() = default;
    virtual Result<std::vector<std::string>> list() = 0;  // names, sorted
    virtual Result<std::unique_ptr<AppendFile>> open_append(
        std::string_view name) = 0;  // created if absent
    virtual Result<std::unique_ptr<ReadFile>> open_read(std::string_view name) = 0;
    virtual Result<void> remove(std::string_view name) = 0;
    // What was created, renamed and removed before it is called. May run on another thread.
    virtual Result<void> sync_directory() = 0;
    // Takes the place of a file that has the new name, if there is one, in one step.
    virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
    // Reserves room without changing the size, so that a full disk shows before the bytes are
    // needed. Best effort.
    virtual void reserve(std::string_view name, std::uint64_t size_bytes) = 0;
};

// A directory on disk; creates it (0750) if it is missing.
Result<std::unique_ptr<Storage>> open_directory_storage(const std::filesystem::path& directory);
// One that must exist and is not changed, whoever uses it meanwhile: every change is refused.
Result<std::unique_ptr<Storage>> open_directory_for_reading(const std::filesystem::path& directory);

}  // namespace ridgeline
