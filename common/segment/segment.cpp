#include "common/segment/segment.h"

#include <algorithm>
#include <cstring>

#include "common/base/crc32c.h"

namespace ridgeline {

namespace {

constexpr std::size_t kReadAheadBytes = 256 * 1024;
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kFormatVersionAt = 12;
constexpr std::size_t kBaseAt = 16;
constexpr std::size_t kHeaderCrcAt = 28;

template <class Integer>
void store(std::span<std::byte> to, std::size_t at, Integer value) {
    for (std::size_t i = 0; i < sizeof value; ++i)
        to[at + i] = static_cast<std::byte>(value >> (8 * i));
}

template <class Integer>
Integer load(std::span<const std::byte> from, std::size_t at) {
    Integer value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i) {
        value |= static_cast<Integer>(static_cast<Integer>(from[at + i]) << (8 * i));
    }
    return value;
}

std::array<std::byte, kSegmentHeaderBytes> make_header(const SegmentFormat& format,
                                                       std::uint64_t base) {
    std::array<std::byte, kSegmentHeaderBytes> header{};
    std::memcpy(header.data(), format.magic.data(), format.magic.size());
    store<std::uint32_t>(header, kVersionAt, kSegmentVersion);
    store<std::uint32_t>(header, kFormatVersionAt, format.version);
    store<std::uint64_t>(header, kBaseAt, base);
    store<std::uint32_t>(header, kHeaderCrcAt, crc32c(std::span(header).first(kHeaderCrcAt)));
    return header;
}

struct Header {
    std::uint64_t base = 0;
    std::uint32_t version = 1;
};

Result<Header> check_header(std::span<const std::byte> header, const SegmentFormat& format,
                            std::string_view name) {
    const auto says = [&](Errc code, const std::string& what) {
        return fail(code, std::string(name) + ": " + what);
    };
    if (header.size() < kSegmentHeaderBytes)
        return says(Errc::corrupt, "shorter than a segment's header");
    if (std::memcmp(header.data(), format.magic.data(), format.magic.size()) != 0)
        return says(Errc::corrupt, "not a segment of this kind");
    if (load<std::uint32_t>(header, kHeaderCrcAt) != crc32c(header.first(kHeaderCrcAt))) {
        return says(Errc::corrupt, "its header is damaged");
    }
    const auto newer = [&](const char* of, std::uint32_t version, std::uint32_t known) {
        return says(Errc::unsupported, "written by a newer version (" + std::string(of) + " " +
                                           std::to_string(version) + ", this one reads up to " +
                                           std::to_string(known) + "); it is left as it is");
    };
    const auto framing = load<std::uint32_t>(header, kVersionAt);
    if (framing > kSegmentVersion) return newer("framing", framing, kSegmentVersion);
    const auto version = std::max<std::uint32_t>(load<std::uint32_t>(header, kFormatVersionAt), 1);
    if (version > format.version) return newer("format", version, format.version);
    return Header{load<std::uint64_t>(header, kBaseAt), version};
}

}  // namespace

Result<SegmentReader> SegmentReader::open(Storage& storage, std::string_view name,
                                          const SegmentFormat& format) {
    SegmentReader reader;
    RL_ASSIGN_OR_RETURN(reader.file_, storage.open_read(name));
    RL_ASSIGN_OR_RETURN(const auto bytes, reader.fetch(0, kSegmentHeaderBytes));
    RL_ASSIGN_OR_RETURN(const Header header, check_header(bytes, format, name));
    reader.base_ = header.base;
    reader.version_ = header.version;
    return reader;
}

// Up to `length` bytes at `offset`, fewer at the end of the file.
Result<std::span<const std::byte>> SegmentReader::fetch(std::uint64_t offset, std::size_t length) {
    const std::uint64_t buffered_end = buffer_offset_ + buffer_.size();
    if (offset < buffer_offset_ || offset + length > buffered_end) {
        buffer_.resize(std::max(length, kReadAheadBytes));
        std::size_t used = 0;
        while (used < buffer_.size()) {
            auto n = file_->read_at(offset + used, std::span(buffer_).subspan(used));
            if (!n) {
                buffer_.clear();
                return fail(std::move(n).error());
            }
            if (*n == 0) break;
            used += *n;
        }
        buffer_.resize(used);
        buffer_offset_ = offset;
    }
    const auto begin = static_cast<std::size_t>(offset - buffer_offset_);
    return std::span<const std::byte>(buffer_).subspan(begin,
                                                       std::min(length, buffer_.size() - begin));
}

Result<std::optional<Record>> SegmentReader::next() {
    RL_ASSIGN_OR_RETURN(const auto head, fetch(offset_, kRecordHeaderBytes));
    if (head.size() < kRecordHeaderBytes) return std::optional<Record>{};
    const auto length = load<std::uint32_t>(head, 0);
    const auto crc = load<std::uint32_t>(head, 4);
    if (length > kRecordBytesMax)
        return fail(Errc::corrupt, "a record claims more than the largest there can be");
    RL_ASSIGN_OR_RETURN(const auto whole, fetch(offset_, kRecordHeaderBytes + length));
    if (whole.size() < kRecordHeaderBytes + length) return std::optional<Record>{};
    if (crc32c(whole.subspan(8)) != crc) return fail(Errc::corrupt, "a record fails its CRC");
    Record record;
    record.type = static_cast<std::uint8_t>(whole[8]);
    record.offset = offset_;
    record.end_offset = offset_ + kRecordHeaderBytes + length;
    record.payload = whole.subspan(kRecordHeaderBytes);
    offset_ = record.end_offset;
    return std::optional{record};
}

Result<std::uint64_t> SegmentReader::bytes_left() {
    std::uint64_t left = 0;
    for (;;) {
        RL_ASSIGN_OR_RETURN(const auto some, fetch(offset_ + left, kReadAheadBytes));
        if (some.empty()) return left;
        left += some.size();
    }
}

void SegmentReader::seek(std::uint64_t offset) {
    offset_ = offset;
    buffer_.clear();
    buffer_offset_ = 0;
}

Result<SegmentScan> scan_segment(Storage& storage, std::string_view name,
                                 const SegmentFormat& format,
                                 const std::function<void(const Record&)>& on_record) {
    RL_ASSIGN_OR_RETURN(SegmentReader reader, SegmentReader::open(storage, name, format));
    SegmentScan scan;
    scan.base = reader.base();
    scan.version = reader.version();
    for (;;) {
        const auto record = reader.next();
        if (!record && record.error().code != Errc::corrupt) return fail(record.error());
        if (!record) scan.damage = record.error().context;
        if (!record || !*record) break;
        ++scan.records;
        on_record(**record);
    }
    scan.sound_bytes = reader.offset();
    RL_ASSIGN_OR_RETURN(scan.tail_bytes, reader.bytes_left());
    return scan;
}

Result<SegmentWriter> SegmentWriter::create(Storage& storage, std::string name,
                                            const SegmentFormat& format, std::uint64_t base,
                                            std::uint64_t reserve_bytes) {
    SegmentWriter writer;
    RL_ASSIGN_OR_RETURN(writer.file_, storage.open_append(name));
    RL_TRY(writer.file_->truncate_to(0));
    if (reserve_bytes > 0) storage.reserve(name, reserve_bytes);
    RL_TRY(writer.file_->append(make_header(format, base)));
    writer.name_ = std::move(name);
    writer.base_ = base;
    writer.size_ = kSegmentHeaderBytes;
    return writer;
}

Result<SegmentWriter::Reopened> SegmentWriter::reopen(
    Storage& storage, std::string name, const SegmentFormat& format,
    const std::function<void(const Record&)>& on_record) {
    RL_ASSIGN_OR_RETURN(const SegmentScan scan, scan_segment(storage, name, format, on_record));
    SegmentWriter writer;
    RL_ASSIGN_OR_RETURN(writer.file_, storage.open_append(name));
    writer.name_ = std::move(name);
    writer.base_ = scan.base;
    writer.size_ = scan.sound_bytes;
    const std::uint64_t torn = writer.file_->size_bytes() - writer.size_;
    if (torn > 0) RL_TRY(writer.file_->truncate_to(writer.size_));
    return Reopened{std::move(writer), torn, scan.version};
}

Result<std::uint64_t> SegmentWriter::append(std::uint8_t type, std::span<const std::byte> payload) {
    // What an earlier error left behind goes first, as soon as the disk lets it.
    if (broken_) RL_TRY(file_->truncate_to(size_));
    broken_ = false;
    if (payload.size() > kRecordBytesMax)
        return fail(Errc::limit, name_ + ": a record larger than there can be");
    frame_.resize(kRecordHeaderBytes);
    store<std::uint32_t>(frame_, 0, static_cast<std::uint32_t>(payload.size()));
    frame_[8] = static_cast<std::byte>(type);
    frame_.insert(frame_.end(), payload.begin(), payload.end());
    store<std::uint32_t>(frame_, 4, crc32c(std::span<const std::byte>(frame_).subspan(8)));
    if (auto appended = file_->append(frame_); !appended) {
        broken_ = !file_->truncate_to(size_).has_value();
        return fail(std::move(appended).error());
    }
    const std::uint64_t at = size_;
    size_ += frame_.size();
    return at;
}

Result<void> SegmentWriter::drop_records() {
    RL_TRY(file_->truncate_to(kSegmentHeaderBytes));
    size_ = kSegmentHeaderBytes;
    broken_ = false;
    return {};
}

}  // namespace ridgeline
