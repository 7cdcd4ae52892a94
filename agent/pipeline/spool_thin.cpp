#include "agent/pipeline/spool_thin.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool_format.h"
#include "common/wire/block_codec.h"

namespace ridgeline::agent {

using namespace spool_format;

namespace {

constexpr std::array<std::uint32_t, 2> kResolutions_s = {10, 60};
// A batch of so many windows compresses well and is still small: 10 minutes, an hour.
constexpr std::int64_t kWindowsPerBatch = 60;
constexpr std::size_t kRunValuesMax = 200'000;
constexpr std::size_t kRunBytesMax = 2U << 20;
// Some milliseconds' worth.
constexpr std::size_t kRecordsPerStep = 32;
constexpr std::uint64_t kBytesPerStep = 128U << 10;

}  // namespace

ThinWork::ThinWork(Storage& storage, std::string segment, std::uint64_t base,
                   std::uint32_t resolution_s, std::vector<SpoolEntry> held,
                   std::uint64_t oldest_held)
    : storage_(&storage),
      segment_(std::move(segment)),
      file_(segment_ + std::string(kThinnedSuffix)),
      base_(base),
      resolution_s_(resolution_s),
      held_(std::move(held)),
      oldest_held_(oldest_held) {}

void ThinWork::step() {
    if (done_) return;
    if (auto stepped = try_step(); !stepped) {
        error_ = std::move(stepped).error();
        done_ = true;
    }
}

Result<void> ThinWork::try_step() {
    if (!writer_) {
        RL_ASSIGN_OR_RETURN(reader_, SegmentReader::open(*storage_, segment_, kFormat));
        RL_ASSIGN_OR_RETURN(writer_, SegmentWriter::create(*storage_, file_, kFormat, base_, 0));
    }
    const std::uint64_t until = reader_->offset() + kBytesPerStep;
    for (std::size_t i = 0; i < kRecordsPerStep && reader_->offset() < until; ++i) {
        RL_ASSIGN_OR_RETURN(const auto record, reader_->next());
        if (!record) return finish();
        RL_TRY(take(*record));
    }
    return {};
}

Result<void> ThinWork::take(const Record& record) {
    if (const auto schema = read_schema(record)) {
        RL_ASSIGN_OR_RETURN(std::string encoded, schema->encoded());
        RL_ASSIGN_OR_RETURN(Schema decoded, wire::decode_schema(encoded, wire::Limits{}));
        known_.push_back({schema->hash, std::move(encoded), std::move(decoded)});
        return {};
    }
    if (const auto batch = read_batch(record)) {
        const auto entry =
            std::lower_bound(held_.begin(), held_.end(), batch->sequence,
                             [](const SpoolEntry& e, std::uint64_t s) { return e.sequence < s; });
        const bool is_held = entry != held_.end() && entry->sequence == batch->sequence;
        return is_held ? take_batch(record, *entry) : Result<void>{};
    }
    auto& notes = record.type == kSentRecord ? sent_notes_ : acked_notes_;
    for (const std::uint64_t sequence : read_sequences(record)) {
        if (sequence >= oldest_held_) notes.push_back(sequence);
    }
    return {};
}

Result<void> ThinWork::take_batch(const Record& record, const SpoolEntry& entry) {
    const auto batch = read_batch(record);
    RL_ASSIGN_OR_RETURN(const wire::BatchBody body, wire::decode_body(batch->body, wire::Limits{}));
    const bool stays = entry.sent || entry.resolution_s >= resolution_s_;
    const KnownSchema* schema = known_schema(body.schema_hash);
    if (!stays && schema != nullptr) {
        RL_ASSIGN_OR_RETURN(bool added, add_to_run(record, entry, body, *schema));
        if (!added) {
            RL_TRY(end_run());
            RL_ASSIGN_OR_RETURN(added, add_to_run(record, entry, body, *schema));
        }
        if (added) return {};
    }
    RL_TRY(end_run());
    return copy(record.type, as_text(record.payload), entry, body.schema_hash);
}

// False when the batch cannot be of the run.
Result<bool> ThinWork::add_to_run(const Record& record, const SpoolEntry& entry,
                                  const wire::BatchBody& body, const KnownSchema& known) {
    const auto block = wire::decode_block(body.columns, known.schema, wire::Limits{});
    if (!block) return false;  // read() will find it, and count it
    const auto number = read_batch(record)->number;
    if (!run_.entries.empty()) {
        const bool same_run =
            run_.number.has_value() == number.has_value() &&
            (!number || (run_.number->epoch == number->epoch &&
                         run_.number->number + 1 + entry.merged == number->number));
        const bool follows = same_run && run_.entries.back().sequence + 1 == entry.first() &&
                             run_.schema_hash == body.schema_hash;
        const bool full =
            run_.thinner->values() >= kRunValuesMax || run_.bytes >= kRunBytesMax ||
            entry.sequence - run_.entries.front().first() >= wire::kMergedBatchesMax - 1 ||
            body.sealed_wall_ms - run_.begun_ms >= kWindowsPerBatch * 1000 * resolution_s_;
        if (!follows || full) return false;
    } else {
        // Four times as many names, and their ends, must not exceed a message.
        const bool roomy = 8 * known.encoded.size() < wire::Limits{}.message_bytes;
        run_.thinner.emplace(known.schema, std::chrono::seconds(resolution_s_),
                             roomy ? wire::Limits{}.series_per_schema : 0);
        run_.schema_hash = body.schema_hash;
        run_.begun_ms = body.sealed_wall_ms;
    }
    if (!run_.thinner->add(*block)) return false;
    run_.samples += block->sample_count();
    run_.thinned_before += body.thinned_samples;
    run_.bytes += record.payload.size();
    run_.payloads.emplace_back(as_text(record.payload));
    run_.entries.push_back(entry);
    run_.number = number;
    run_.last = body;
    run_.last.columns.clear();
    return true;
}

Result<void> ThinWork::end_run() {
    Run run = std::exchange(run_, Run{});
    if (run.entries.empty()) return {};
    Thinner::Thinned thinned = run.thinner->take();
    const std::size_t left = thinned.block.sample_count();
    wire::BatchBody body = run.last;
    body.schema_hash = schema_hash(thinned.schema);
    body.columns = wire::encode_block(thinned.block);
    const std::uint64_t merged = run.entries.back().sequence - run.entries.front().first();
    body.first_sequence = (run.number ? run.number->number : run.entries.back().sequence) - merged;
    body.resolution_s = resolution_s_;
    body.sample_count = static_cast<std::uint32_t>(left);
    body.thinned_samples =
        run.thinned_before + run.samples - std::min<std::size_t>(left, run.samples);
    const std::string encoded = wire::encode_body(body);
    if (left > run.samples || encoded.size() >= run.bytes) {  // nothing gained
        for (std::size_t i = 0; i < run.entries.size(); ++i)
            RL_TRY(copy(run.number ? kNumberedBatchRecord : kBatchRecord, run.payloads[i],
                        run.entries[i], run.schema_hash));
        return {};
    }
    RL_TRY(write_schema(body.schema_hash, wire::encode_schema(thinned.schema)));
    SpoolEntry entry;
    entry.sequence = run.entries.back().sequence;
    entry.samples = body.sample_count;
    entry.merged = static_cast<std::uint32_t>(merged);
    entry.resolution_s = static_cast<std::uint16_t>(resolution_s_);
    ByteWriter out;
    const std::uint8_t type = write_batch({entry.sequence, run.number, encoded}, out);
    RL_ASSIGN_OR_RETURN(const std::uint64_t offset, writer_->append(type, out.bytes()));
    entry.offset = static_cast<std::uint32_t>(offset);
    entries_.push_back(entry);
    for (const SpoolEntry& old : run.entries)
        merged_.push_back(old.sequence);
    thinned_samples_ += run.samples - left;
    return {};
}

Result<void> ThinWork::copy(std::uint8_t type, std::string_view payload, SpoolEntry entry,
                            std::uint64_t schema_hash) {
    if (const KnownSchema* known = known_schema(schema_hash))
        RL_TRY(write_schema(schema_hash, known->encoded));
    RL_ASSIGN_OR_RETURN(const std::uint64_t offset, writer_->append(type, as_bytes(payload)));
    entry.offset = static_cast<std::uint32_t>(offset);
    entries_.push_back(entry);
    return {};
}

Result<void> ThinWork::write_schema(std::uint64_t hash, std::string_view encoded) {
    const bool there =
        std::any_of(schemas_.begin(), schemas_.end(),
                    [&](const SpoolSchemaPlace& place) { return place.hash == hash; });
    if (there) return {};
    ByteWriter out;
    out.u64(hash);
    out.text(wire::pack_schema(encoded));
    RL_ASSIGN_OR_RETURN(const std::uint64_t offset,
                        writer_->append(kPackedSchemaRecord, out.bytes()));
    schemas_.push_back({hash, offset});
    return {};
}

Result<void> ThinWork::finish() {
    RL_TRY(end_run());
    for (const auto& [type, notes] :
         {std::pair(kAckedRecord, &acked_notes_), std::pair(kSentRecord, &sent_notes_)}) {
        if (notes->empty()) continue;
        ByteWriter out;
        for (const std::uint64_t sequence : *notes)
            out.u64(sequence);
        RL_TRY(writer_->append(type, out.bytes()));
    }
    RL_TRY(writer_->sync());
    reader_.reset();
    done_ = true;
    return {};
}

const ThinWork::KnownSchema* ThinWork::known_schema(std::uint64_t hash) const {
    const auto known = std::find_if(known_.begin(), known_.end(),
                                    [&](const KnownSchema& other) { return other.hash == hash; });
    return known == known_.end() ? nullptr : &*known;
}

// The oldest closed segment that is not that coarse yet; none when what is finer takes no more than
// its share.
std::size_t Spool::segment_to_thin(std::uint32_t resolution_s) const {
    const std::size_t none = segments_.size();
    const std::uint32_t finer_from = resolution_s == kResolutions_s[0] ? 0 : kResolutions_s[0];
    const auto is_finer = [&](const Segment& segment) {
        return segment.resolution_s >= finer_from && segment.resolution_s < resolution_s;
    };
    double finer_bytes = 0;
    for (const Segment& segment : segments_)
        finer_bytes += is_finer(segment) ? static_cast<double>(segment.bytes) : 0;
    if (finer_bytes <= kFineShare * static_cast<double>(options_.bytes_max)) return none;
    const std::size_t closed = writer_ ? segments_.size() - 1 : segments_.size();
    for (std::size_t i = 0; i < closed; ++i) {
        // What could not be read of a segment would not be in the file that takes its place.
        if (is_finer(segments_[i]) && segments_[i].held > 0 && !segments_[i].part_unread) return i;
    }
    return none;
}

std::shared_ptr<ThinWork> Spool::begin_thinning() {
    const double used = static_cast<double>(stats_.bytes);
    if (used <= kThinAbove * static_cast<double>(options_.bytes_max) || !memory_.empty())
        return nullptr;
    for (const std::uint32_t resolution_s : kResolutions_s) {
        const std::size_t index = segment_to_thin(resolution_s);
        if (index == segments_.size()) continue;
        const Segment& segment = segments_[index];
        std::vector<Entry> held;
        std::copy_if(segment.entries.begin(), segment.entries.end(), std::back_inserter(held),
                     [](const Entry& entry) { return !entry.acked; });
        return std::shared_ptr<ThinWork>(new ThinWork(*storage_, segment.name, segment.base,
                                                      resolution_s, std::move(held),
                                                      first_unacked().value_or(segment.base)));
    }
    return nullptr;
}

void Spool::finish_thinning(ThinWork& work) {
    work.reader_.reset();
    const auto segment =
        std::find_if(segments_.begin(), segments_.end(),
                     [&](const Segment& other) { return other.name == work.segment_; });
    const bool changed =
        segment == segments_.end() ||
        std::any_of(work.merged_.begin(), work.merged_.end(), [&](std::uint64_t sequence) {
            const Entry* entry = find_entry(sequence);
            return entry == nullptr || entry->sent;  // acknowledged, dropped or sent meanwhile
        });
    if (segment != segments_.end() && !changed) segment->resolution_s = work.resolution_s_;
    Result<void> replaced;
    if (work.error_) replaced = fail(*work.error_);
    if (replaced && !changed && !work.merged_.empty())
        replaced = storage_->rename(work.file_, work.segment_);
    // A damaged segment is found, and counted, by who reads it; one that is gone is no error.
    if (!replaced && replaced.error().code != Errc::corrupt && segment != segments_.end())
        note_disk_error(replaced.error());
    if (!replaced || changed || work.merged_.empty()) {
        (void)storage_->remove(work.file_);  // else at the next start
        return;
    }
    for (Entry& entry : work.entries_) {
        if (entry.merged > 0 && entry.resolution_s == work.resolution_s_) continue;
        const Entry* before = find_entry(entry.sequence);
        entry.acked = before == nullptr;
        entry.sent = before != nullptr && before->sent;
    }
    if (reader_ && reader_->name == segment->name) reader_.reset();
    if (find_segment(newest_.sequence) == &*segment) newest_ = Waiting{};
    stats_.batches -= segment->held;
    stats_.bytes -= segment->bytes;
    segment->entries = std::move(work.entries_);
    segment->schemas = std::move(work.schemas_);
    segment->bytes = work.writer_->size_bytes();
    segment->held =
        static_cast<std::size_t>(std::count_if(segment->entries.begin(), segment->entries.end(),
                                               [](const Entry& entry) { return !entry.acked; }));
    segment->name_state = Segment::Name::new_one;
    directory_dirty_ = true;
    stats_.batches += segment->held;
    stats_.bytes += segment->bytes;
    stats_.thinned_samples += work.thinned_samples_;
}

}  // namespace ridgeline::agent
