// What an earlier run left: the segments' batches, schemas and acknowledgements.
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

// More batches than a segment can hold, thinned ones included.
constexpr std::uint64_t kUnreadSequencesMax = std::uint64_t{1} << 40U;

struct Spool::Noted {
    std::vector<std::uint64_t> acked;
    std::vector<std::uint64_t> sent;
};

Result<Spool> Spool::open(Storage& storage, const SpoolOptions& options) {
    Spool spool(storage, options);
    RL_TRY(spool.load_earlier_epoch());
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
    spool.go_on_with_last_segment();
    spool.note_what_was_left();
    return spool;
}

// A killed run may have left its last writes in the page cache alone, of several segments when a
// sync was slow. Nobody else would ever sync the closed ones. That takes a worker's time, not the
// start's (take_unsynced). What the disk does not let be read cannot be written again either.
void Spool::note_what_was_left() {
    directory_dirty_ = !segments_.empty();
    for (const Segment& segment : segments_) {
        const bool is_written = writer_ && &segment == &segments_.back();
        if (!is_written && !segment.part_unread) left_unsynced_.push_back(segment.name);
    }
}

// Behind what an earlier run wrote only when that is on the disk for certain: where a sync of that
// run failed, pages may be missing that seem to be there until the power fails, and what follows
// them is lost with them.
void Spool::go_on_with_last_segment() {
    if (segments_.empty()) return;
    const Segment& last = segments_.back();
    const auto reopen = [&]() -> Result<SegmentWriter> {
        RL_ASSIGN_OR_RETURN(auto reopened, SegmentWriter::reopen(*storage_, last.name, kFormat,
                                                                 [](const Record&) {}));
        RL_TRY(reopened.writer.file()->write_again(0));
        RL_TRY(reopened.writer.sync());
        return std::move(reopened.writer);
    };
    if (!last.part_unread && last.version == kFormat.version &&
        last.bytes < options_.segment_bytes) {
        if (auto writer = reopen()) {
            writer_ = std::move(*writer);
            return;
        }
    }
    if (last.entries.empty() && !last.part_unread) remove_segment(segments_.size() - 1);
    if (auto opened = open_segment(next_sequence_); !opened) note_disk_error(opened.error());
}

Spool Spool::in_memory(Storage& storage, const SpoolOptions& options) {
    return Spool(storage, options);
}

void Spool::take_over(Spool& in_memory) {
    const std::uint64_t shift = next_sequence_ - 1;  // the other one began at 1
    epoch_ = in_memory.epoch_;
    next_number_ = in_memory.next_number_;
    next_sequence_ = in_memory.next_sequence_ + shift;
    numbering_.append(in_memory.numbering_, shift);
    for (Waiting& waiting : in_memory.memory_) {
        waiting.sequence += shift;
        ++stats_.batches;
        if (!memory_.empty() || !write(waiting)) keep_in_memory(std::move(waiting));
    }
    for (std::size_t i = 0; i < kDropReasons; ++i)
        stats_.dropped_samples[i] += in_memory.stats_.dropped_samples[i];
    stats_.dropped_batches += in_memory.stats_.dropped_batches;
    stats_.disk_errors += in_memory.stats_.disk_errors;
}

Result<void> Spool::load_earlier_epoch() {
    RL_ASSIGN_OR_RETURN(earlier_epoch_, read_number(*storage_, kEpochFileName));
    RL_ASSIGN_OR_RETURN(earlier_unconfirmed_, read_number(*storage_, kUnconfirmedFileName));
    return {};
}

// Its numbers from `unconfirmed` on were not sent yet, and a collector may know them for others. So
// they get another epoch: one that is the same at the next start.
BatchNumber Spool::number_before_version_3(std::uint64_t sequence) const {
    const std::uint64_t epoch = earlier_epoch_.value_or(0);  // the file is lost or was damaged
    const bool confirmed = !earlier_unconfirmed_ || sequence < *earlier_unconfirmed_;
    return {confirmed ? epoch : ~epoch, sequence};
}

void Spool::cut_off_tail(const std::string& name, const SegmentScan& scan) {
    stats_.torn_bytes += scan.tail_bytes;
    auto file = storage_->open_append(name);
    const auto cut =
        file ? (*file)->truncate_to(scan.sound_bytes) : Result<void>(fail(std::move(file).error()));
    if (!cut) note_disk_error(cut.error());
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
            const BatchNumber number =
                batch->number.value_or(number_before_version_3(batch->sequence));
            const auto range = wire::range_of(*body, batch->number_in_epoch());
            if (number.number == 0 || number.number >= kSequencesEnd || !range) return;
            const std::uint64_t merged = range->last - range->first;
            const std::uint64_t last =
                segment.entries.empty() ? 0 : segment.entries.back().sequence;
            if (batch->sequence <= merged || batch->sequence - merged <= last ||
                batch->sequence < segment.base || batch->sequence >= next_base ||
                !numbering_.note(batch->sequence, number)) {
                return;
            }
            Entry& entry = segment.entries.emplace_back();
            entry.sequence = batch->sequence;
            entry.offset = static_cast<std::uint32_t>(record.offset);
            entry.samples = body->sample_count;
            entry.merged = static_cast<std::uint32_t>(merged);
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
    const auto scan = scan_segment(*storage_, name, kFormat, index_record);
    if (scan) {
        segment.version = scan->version;
        if (scan->tail_bytes > 0) cut_off_tail(name, *scan);
    } else if (scan.error().code == Errc::corrupt) {
        if (auto file = storage_->open_append(name)) stats_.torn_bytes += (*file)->size_bytes();
        if (auto removed = storage_->remove(name); !removed) note_disk_error(removed.error());
        next_sequence_ = std::max(next_sequence_, segment.base);
        return {};
    } else if (scan.error().code == Errc::unsupported) {
        return fail(scan.error());
    } else {
        // An unreadable sector, or a disk that is sick for now: what could be read is sent, the
        // file stays as it is for the next start.
        note_disk_error(scan.error());
        segment.part_unread = true;
        next_sequence_ = std::max(next_sequence_, segment.base);
        // Whatever else it holds, its sequences are not given again.
        if (next_base == kSequencesEnd) next_sequence_ += kUnreadSequencesMax;
        // max_size is of what the files take, read or not.
        if (auto file = storage_->open_append(name))
            segment.bytes = std::max(segment.bytes, (*file)->size_bytes());
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
