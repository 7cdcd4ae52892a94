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

namespace {

// 16 hexadecimal digits; nullopt when there is no such file, or it was cut short.
Result<std::optional<std::uint64_t>> read_number(Storage& storage, std::string_view name) {
    auto file = storage.open_read(name);
    if (!file && file.error().code == Errc::not_found) return std::optional<std::uint64_t>{};
    if (!file) return fail(std::move(file).error());
    std::array<std::byte, kEpochDigits> digits{};
    RL_ASSIGN_OR_RETURN(const std::size_t n, (*file)->read_at(0, digits));
    return parse_hex_u64(as_text(std::span(digits).first(n)));
}

}  // namespace

struct Spool::Noted {
    std::vector<std::uint64_t> acked;
    std::vector<std::uint64_t> sent;
};

Result<Spool> Spool::open(Storage& storage, const SpoolOptions& options) {
    Spool spool(storage, options);
    RL_TRY(spool.load_epoch());
    RL_ASSIGN_OR_RETURN(const auto names, storage.list());
    Noted noted;
    std::vector<std::string> segments;
    for (const std::string& name : names) {
        if (base_of(name)) segments.push_back(name);
        if (name.ends_with(kThinnedSuffix)) (void)storage.remove(name);
    }
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const bool last = i + 1 == segments.size();
        RL_TRY(spool.load_segment(segments[i], last ? kSequencesEnd : *base_of(segments[i + 1]),
                                  noted));
    }
    for (const std::uint64_t sequence : noted.sent) {
        if (Entry* entry = spool.find_entry(sequence)) entry->sent = true;
    }
    for (const std::uint64_t sequence : noted.acked)
        spool.forget(sequence);
    spool.remove_acked_segments();
    // A killed run may have left its last writes in the page cache alone.
    spool.writer_dirty_ = spool.writer_.has_value();
    spool.directory_dirty_ = spool.writer_.has_value();
    spool.first_of_run_ = spool.next_sequence_;
    RL_ASSIGN_OR_RETURN(const auto unconfirmed, read_number(storage, kUnconfirmedFileName));
    if (unconfirmed) {
        spool.unconfirmed_noted_ = true;
        spool.first_of_run_ = std::min(*unconfirmed, spool.next_sequence_);
    }
    spool.numbers_on_disk_ = spool.next_sequence_;
    return spool;
}

void Spool::begin_run() {
    if (unconfirmed_noted_) return;
    first_of_run_ = next_sequence_;
    if (auto noted = note_unconfirmed(); !noted) note_disk_error(noted.error());
}

Result<void> Spool::note_unconfirmed() {
    RL_ASSIGN_OR_RETURN(const auto file, storage_->open_append(kUnconfirmedFileName));
    unconfirmed_noted_ = true;
    RL_TRY(file->truncate_to(0));
    RL_TRY(file->append(as_bytes(hex_u64(first_of_run_) + "\n")));
    RL_TRY(file->sync());
    return storage_->sync_directory();
}

void Spool::confirm_numbers() {
    numbers_confirmed_ = true;
    if (!std::exchange(unconfirmed_noted_, false)) return;
    auto removed = storage_->remove(kUnconfirmedFileName);
    if (removed) removed = storage_->sync_directory();
    if (!removed) note_disk_error(removed.error());
}

Spool Spool::in_memory(Storage& storage, const SpoolOptions& options) {
    Spool spool(storage, options);
    randombytes_buf(&spool.epoch_, sizeof spool.epoch_);
    return spool;
}

bool Spool::may_be_taken_over() const {
    return segments_.empty() && std::none_of(memory_.begin(), memory_.end(),
                                             [](const Waiting& waiting) { return waiting.sent; });
}

void Spool::take_over(Spool& in_memory) {
    for (Waiting& waiting : in_memory.memory_) {
        waiting.sequence = next_sequence_++;
        ++stats_.batches;
        if (!memory_.empty() || !write(waiting)) keep_in_memory(std::move(waiting));
    }
    for (std::size_t i = 0; i < kDropReasons; ++i)
        stats_.dropped_samples[i] += in_memory.stats_.dropped_samples[i];
    stats_.disk_errors += in_memory.stats_.disk_errors;
}

Result<std::optional<std::uint64_t>> read_epoch(Storage& storage) {
    RL_ASSIGN_OR_RETURN(const auto epoch, read_number(storage, kEpochFileName));
    if (!epoch && storage.open_read(kEpochFileName))
        return fail(Errc::corrupt, std::string(kEpochFileName) + ": not 16 digits");
    return epoch;
}

Result<void> Spool::load_epoch() {
    const auto kept = read_epoch(*storage_);
    if (!kept && kept.error().code != Errc::corrupt) return fail(kept.error());
    epoch_saved_ = kept && kept->has_value();
    if (epoch_saved_) {
        epoch_ = **kept;
        return {};
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

Result<void> Spool::load_segment(const std::string& name, std::uint64_t next_base, Noted& noted) {
    Segment segment;
    segment.name = name;
    segment.base = *base_of(name);
    segment.bytes = kSegmentHeaderBytes;
    const auto index_record = [&](const Record& record) {
        segment.bytes = record.end_offset;
        if (const auto schema = read_schema(record)) {
            segment.schemas.push_back({schema->hash, record.offset});
        } else if (const auto batch = read_batch(record)) {
            const auto body = wire::decode_body(batch->body, wire::Limits{});
            if (!body) return;
            const auto range = wire::range_of(*body, batch->sequence);
            const std::uint64_t last =
                segment.entries.empty() ? 0 : segment.entries.back().sequence;
            if (!range || range->first <= last || batch->sequence < segment.base ||
                batch->sequence >= next_base) {
                return;
            }
            Entry& entry = segment.entries.emplace_back();
            entry.sequence = batch->sequence;
            entry.offset = static_cast<std::uint32_t>(record.offset);
            entry.samples = body->sample_count;
            entry.merged = static_cast<std::uint32_t>(range->last - range->first);
            entry.resolution_s = static_cast<std::uint16_t>(std::min(body->resolution_s, 0xFFFFU));
        } else {
            // Notes are of batches that were written before them. One of a number to come is
            // damage, and must not meet the batch that will be given it.
            const std::uint64_t given =
                std::max({next_sequence_, segment.base,
                          segment.entries.empty() ? 0 : segment.entries.back().sequence + 1});
            auto& of_kind = record.type == kSentRecord ? noted.sent : noted.acked;
            for (const std::uint64_t sequence : read_sequences(record)) {
                if (sequence < given) of_kind.push_back(sequence);
            }
        }
    };
    writer_.reset();  // of the segment before: only the last one is written to
    auto reopened = SegmentWriter::reopen(*storage_, name, kFormat, index_record);
    if (reopened) {
        stats_.torn_bytes += reopened->torn_bytes;
        if (reopened->version == kFormat.version) writer_ = std::move(reopened->writer);
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
    segment.resolution_s = 0xFFFF;
    for (const Entry& entry : segment.entries)
        segment.resolution_s = std::min<std::uint32_t>(segment.resolution_s, entry.resolution_s);
    stats_.batches += segment.held;
    stats_.bytes += segment.bytes;
    next_sequence_ = std::max(next_sequence_, segment.base);
    if (!segment.entries.empty())
        next_sequence_ = std::max(next_sequence_, segment.entries.back().sequence + 1);
    segments_.push_back(std::move(segment));
    return {};
}

}  // namespace ridgeline::agent
