#include "agent/pipeline/spool.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include <sodium.h>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool_format.h"

namespace ridgeline::agent {

using namespace spool_format;

namespace {

// Of an earlier run's, with one sync: some megabytes that are written again.
constexpr std::size_t kLeftFilesMax = 8;

}  // namespace

std::string_view to_string(DropReason reason) {
    switch (reason) {
        case DropReason::spool_full:
            return "spool_full";
        case DropReason::memory_full:
            return "memory_full";
        case DropReason::rejected:
            return "rejected";
        case DropReason::corrupt:
            return "corrupt";
        case DropReason::clock_unset:
            return "clock_unset";
    }
    return "";
}

Result<void> SyncWork::run() {
    // All of them, since none comes here a second time; the first error is the one that is told.
    Result<void> done;
    for (const auto& file : files_) {
        if (auto synced = file->sync(); !synced && done) done = std::move(synced);
    }
    // After the files: a name that lasts is one of bytes that do.
    if (done && directory_ != nullptr) done = directory_->sync_directory();
    if (!left_) return done;
    Result<void> left;
    for (Left::File& of_earlier : left_->files) {
        auto synced = of_earlier.file->write_again(0);
        if (synced) synced = of_earlier.file->sync();
        of_earlier.synced = synced.has_value();
        if (!synced && left) left = std::move(synced);
    }
    left_->alone_failed = done && !left;
    return done ? left : done;
}

Spool::Spool(Storage& storage, const SpoolOptions& options)
    : storage_(&storage), options_(options) {
    begin_epoch();
    // With few large segments, dropping the oldest one when the spool is full would drop too much
    // at once.
    options_.segment_bytes = std::min(options_.segment_bytes, options_.bytes_max / 16);
}

void Spool::begin_epoch() {
    randombytes_buf(&epoch_, sizeof epoch_);
    next_number_ = 1;
}

std::uint64_t Spool::append(const SealedBatch& batch) {
    return take(batch, {epoch_, next_number_++}, false);
}

bool Spool::append_earlier(const SealedBatch& batch, BatchNumber number, bool sent) {
    // Numbers of a run ascend: what lies below one that is known was sealed before it.
    const bool known =
        std::any_of(numbering_.ranges().begin(), numbering_.ranges().end(), [&](const auto& range) {
            return range.first.epoch == number.epoch && number.number < range.next;
        });
    if (known || number.number == 0 || number.number >= kSequencesEnd) return false;
    take(batch, number, sent);
    return true;
}

std::uint64_t Spool::take(const SealedBatch& batch, BatchNumber number, bool sent) {
    retry();
    Waiting next;
    next.sequence = next_sequence_++;
    next.schema_hash = batch.body.schema_hash;
    next.samples = batch.body.sample_count;
    next.body = wire::encode_body(batch.body);
    next.schema = batch.schema;
    next.sent = sent;
    numbering_.note(next.sequence, number);
    newest_ = next;
    ++stats_.batches;
    if (!memory_.empty() || !write(next)) keep_in_memory(std::move(next));
    return newest_.sequence;
}

void Spool::retry() {
    while (!memory_.empty()) {
        if (!write(memory_.front())) return;
        stats_.memory_bytes -= memory_.front().bytes;
        --stats_.memory_batches;
        memory_.pop_front();
    }
}

bool Spool::write(const Waiting& batch) {
    make_room(batch.body.size());
    auto written = write_to_segment(batch);
    if (written) {
        stats_.disk_error.clear();
        return true;
    }
    note_disk_error(written.error());
    close_segment();
    return false;
}

Result<void> Spool::write_to_segment(const Waiting& batch) {
    if (!writer_ || segments_.back().bytes >= options_.segment_bytes)
        RL_TRY(open_segment(batch.sequence));
    Segment& segment = segments_.back();
    const std::uint64_t size_before = segment.bytes;
    const bool knows_schema =
        std::any_of(segment.schemas.begin(), segment.schemas.end(),
                    [&](const SchemaPlace& place) { return place.hash == batch.schema_hash; });
    ByteWriter out;
    if (!knows_schema) {
        out.u64(batch.schema_hash);
        out.text(wire::pack_schema(*batch.schema));
        RL_ASSIGN_OR_RETURN(const std::uint64_t offset,
                            writer_->append(kPackedSchemaRecord, out.bytes()));
        segment.schemas.push_back({batch.schema_hash, offset});
        out.clear();
    }
    const std::uint8_t type =
        write_batch({batch.sequence, numbering_.number_of(batch.sequence), batch.body}, out);
    RL_ASSIGN_OR_RETURN(const std::uint64_t offset, writer_->append(type, out.bytes()));
    Entry& entry = segment.entries.emplace_back();
    entry.sequence = batch.sequence;
    entry.offset = static_cast<std::uint32_t>(offset);
    entry.samples = batch.samples;
    entry.sent = batch.sent;
    ++segment.held;
    segment.bytes = writer_->size_bytes();
    stats_.bytes += segment.bytes - size_before;
    writer_dirty_ = true;
    if (batch.sent) append_note(kSentRecord, std::array{batch.sequence});
    return {};
}

Result<void> Spool::open_segment(std::uint64_t base) {
    close_segment();
    const std::string name = segment_name(base);
    auto created = SegmentWriter::create(*storage_, name, kFormat, base, options_.segment_bytes);
    if (!created) {
        // On a full disk the empty file would be left behind; if it cannot even be removed it does
        // no harm.
        (void)storage_->remove(name);
        return fail(std::move(created).error());
    }
    writer_ = std::move(*created);
    writer_dirty_ = true;
    directory_dirty_ = true;
    Segment& segment = segments_.emplace_back();
    segment.name = name;
    segment.base = base;
    segment.bytes = writer_->size_bytes();
    stats_.bytes += segment.bytes;
    remove_acked_segments();
    return {};
}

void Spool::close_segment() {
    if (!writer_) return;
    if (writer_dirty_) unsynced_.push_back(writer_->file());
    writer_dirty_ = false;
    writer_.reset();
    if (segments_.back().entries.empty()) remove_segment(segments_.size() - 1);
}

void Spool::keep_in_memory(Waiting batch) {
    const bool shares_schema = !memory_.empty() && memory_.back().schema == batch.schema;
    batch.bytes = batch.body.size() + (shares_schema ? 0 : batch.schema->size());
    stats_.memory_bytes += batch.bytes;
    ++stats_.memory_batches;
    memory_.push_back(std::move(batch));
    while (stats_.memory_bytes > options_.memory_bytes_max) {
        const Waiting& oldest = memory_.front();
        stats_.dropped_samples[static_cast<std::size_t>(DropReason::memory_full)] += oldest.samples;
        ++stats_.dropped_batches;
        stats_.memory_bytes -= oldest.bytes;
        --stats_.memory_batches;
        --stats_.batches;
        memory_.pop_front();
    }
}

void Spool::note_disk_error(const Error& error) {
    ++stats_.disk_errors;
    stats_.disk_error = error.context;
}

void Spool::make_room(std::uint64_t bytes) {
    while (!segments_.empty() && stats_.bytes + bytes > options_.bytes_max) {
        if (segments_.size() == 1) {
            close_segment();
            if (segments_.empty()) return;
        }
        const std::size_t index = segment_to_drop();
        if (segments_[index].part_unread) count_unread(segments_[index]);
        for (const Entry& entry : segments_[index].entries) {
            if (entry.acked) continue;
            stats_.dropped_samples[static_cast<std::size_t>(DropReason::spool_full)] +=
                entry.samples;
            stats_.dropped_batches += 1 + entry.merged;
            --stats_.batches;
        }
        remove_segment(index);
    }
}

// The oldest. One that could not be read to its end only when there is nothing else but what is
// being written: the next start may read it.
std::size_t Spool::segment_to_drop() const {
    const auto closed = std::prev(segments_.end());
    const auto whole = std::find_if(segments_.begin(), closed,
                                    [](const Segment& segment) { return !segment.part_unread; });
    return whole == closed ? 0 : static_cast<std::size_t>(whole - segments_.begin());
}

// What lies behind the place where the disk gave no more, now that it goes: its batches, if they
// can be read after all; the bytes, if they cannot.
void Spool::count_unread(const Segment& segment) {
    const std::uint64_t known = segment.entries.empty() ? 0 : segment.entries.back().sequence;
    std::uint64_t end_offset = kSegmentHeaderBytes;
    (void)scan_segment(*storage_, segment.name, kFormat, [&](const Record& record) {
        end_offset = record.end_offset;
        const auto batch = read_batch(record);
        if (!batch || batch->sequence <= known) return;
        const auto body = wire::decode_body(batch->body, wire::Limits{});
        if (!body) return;
        const auto range = wire::range_of(*body, batch->number_in_epoch());
        stats_.dropped_samples[static_cast<std::size_t>(DropReason::corrupt)] += body->sample_count;
        stats_.dropped_batches += range ? range->last - range->first + 1 : 1;
    });
    stats_.torn_bytes += segment.bytes - std::min(segment.bytes, end_offset);
}

void Spool::remove_segment(std::size_t index) {
    Segment& segment = segments_[index];
    if (reader_ && reader_->name == segment.name) reader_.reset();
    if (auto removed = storage_->remove(segment.name); !removed) note_disk_error(removed.error());
    stats_.bytes -= segment.bytes;
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(index));
}

// The last segment stays: it is being written. So does one of which a part is not known.
void Spool::remove_acked_segments() {
    for (std::size_t i = 0; i + 1 < segments_.size();) {
        if (segments_[i].held == 0 && !segments_[i].part_unread) {
            if (i > 0) keep_notes_of(segments_[i].name);
            remove_segment(i);
        } else {
            ++i;
        }
    }
    if (stats_.batches == 0) reader_.reset();
}

// Live data is acknowledged before a backlog is, so a segment may go before older ones of which it
// says what is acknowledged and what was sent. A restart that did not know that would merge such
// batches with others (thinning), and what the collector has of them would come twice.
void Spool::keep_notes_of(const std::string& name) {
    std::vector<std::uint64_t> acked;
    std::vector<std::uint64_t> sent;
    auto scan = scan_segment(*storage_, name, kFormat, [&](const Record& record) {
        for (const std::uint64_t sequence : read_sequences(record)) {
            const Segment* segment = find_segment(sequence);
            if (segment == nullptr || segment->name == name) continue;
            const auto entry = std::lower_bound(segment->entries.begin(), segment->entries.end(),
                                                sequence, before);
            if (entry == segment->entries.end() || entry->sequence != sequence) continue;
            (record.type == kSentRecord ? sent : acked).push_back(sequence);
        }
    });
    if (!scan) note_disk_error(scan.error());
    append_note(kAckedRecord, acked);
    append_note(kSentRecord, sent);
}

const Spool::Segment* Spool::find_segment(std::uint64_t sequence) const {
    const auto after =
        std::upper_bound(segments_.begin(), segments_.end(), sequence,
                         [](std::uint64_t s, const Segment& segment) { return s < segment.base; });
    return after == segments_.begin() ? nullptr : &*std::prev(after);
}

Spool::Segment* Spool::find_segment(std::uint64_t sequence) {
    return const_cast<Segment*>(std::as_const(*this).find_segment(sequence));
}

const Spool::Waiting* Spool::find_waiting(std::uint64_t sequence) const {
    const auto it = std::lower_bound(memory_.begin(), memory_.end(), sequence, waits_before);
    return it == memory_.end() || it->sequence != sequence ? nullptr : &*it;
}

Spool::Entry* Spool::find_entry(std::uint64_t sequence) {
    Segment* segment = find_segment(sequence);
    if (segment == nullptr) return nullptr;
    const auto entry =
        std::lower_bound(segment->entries.begin(), segment->entries.end(), sequence, before);
    const bool found = entry != segment->entries.end() && entry->sequence == sequence;
    return found && !entry->acked ? &*entry : nullptr;
}

std::optional<std::uint32_t> Spool::forget(std::uint64_t sequence) {
    if (Entry* entry = find_entry(sequence)) {
        entry->acked = true;
        --find_segment(sequence)->held;
        --stats_.batches;
        return entry->samples;
    }
    const Waiting* waiting = find_waiting(sequence);
    if (waiting == nullptr) return std::nullopt;
    const std::uint32_t samples = waiting->samples;
    stats_.memory_bytes -= waiting->bytes;
    --stats_.memory_batches;
    --stats_.batches;
    memory_.erase(std::lower_bound(memory_.begin(), memory_.end(), sequence, waits_before));
    return samples;
}

void Spool::ack(std::span<const std::uint64_t> sequences) {
    std::vector<std::uint64_t> known;
    for (const std::uint64_t sequence : sequences) {
        if (forget(sequence)) known.push_back(sequence);
    }
    append_note(kAckedRecord, known);
    remove_acked_segments();
}

void Spool::ack_range(std::uint64_t epoch, std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> held;
    for (const Numbering::Range& range : numbering_.ranges()) {
        const std::uint64_t begin = std::max(first, range.first.number);
        const std::uint64_t end = std::min(last, range.next - 1);
        if (range.first.epoch != epoch || begin > end) continue;
        const std::uint64_t from = range.from + (begin - range.first.number);
        const std::uint64_t until = from + (end - begin);
        for (auto next = next_held(from); next && *next <= until; next = next_held(*next + 1)) {
            const Entry* entry = find_entry(*next);
            // A thinned batch of which the collector has a part alone is sent: it has the rest.
            if (entry == nullptr || entry->first() >= from) held.push_back(*next);
        }
    }
    ack(held);
}

std::uint64_t Spool::first_unacked_number() const {
    const auto& ranges = numbering_.ranges();
    if (ranges.empty() || ranges.back().first.epoch != epoch_) return next_number_;
    const auto held = next_held(ranges.back().from);
    if (!held) return next_number_;
    std::uint64_t number = numbering_.number_of(*held).number;
    if (const Segment* segment = find_segment(*held)) {
        const auto entry =
            std::lower_bound(segment->entries.begin(), segment->entries.end(), *held, before);
        if (entry != segment->entries.end() && entry->sequence == *held) number -= entry->merged;
    }
    return number;
}

std::vector<std::uint64_t> Spool::earlier_epochs() const {
    std::vector<std::uint64_t> epochs;
    for (const Numbering::Range& range : numbering_.ranges()) {
        const std::uint64_t epoch = range.first.epoch;
        // A run has several ranges where some of its batches were lost.
        if (epoch == epoch_ || std::find(epochs.begin(), epochs.end(), epoch) != epochs.end())
            continue;
        const auto held = next_held(range.from);
        if (held && *held - range.from < range.next - range.first.number) epochs.push_back(epoch);
    }
    return epochs;
}

void Spool::drop(std::uint64_t sequence, DropReason reason) {
    const auto samples = forget(sequence);
    if (!samples) return;
    stats_.dropped_samples[static_cast<std::size_t>(reason)] += *samples;
    if (reason != DropReason::rejected) ++stats_.dropped_batches;
    append_note(kAckedRecord, std::array{sequence});
    remove_acked_segments();
}

// Best effort: without the record, a batch that was acknowledged is offered again after a restart,
// and the collector knows it; one that was sent may be merged with others after a power cut that
// took the record, and a part of it come twice, as coarse as it then is.
void Spool::append_note(std::uint8_t type, std::span<const std::uint64_t> sequences) {
    if (sequences.empty() || !writer_) return;
    ByteWriter out;
    for (const std::uint64_t sequence : sequences)
        out.u64(sequence);
    if (!writer_->append(type, out.bytes())) return;
    writer_dirty_ = true;
    Segment& segment = segments_.back();
    stats_.bytes += writer_->size_bytes() - segment.bytes;
    segment.bytes = writer_->size_bytes();
}

std::optional<std::uint64_t> Spool::next_held(std::uint64_t from) const {
    const Segment* start = find_segment(from);
    for (const Segment& segment : segments_) {
        if (segment.held == 0 || (start != nullptr && segment.base < start->base)) continue;
        auto entry = std::lower_bound(segment.entries.begin(), segment.entries.end(), from, before);
        while (entry != segment.entries.end() && entry->acked)
            ++entry;
        if (entry != segment.entries.end()) return entry->sequence;
    }
    const auto waiting = std::lower_bound(memory_.begin(), memory_.end(), from, waits_before);
    if (waiting == memory_.end()) return std::nullopt;
    return waiting->sequence;
}

std::optional<std::uint64_t> Spool::first_unacked() const {
    for (const Segment& segment : segments_) {
        for (const Entry& entry : segment.entries) {
            if (!entry.acked) return entry.first();
        }
    }
    return oldest();
}

void Spool::note_sent(std::uint64_t sequence) {
    const auto waiting = std::lower_bound(memory_.begin(), memory_.end(), sequence, waits_before);
    if (waiting != memory_.end() && waiting->sequence == sequence) waiting->sent = true;
    Entry* entry = find_entry(sequence);
    if (entry == nullptr || std::exchange(entry->sent, true)) return;
    append_note(kSentRecord, std::array{sequence});
}

bool Spool::awaits_sync() const {
    return std::any_of(segments_.begin(), segments_.end(), [](const Segment& segment) {
        return segment.name_state == Segment::Name::new_one;
    });
}

bool Spool::sendable(std::uint64_t sequence) const {
    const Segment* segment = find_segment(sequence);
    return segment == nullptr || segment->name_state == Segment::Name::settled;
}

Result<std::string> Spool::read(std::uint64_t sequence) {
    if (next_held(sequence) != sequence)
        return fail(Errc::not_found, "batch " + std::to_string(sequence) + " is not held");
    if (newest_.sequence == sequence) return newest_.body;
    if (const Waiting* waiting = find_waiting(sequence)) return waiting->body;
    const Segment& segment = *find_segment(sequence);
    const auto entry =
        std::lower_bound(segment.entries.begin(), segment.entries.end(), sequence, before);
    if (!reader_ || reader_->name != segment.name) {
        reader_.reset();
        auto reader = SegmentReader::open(*storage_, segment.name, kFormat);
        if (!reader && reader.error().code == Errc::corrupt) drop(sequence, DropReason::corrupt);
        if (!reader) return fail(std::move(reader).error());
        reader_ = CachedReader{segment.name, std::move(*reader)};
    }
    if (reader_->reader.offset() != entry->offset) reader_->reader.seek(entry->offset);
    auto record = reader_->reader.next();
    if (record && *record) {
        const auto batch = read_batch(**record);
        if (batch && batch->sequence == sequence) return std::string(batch->body);
    }
    if (!record && record.error().code != Errc::corrupt) return fail(std::move(record).error());
    drop(sequence, DropReason::corrupt);
    return fail(Errc::corrupt, "spool: batch " + std::to_string(sequence) + " is damaged");
}

Result<std::string> Spool::schema(std::uint64_t hash) {
    if (newest_.schema && newest_.schema_hash == hash) return *newest_.schema;
    for (const Waiting& waiting : memory_) {
        if (waiting.schema_hash == hash) return *waiting.schema;
    }
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
        for (const SchemaPlace& place : segment->schemas) {
            if (place.hash != hash) continue;
            RL_ASSIGN_OR_RETURN(auto reader,
                                SegmentReader::open(*storage_, segment->name, kFormat));
            reader.seek(place.offset);
            RL_ASSIGN_OR_RETURN(const auto record, reader.next());
            const auto found = record ? read_schema(*record) : std::nullopt;
            if (found && found->hash == hash) return found->encoded();
            break;
        }
    }
    return fail(Errc::not_found, "spool: no schema " + hex_u64(hash));
}

SyncWork Spool::take_unsynced() {
    SyncWork work;
    work.files_ = std::exchange(unsynced_, {});
    sync_what_is_left(work);
    if (writer_ && writer_dirty_) work.files_.push_back(writer_->file());
    writer_dirty_ = false;
    if (!std::exchange(directory_dirty_, false)) return work;
    work.directory_ = storage_;
    for (Segment& segment : segments_) {
        if (segment.name_state == Segment::Name::new_one)
            segment.name_state = Segment::Name::syncing;
    }
    return work;
}

void Spool::sync_what_is_left(SyncWork& work) {
    std::erase_if(left_unsynced_, [&](const std::string& name) {
        return std::none_of(segments_.begin(), segments_.end(),
                            [&](const Segment& segment) { return segment.name == name; });
    });
    left_syncing_.reset();
    if (left_unsynced_.empty()) return;
    left_syncing_ = std::make_shared<SyncWork::Left>();
    for (auto name =
             left_unsynced_.rbegin();  // the newest first: the others are there, most likely
         name != left_unsynced_.rend() && left_syncing_->files.size() < kLeftFilesMax; ++name) {
        if (auto file = storage_->open_append(*name))
            left_syncing_->files.push_back({*name, std::move(*file), false});
    }
    work.complete_ = left_syncing_->files.size() == left_unsynced_.size();
    if (left_syncing_->files.empty()) left_syncing_.reset();  // the disk does not open them
    work.left_ = left_syncing_;
}

void Spool::on_synced(const Result<void>& result) {
    for (Segment& segment : segments_) {
        if (segment.name_state == Segment::Name::syncing)
            segment.name_state = result ? Segment::Name::settled : Segment::Name::new_one;
    }
    const auto left = std::exchange(left_syncing_, nullptr);
    for (const auto& file : left ? left->files : std::vector<SyncWork::Left::File>{}) {
        if (file.synced) std::erase(left_unsynced_, file.name);
    }
    if (result) return;
    if (left && left->alone_failed) return note_disk_error(result.error());
    // After a failed fsync the kernel may have forgotten the dirty pages; what comes next goes to a
    // fresh file.
    note_disk_error(result.error());
    directory_dirty_ = true;
    close_segment();
}

}  // namespace ridgeline::agent
