#include "collector/log/record_codec.h"

#include "common/wire/column_codec.h"

namespace ridgeline::collector {

namespace {

using wire::put_varint;

void put_text(std::string& out, std::string_view text) {
    put_varint(out, text.size());
    out += text;
}

void put_map(std::string& out, const std::map<std::string, std::string>& map) {
    put_varint(out, map.size());
    for (const auto& [key, value] : map) {
        put_text(out, key);
        put_text(out, value);
    }
}

tl::unexpected<Error> damaged(const char* what) {
    return fail(Errc::corrupt, std::string("log: damaged ") + what + " record");
}

// Takes fields off the front; once one is missing, ok stays false and all further fields are empty.
struct Fields {
    std::string_view in;
    bool ok = true;

    std::uint64_t varint() {
        const auto value = ok ? wire::take_varint(in) : std::nullopt;
        ok = value.has_value();
        return value.value_or(0);
    }
    std::string_view text() {
        const std::uint64_t length = varint();
        if (length > in.size()) ok = false;
        if (!ok) return {};
        const std::string_view value = in.substr(0, static_cast<std::size_t>(length));
        in.remove_prefix(value.size());
        return value;
    }
    std::map<std::string, std::string> map() {
        std::map<std::string, std::string> out;
        for (std::uint64_t n = varint(); ok && n > 0; --n) {
            const std::string key(text());
            out[key] = std::string(text());
        }
        return out;
    }
};

}  // namespace

std::string encode_record(const DurableRecord& record) {
    std::string out;
    put_varint(out, record.position);
    return out;
}

std::string encode_record(const SnapshotRecord& record) {
    std::string out;
    put_varint(out, static_cast<std::uint64_t>(record.created_ms));
    out += record.book;
    return out;
}

std::string encode_record(const SchemaRecord& record) {
    std::string out;
    put_text(out, record.host);
    put_varint(out, record.hash);
    out += record.schema;
    return out;
}

std::string encode_record(const BatchRecord& record) {
    std::string out;
    out.reserve(record.body.size() + record.host.size() + 40);
    put_text(out, record.host);
    put_varint(out, record.epoch);
    put_varint(out, record.sequence);
    put_varint(out, record.backlog ? 1 : 0);
    put_varint(out, static_cast<std::uint64_t>(record.received_ms));
    out += record.body;
    return out;
}

std::string encode_record(const HostInfo& host) {
    std::string out;
    put_text(out, host.host_id);
    put_text(out, host.agent_version);
    put_text(out, host.boot_id);
    put_map(out, host.tags);
    put_map(out, host.facts);
    return out;
}

Result<DurableRecord> decode_durable_record(std::string_view bytes) {
    Fields fields{bytes};
    const DurableRecord record{fields.varint()};
    if (!fields.ok) return damaged("durable");
    return record;
}

Result<SnapshotRecord> decode_snapshot(std::string_view bytes) {
    Fields fields{bytes};
    SnapshotRecord record;
    record.created_ms = static_cast<std::int64_t>(fields.varint());
    record.book = fields.in;
    if (!fields.ok) return damaged("snapshot");
    return record;
}

Result<SchemaRecord> decode_schema_record(std::string_view bytes) {
    Fields fields{bytes};
    SchemaRecord record;
    record.host = fields.text();
    record.hash = fields.varint();
    record.schema = fields.in;
    if (!fields.ok) return damaged("schema");
    return record;
}

Result<BatchRecord> decode_batch_record(std::string_view bytes) {
    Fields fields{bytes};
    BatchRecord record;
    record.host = fields.text();
    record.epoch = fields.varint();
    record.sequence = fields.varint();
    record.backlog = fields.varint() != 0;
    record.received_ms = static_cast<std::int64_t>(fields.varint());
    record.body = fields.in;
    if (!fields.ok) return damaged("batch");
    return record;
}

Result<HostInfo> decode_host_record(std::string_view bytes) {
    Fields fields{bytes};
    HostInfo host;
    host.host_id = std::string(fields.text());
    host.agent_version = std::string(fields.text());
    host.boot_id = std::string(fields.text());
    host.tags = fields.map();
    host.facts = fields.map();
    if (!fields.ok || !fields.in.empty()) return damaged("host");
    return host;
}

}  // namespace ridgeline::collector
