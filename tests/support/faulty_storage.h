// A disk in memory that can be full, failing, read-only, killed at any write, or robbed of its
// power.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/segment/storage.h"

namespace ridgeline::test {

class FaultyStorage final : public Storage {
  public:
    using Bytes = std::vector<std::byte>;

    // 0: works; else every change is refused with this errno.
    void refuse_changes(int error) { refuse_changes_ = error; }
    void refuse_syncs(int error) { refuse_syncs_ = error; }
    // That one alone, as the kernel tells of a lost page once.
    void refuse_next_sync(int error) { refuse_next_sync_ = error; }
    void refuse_reads(int error) { refuse_reads_ = error; }
    // Of this file, what lies behind there: a bad sector.
    void refuse_reads_beyond(const std::string& name, std::uint64_t offset, int error) {
        files_.at(name)->bad_from = error == 0 ? kUnlimited : offset;
        files_.at(name)->bad_error = error;
    }
    // Appends beyond this many further bytes are cut short with ENOSPC.
    void leave_bytes(std::uint64_t bytes) { bytes_left_ = bytes; }
    void make_room() { bytes_left_ = kUnlimited; }
    // The process is killed before the change after this many further ones: nothing it does from
    // there on has an effect.
    void kill_after(std::uint64_t changes) { changes_left_ = changes; }
    bool killed() const { return changes_left_ == 0; }
    void revive() { changes_left_ = kUnlimited; }
    // Everything that was not synced is gone: bytes of files, and what became of their names.
    void cut_power() {
        files_ = durable_names_;
        for (auto& [name, file] : files_)
            file->bytes.resize(std::min(file->bytes.size(), file->synced));
    }
    // Of files and of the directory.
    std::uint64_t syncs() const { return syncs_; }

    std::uint64_t appends() const { return appends_; }
    std::uint64_t bytes_written_again() const { return bytes_written_again_; }
    std::uint64_t bytes_stored() const {
        std::uint64_t total = 0;
        for (const auto& [name, file] : files_)
            total += file->bytes.size();
        return total;
    }
    std::map<std::string, Bytes> snapshot() const {
        std::map<std::string, Bytes> copy;
        for (const auto& [name, file] : files_)
            copy[name] = file->bytes;
        return copy;
    }
    void restore(const std::map<std::string, Bytes>& files) {
        files_.clear();
        for (const auto& [name, bytes] : files)
            files_[name] = std::make_shared<File>(File{bytes, bytes.size()});
        durable_names_ = files_;
    }

    // Storage
    Result<std::vector<std::string>> list() override {
        if (refuse_reads_ != 0) return fail(errno_error("list", refuse_reads_));
        std::vector<std::string> names;
        for (const auto& [name, file] : files_)
            names.push_back(name);
        return names;
    }
    Result<std::unique_ptr<AppendFile>> open_append(std::string_view name) override {
        auto& file = files_[std::string(name)];
        if (!file) {
            if (!may_change() || refuse_changes_ != 0) {
                files_.erase(std::string(name));
                return fail(errno_error(name, refuse_changes_ != 0 ? refuse_changes_ : EIO));
            }
            file = std::make_shared<File>();
        } else if (refuse_changes_ == EROFS) {
            return fail(errno_error(name, EROFS));
        }
        return std::unique_ptr<AppendFile>(std::make_unique<Append>(*this, file));
    }
    Result<std::unique_ptr<ReadFile>> open_read(std::string_view name) override {
        const auto it = files_.find(std::string(name));
        if (it == files_.end()) return fail(errno_error(name, ENOENT));
        return std::unique_ptr<ReadFile>(std::make_unique<Read>(*this, it->second));
    }
    Result<void> remove(std::string_view name) override {
        if (refuse_changes_ != 0) return fail(errno_error(name, refuse_changes_));
        if (may_change()) files_.erase(std::string(name));
        return {};
    }
    Result<void> sync_directory() override {
        ++syncs_;
        if (refuse_syncs_ != 0) return fail(errno_error("directory", refuse_syncs_));
        if (!killed()) durable_names_ = files_;
        return {};
    }
    Result<void> rename(std::string_view from, std::string_view to) override {
        if (refuse_changes_ != 0) return fail(errno_error(to, refuse_changes_));
        const auto it = files_.find(std::string(from));
        if (it == files_.end()) return fail(errno_error(from, ENOENT));
        if (!may_change()) return {};
        const auto file = it->second;
        files_.erase(it);
        files_[std::string(to)] = file;
        return {};
    }
    void reserve(std::string_view, std::uint64_t) override {}

  private:
    static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
    struct File {
        Bytes bytes;
        std::size_t synced = 0;
        std::uint64_t bad_from = kUnlimited;
        int bad_error = 0;
    };

    class Append final : public AppendFile {
      public:
        Append(FaultyStorage& storage, std::shared_ptr<File> file)
            : storage_(&storage), file_(std::move(file)) {}
        Result<void> append(std::span<const std::byte> bytes) override {
            ++storage_->appends_;
            if (storage_->refuse_changes_ != 0)
                return fail(errno_error("append", storage_->refuse_changes_));
            if (!storage_->may_change()) return {};
            const std::uint64_t fits = std::min<std::uint64_t>(bytes.size(), storage_->bytes_left_);
            file_->bytes.insert(file_->bytes.end(), bytes.begin(),
                                bytes.begin() + static_cast<std::ptrdiff_t>(fits));
            if (storage_->bytes_left_ != kUnlimited) storage_->bytes_left_ -= fits;
            if (fits < bytes.size()) return fail(errno_error("append", ENOSPC));
            return {};
        }
        Result<void> sync() override {
            ++storage_->syncs_;
            if (storage_->refuse_syncs_ != 0)
                return fail(errno_error("sync", storage_->refuse_syncs_));
            if (const int error = std::exchange(storage_->refuse_next_sync_, 0); error != 0)
                return fail(errno_error("sync", error));
            file_->synced = file_->bytes.size();
            return {};
        }
        Result<void> truncate_to(std::uint64_t size) override {
            if (storage_->refuse_changes_ != 0)
                return fail(errno_error("truncate", storage_->refuse_changes_));
            if (!storage_->may_change()) return {};
            file_->bytes.resize(size);
            file_->synced = std::min<std::size_t>(file_->synced, size);
            return {};
        }
        Result<void> write_again(std::uint64_t from) override {
            if (storage_->refuse_changes_ != 0)
                return fail(errno_error("write again", storage_->refuse_changes_));
            if (storage_->may_change())
                storage_->bytes_written_again_ += file_->bytes.size() - from;
            return {};
        }
        std::uint64_t size_bytes() const override { return file_->bytes.size(); }

      private:
        FaultyStorage* storage_;
        std::shared_ptr<File> file_;
    };

    class Read final : public ReadFile {
      public:
        Read(FaultyStorage& storage, std::shared_ptr<File> file)
            : storage_(&storage), file_(std::move(file)) {}
        Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> bytes) override {
            if (storage_->refuse_reads_ != 0)
                return fail(errno_error("read", storage_->refuse_reads_));
            if (offset >= file_->bytes.size()) return std::size_t{0};
            if (offset + bytes.size() > file_->bad_from && file_->bytes.size() > file_->bad_from)
                return fail(errno_error("read", file_->bad_error));
            const std::size_t n = std::min<std::size_t>(bytes.size(), file_->bytes.size() - offset);
            std::copy_n(file_->bytes.begin() + static_cast<std::ptrdiff_t>(offset), n,
                        bytes.begin());
            return n;
        }

      private:
        FaultyStorage* storage_;
        std::shared_ptr<File> file_;
    };

    bool may_change() {
        if (changes_left_ == kUnlimited) return true;
        if (changes_left_ == 0) return false;
        --changes_left_;
        return true;
    }

    std::map<std::string, std::shared_ptr<File>> files_;
    std::map<std::string, std::shared_ptr<File>> durable_names_;
    std::uint64_t syncs_ = 0;
    int refuse_changes_ = 0;
    int refuse_syncs_ = 0;
    int refuse_next_sync_ = 0;
    int refuse_reads_ = 0;
    std::uint64_t bytes_left_ = kUnlimited;
    std::uint64_t changes_left_ = kUnlimited;
    std::uint64_t appends_ = 0;
    std::uint64_t bytes_written_again_ = 0;
};

}  // namespace ridgeline::test
