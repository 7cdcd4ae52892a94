#include "collector/log/file_log_reader.h"

#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::collector {

namespace {

// Everything was within the limits of ingest when it was written; these only bound what damaged
// bytes can ask for.
wire::Limits reading_limits() {
    wire::Limits limits;
    limits.message_bytes = kRecordBytesMax;
    limits.series_per_schema = 1'000'000;
    limits.samples_per_batch = 20'000'000;
    return limits;
}

}  // namespace

// Opens the segment that holds position_ and reads its hosts and schemas up to there. False:
// nothing there yet.
Result<bool> FileLogReader::open_segment() {
    segment_.reset();
    const auto& segments = log_.segments();
    const Log::SegmentInfo* found = nullptr;
    for (const auto& segment : segments) {
        if (segment.end > position_) {
            found = &segment;
            break;
        }
    }
    if (found == nullptr) return false;
    if (found->base > position_) {
        stats_.bytes_fell_off += found->base - position_;
        position_ = found->base;
    }
    RL_ASSIGN_OR_RETURN(segment_, SegmentReader::open(log_.storage(), found->name, kLogFormat));
    segment_base_ = found->base;
    std::erase_if(schemas_, [](const auto& entry) { return !entry.second.in_this_segment; });
    for (auto& [key, known] : schemas_)
        known.in_this_segment = false;
    while (segment_base_ + segment_->offset() < position_) {
        const auto record = segment_->next();
        if (!record || !*record) break;
        learn(**record);
    }
    // A position inside a record (it cannot be one that a reader saved) goes on with the record
    // after it.
    if (segment_base_ + segment_->offset() > position_)
        position_ = segment_base_ + segment_->offset();
    return true;
}

void FileLogReader::learn(const Record& record) {
    const std::string_view payload = as_text(record.payload);
    if (record.type == static_cast<std::uint8_t>(LogRecordType::host)) {
        if (auto host = decode_host_record(payload)) {
            const std::string id = host->host_id;
            hosts_[id] = std::make_shared<const HostInfo>(std::move(*host));
        }
    } else if (record.type == static_cast<std::uint8_t>(LogRecordType::schema)) {
        const auto schema_record = decode_schema_record(payload);
        if (!schema_record) return;
        KnownSchema& known = schemas_[{std::string(schema_record->host), schema_record->hash}];
        known.in_this_segment = true;
        if (known.schema) return;
        if (auto schema = wire::decode_schema(schema_record->schema, reading_limits())) {
            known.schema = std::make_shared<const Schema>(std::move(*schema));
        }
    }
}

std::optional<LogBatch> FileLogReader::make_batch(const Record& record) {
    const auto batch_record = decode_batch_record(as_text(record.payload));
    if (!batch_record) return {};
    const auto body = wire::decode_body(batch_record->body, reading_limits());
    if (!body) return {};
    const auto host = hosts_.find(batch_record->host);
    const auto schema = schemas_.find({std::string(batch_record->host), body->schema_hash});
    if (host == hosts_.end() || schema == schemas_.end() || !schema->second.schema) return {};
    auto block = wire::decode_block(body->columns, *schema->second.schema, reading_limits());
    if (!block) return {};
    LogBatch batch;
    batch.host = host->second;
    batch.schema = schema->second.schema;
    batch.schema_hash = body->schema_hash;
    batch.epoch = batch_record->epoch;
    batch.sequence = batch_record->sequence;
    batch.backlog = batch_record->backlog;
    batch.received = from_unix_ms(batch_record->received_ms);
    batch.block = std::move(*block);
    batch.position = segment_base_ + record.offset;
    batch.next_position = segment_base_ + record.end_offset;
    stats_.samples += batch.block.sample_count();  // not what the body claims
    ++stats_.batches;
    return batch;
}

Result<std::optional<LogBatch>> FileLogReader::next() {
    while (position_ < log_.durable_position()) {
        if (!segment_) {
            RL_ASSIGN_OR_RETURN(const bool opened, open_segment());
            if (!opened) return std::optional<LogBatch>{};
            continue;
        }
        const Log::SegmentInfo* here = nullptr;
        for (const auto& segment : log_.segments()) {
            if (segment.base == segment_base_) here = &segment;
        }
        // Trimmed under us, or read to its end: the next one is found by position.
        if (here == nullptr || position_ >= here->end) {
            segment_.reset();
            continue;
        }
        const auto record = segment_->next();
        if (!record || !*record) {
            if (!record && record.error().code != Errc::corrupt) return fail(record.error());
            // Damaged, or cut short although the log goes on: what follows in this segment cannot
            // be trusted.
            ++stats_.records_skipped;
            position_ = here->end;
            segment_.reset();
            continue;
        }
        position_ = segment_base_ + (*record)->end_offset;
        if ((*record)->type != static_cast<std::uint8_t>(LogRecordType::batch)) {
            learn(**record);
            continue;
        }
        if (auto batch = make_batch(**record)) return std::optional<LogBatch>(std::move(*batch));
        ++stats_.records_skipped;
    }
    return std::optional<LogBatch>{};
}

}  // namespace ridgeline::collector
