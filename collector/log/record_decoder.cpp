#include "collector/log/record_decoder.h"

#include "collector/log/record_codec.h"
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

void RecordDecoder::begin_segment(LogPosition base) {
    base_ = base;
    std::erase_if(schemas_, [](const auto& entry) { return !entry.second.in_this_segment; });
    for (auto& [key, known] : schemas_)
        known.in_this_segment = false;
}

bool RecordDecoder::learn(const Record& record) {
    const std::string_view payload = as_text(record.payload);
    if (record.type == static_cast<std::uint8_t>(LogRecordType::host)) {
        auto host = decode_host_record(payload);
        if (!host) return false;
        const std::string id = host->host_id;
        hosts_[id] = std::make_shared<const HostInfo>(std::move(*host));
        return true;
    }
    if (record.type != static_cast<std::uint8_t>(LogRecordType::schema)) return false;
    const auto schema_record = decode_schema_record(payload);
    if (!schema_record) return false;
    KnownSchema& known = schemas_[{std::string(schema_record->host), schema_record->hash}];
    known.in_this_segment = true;
    if (known.schema) return true;
    auto shared = pool_.find(schema_record->hash, schema_record->schema);
    if (!shared) {
        auto schema = wire::decode_schema(schema_record->schema, reading_limits());
        if (!schema) return false;
        shared =
            pool_.add(schema_record->hash, std::string(schema_record->schema), std::move(*schema));
    }
    // A pointer of this host's own: whoever counts its users does not count other hosts'.
    const Schema* schema = &shared->schema;
    known.schema = {std::make_shared<decltype(shared)>(std::move(shared)), schema};
    return true;
}

Result<LogBatch> RecordDecoder::batch(const Record& record) {
    RL_ASSIGN_OR_RETURN(const BatchRecord found, decode_batch_record(as_text(record.payload)));
    RL_ASSIGN_OR_RETURN(const auto body, wire::decode_body(found.body, reading_limits()));
    const auto host = hosts_.find(found.host);
    if (host == hosts_.end()) return fail(Errc::corrupt, "log: the host of a batch is missing");
    const auto schema = schemas_.find({std::string(found.host), body.schema_hash});
    if (schema == schemas_.end() || !schema->second.schema)
        return fail(Errc::corrupt, "log: the schema of a batch is missing");
    RL_ASSIGN_OR_RETURN(const auto range, wire::range_of(body, found.sequence));
    LogBatch batch;
    batch.first_sequence = range.first;
    batch.resolution_s = body.resolution_s;
    batch.thinned_samples = body.thinned_samples;
    RL_ASSIGN_OR_RETURN(batch.block,
                        blocks_.decode(body.columns, *schema->second.schema, reading_limits()));
    batch.host = host->second;
    batch.schema = schema->second.schema;
    batch.schema_hash = body.schema_hash;
    batch.epoch = found.epoch;
    batch.sequence = found.sequence;
    batch.backlog = found.backlog;
    batch.received = from_unix_ms(found.received_ms);
    batch.position = base_ + record.offset;
    batch.next_position = base_ + record.end_offset;
    return batch;
}

}  // namespace ridgeline::collector
