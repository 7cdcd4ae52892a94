// One file in memory, as a directory of files.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/segment/storage.h"

namespace ridgeline::fuzz {

using Bytes = std::vector<std::byte>;

class MemoryAppendFile final : public AppendFile {
  public:
    explicit MemoryAppendFile(std::shared_ptr<Bytes> bytes) : bytes_(std::move(bytes)) {}
    Result<void> append(std::span<const std::byte> bytes) override {
        bytes_->insert(bytes_->end(), bytes.begin(), bytes.end());
        return {};
    }
    Result<void> sync() override { return {}; }
    Result<void> truncate_to(std::uint64_t size_bytes) override {
        bytes_->resize(static_cast<std::size_t>(size_bytes));
        return {};
    }
    Result<void> write_again(std::uint64_t) override { return {}; }
    std::uint64_t size_bytes() const override { return bytes_->size(); }

  private:
    std::shared_ptr<Bytes> bytes_;
};

class MemoryReadFile final : public ReadFile {
  public:
    explicit MemoryReadFile(std::shared_ptr<Bytes> bytes) : bytes_(std::move(bytes)) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> bytes) override {
        if (offset >= bytes_->size()) return std::size_t{0};
        const std::size_t count =
            std::min(bytes.size(), bytes_->size() - static_cast<std::size_t>(offset));
        if (count != 0) std::memcpy(bytes.data(), bytes_->data() + offset, count);
        return count;
    }

  private:
    std::shared_ptr<Bytes> bytes_;
};

class MemoryStorage final : public Storage {
  public:
    Bytes& bytes() { return *bytes_; }

    Result<std::vector<std::string>> list() override { return std::vector<std::string>{"file"}; }
    Result<std::unique_ptr<AppendFile>> open_append(std::string_view) override {
        return std::unique_ptr<AppendFile>(std::make_unique<MemoryAppendFile>(bytes_));
    }
    Result<std::unique_ptr<ReadFile>> open_read(std::string_view) override {
        return std::unique_ptr<ReadFile>(std::make_unique<MemoryReadFile>(bytes_));
    }
    Result<void> remove(std::string_view) override {
        bytes_->clear();
        return {};
    }
    Result<void> sync_directory() override { return {}; }
    Result<void> rename(std::string_view, std::string_view) override { return {}; }
    void reserve(std::string_view, std::uint64_t) override {}

  private:
    std::shared_ptr<Bytes> bytes_ = std::make_shared<Bytes>();
};

}  // namespace ridgeline::fuzz
