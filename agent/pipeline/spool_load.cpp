// What an earlier run left: the epoch, and the segments' batches, schemas and acknowledgements.
#include <algorithm>
#include <array>
#include <utility>

#include <sodium.h>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool.h"
#include "agent/pipeline/spool_format.h"

namespace ridgeline::agent {

using namespace spool_format;

Result<Spool> Spool::open(Storage& storage, const SpoolOptions& options) {
    Spool spool(storage, options);
    RL_TRY(spool.load_epoch());
    RL_ASSIGN_OR_RETURN(const auto names, storage.list());
    std::vector<std::uint64_t> acked;
    for (const std::string& name : names) {
        if (base_of(name)) RL_TRY(spool.load_segment(name, acked));
    }
    for (const std::uint64_t sequence : acked)
        spool.forget(sequence);
    spool.remove_acked_segments();
    spool.first_of_run_ = spool.next_sequence_;
    spool.numbers_on_disk_ = spool.next_sequence_;
    return spool;
}

Result<void> Spool::load_epoch() {
    if (auto file = storage_->open_read(kEpochFileName)) {
        std::array<std::byte, kEpochDigits> digits{};
        const auto n = (*file)->read_at(0, digits);
        if (n && *n == digits.size()) {
            const auto value = parse_hex_u64(as_text(digits));
            if (value) {
                epoch_ = *value;
                epoch_saved_ = true;
                return {};
            }
        }
    }
    randombytes_buf(&epoch_, sizeof epoch_);
    if (auto saved = save_epoch(); !saved) note_disk_error(saved.error());
    return {};
}

Result<void> Spool::save_epoch() {
    RL_ASSIGN_OR_RETURN(const auto file, storage_->open_append(kEpochFileName));
    RL_TRY(file->truncate_to(0));
    RL_TRY(file->append(as_bytes(hex_u64(epoch_) + "\n")));
    RL_TRY(file->sync());
    RL_TRY(storage_->sync_directory());
    epoch_saved_ = true;
    return {};
}

Result<void> Spool::load_segment(const std::string& name, std::vector<std::uint64_t>& acked) {
    Segment segment;
    segment.name = name;
    segment.base = *base_of(name);
    segment.bytes = kSegmentHeaderBytes;
    const auto index_record = [&](const Record& record) {
        segment.bytes = record.end_offset;
        ByteReader in(record.payload);
        if (record.type == kSchemaRecord) {
            if (const auto hash = in.u64()) segment.schemas.push_back({*hash, record.offset});
        } else if (record.type == kBatchRecord) {
            const auto sequence = in.u64();
            const auto body = wire::decode_body(as_text(in.rest()), wire::Limits{});
            const std::uint64_t last =
                segment.entries.empty() ? 0 : segment.entries.back().sequence;
            if (!sequence || !body || *sequence <= last || *sequence < segment.base) return;
            segment.entries.push_back(
                {*sequence, static_cast<std::uint32_t>(record.offset), body->sample_count, false});
        } else if (record.type == kAckedRecord) {
            while (const auto sequence = in.u64())
                acked.push_back(*sequence);
        }
    };
    writer_.reset();  // of the segment before: only the last one is written to
    auto reopened = SegmentWriter::reopen(*storage_, name, kFormat, index_record);
    if (reopened) {
        stats_.torn_bytes += reopened->torn_bytes;
        writer_ = std::move(reopened->writer);
    } else if (reopened.error().code == Errc::corrupt) {
        if (auto file = storage_->open_append(name)) stats_.torn_bytes += (*file)->size_bytes();
        if (auto removed = storage_->remove(name); !removed) note_disk_error(removed.error());
        next_sequence_ = std::max(next_sequence_, segment.base);
        return {};
    } else if (reopened.error().code == Errc::unsupported) {
        // Which numbers a newer version used cannot be known, and none may be given twice.
        return fail(std::move(reopened).error());
    } else {
        // Read-only disk, unreadable sector: what could be read is sent, the file stays as it is.
        note_disk_error(reopened.error());
        next_sequence_ = std::max(next_sequence_, segment.base);
        if (segment.entries.empty()) return {};
    }
    segment.held = segment.entries.size();
    stats_.batches += segment.held;
    stats_.bytes += segment.bytes;
    next_sequence_ = std::max(next_sequence_, segment.base);
    if (!segment.entries.empty())
        next_sequence_ = std::max(next_sequence_, segment.entries.back().sequence + 1);
    segments_.push_back(std::move(segment));
    return {};
}

}  // namespace ridgeline::agent
