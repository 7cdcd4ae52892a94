// A segment: one append-only file of records, each framed by its length and CRC-32C.
//
//   header, 32 bytes
//      0  magic[8]     what kind of file it is
//      8  u32          version of this framing, kSegmentVersion
//     12  u32          version of the records' form, the owner's; 0, in the first files, means 1
//     16  u64          base
//     24  u32          zero
//     28  u32          crc32c of the 28 bytes before
//   record, 9 bytes and its payload
//      0  u32          length of the payload
//      4  u32          crc32c of type and payload
//      8  u8           type
//      9  payload
//
// A file of a newer version, of either kind, is refused with Errc::unsupported and left as it is.
// FORMAT.md says what users need to know. All integers little-endian. `length` counts the payload
// alone and is at most kRecordBytesMax. What `base` means is the owner's: the first sequence number
// for the spool, the log position of the file's first byte for the log. A record that is cut short
// or fails its CRC ends the segment: what follows is not trusted. The writer that reopens the file
// truncates it there and reports how many bytes went.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/segment/storage.h"

namespace ridgeline {

inline constexpr std::uint32_t kSegmentVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 32;
inline constexpr std::size_t kRecordHeaderBytes = 9;
inline constexpr std::uint32_t kRecordBytesMax = 16U << 20;

// What the owner of a file calls it, and the newest form of its records it can read and writes.
struct SegmentFormat {
    std::array<char, 8> magic;
    std::uint32_t version = 1;
};

struct Record {
    std::uint8_t type = 0;
    std::uint64_t offset = 0;            // of the record's header in its file
    std::uint64_t end_offset = 0;        // one past its payload
    std::span<const std::byte> payload;  // valid until the next call on the reader
};

class SegmentReader {
  public:
    // Errc::corrupt when the header is not that of `format`, Errc::unsupported when it is of a
    // newer version.
    static Result<SegmentReader> open(Storage& storage, std::string_view name,
                                      const SegmentFormat& format);

    std::uint64_t base() const { return base_; }
    std::uint32_t version() const { return version_; }  // of the records' form
    // The next whole record; nullopt at the end of what is there now (a later call may find more: a
    // segment that is still being written can be followed). A damaged record is Errc::corrupt, and
    // stays so.
    Result<std::optional<Record>> next();
    // To go on from a place a Record named; kSegmentHeaderBytes is the first.
    void seek(std::uint64_t offset);
    std::uint64_t offset() const { return offset_; }
    // What the file holds from offset() on: a torn or damaged tail, once next() gives no more.
    Result<std::uint64_t> bytes_left();

  private:
    std::unique_ptr<ReadFile> file_;
    std::uint64_t base_ = 0;
    std::uint32_t version_ = 1;
    std::uint64_t offset_ = kSegmentHeaderBytes;
    std::vector<std::byte> buffer_;  // bytes of the file from buffer_offset_ on
    std::uint64_t buffer_offset_ = 0;

    Result<std::span<const std::byte>> fetch(std::uint64_t offset, std::size_t length);
};

// A file read from end to end.
struct SegmentScan {
    std::uint64_t base = 0;
    std::uint32_t version = 1;
    std::uint64_t records = 0;
    std::uint64_t sound_bytes = 0;  // the header and the records before what is torn or damaged
    std::uint64_t tail_bytes = 0;   // what follows them
    std::string damage;             // what is wrong there; empty when it is merely cut short
};
// `on_record` sees each good record. Fails when the header or the disk does not let it read.
Result<SegmentScan> scan_segment(Storage& storage, std::string_view name,
                                 const SegmentFormat& format,
                                 const std::function<void(const Record&)>& on_record);

class SegmentWriter {
  public:
    // The file has its name for good only once the storage's directory is synced, as well as its
    // bytes.
    static Result<SegmentWriter> create(Storage& storage, std::string name,
                                        const SegmentFormat& format, std::uint64_t base,
                                        std::uint64_t reserve_bytes);
    struct Reopened;
    // Opens a segment to go on writing: cuts off a torn or damaged tail. `on_record` sees each good
    // record.
    static Result<Reopened> reopen(Storage& storage, std::string name, const SegmentFormat& format,
                                   const std::function<void(const Record&)>& on_record);

    // Appends one record and returns the offset of its header. On an error nothing of it stays
    // visible: the file is cut back, and if even that fails, before the next append.
    Result<std::uint64_t> append(std::uint8_t type, std::span<const std::byte> payload);
    // Drops every record; the file is as create() made it.
    Result<void> drop_records();
    // May be called on another thread than append().
    Result<void> sync() { return file_->sync(); }

    std::uint64_t base() const { return base_; }
    std::uint64_t size_bytes() const { return size_; }
    const std::string& name() const { return name_; }
    // The file outlives the writer while a sync on a worker thread still needs it.
    std::shared_ptr<AppendFile> file() const { return file_; }

  private:
    std::shared_ptr<AppendFile> file_;
    std::string name_;
    std::uint64_t base_ = 0;
    std::uint64_t size_ = 0;
    bool broken_ = false;
    std::vector<std::byte> frame_;
};

struct SegmentWriter::Reopened {
    SegmentWriter writer;
    std::uint64_t torn_bytes = 0;
    std::uint32_t version = 1;  // an older one must not get records that it does not have
};

inline std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace ridgeline
