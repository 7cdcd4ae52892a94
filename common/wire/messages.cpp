#include "common/wire/messages.h"

#include <utility>

#include <google/protobuf/stubs/logging.h>

#include "ridgeline.pb.h"

namespace ridgeline::wire {

namespace {

constexpr std::size_t kTagsMax = 128;
constexpr std::size_t kSequencesMax = 100'000;

template <class ProtoMap>
void put_map(const TextMap& from, ProtoMap& to) {
    for (const auto& [key, value] : from)
        to[key] = value;
}

template <class ProtoMap>
Result<TextMap> take_map(const ProtoMap& from, const Limits& limits) {
    if (from.size() > kTagsMax) return fail(Errc::limit, "too many tags or facts");
    TextMap out;
    for (const auto& [key, value] : from) {
        if (key.size() > limits.text_bytes || value.size() > limits.text_bytes) {
            return fail(Errc::limit, "a tag or fact is too long");
        }
        out[key] = value;
    }
    return out;
}

template <class ProtoRanges>
void put_ranges(const std::vector<SequenceRange>& from, ProtoRanges& to) {
    for (const SequenceRange& range : from) {
        auto& r = *to.Add();
        r.set_first(range.first);
        r.set_last(range.last);
    }
}

template <class ProtoRanges>
Result<std::vector<SequenceRange>> take_ranges(const ProtoRanges& from, const Limits& limits) {
    if (static_cast<std::size_t>(from.size()) > limits.ranges_per_welcome)
        return fail(Errc::limit, "welcome: too many ranges");
    std::vector<SequenceRange> ranges;
    for (const auto& range : from) {
        if (range.first() > range.last())
            return fail(Errc::corrupt, "welcome: a range ends before it begins");
        ranges.push_back({range.first(), range.last()});
    }
    return ranges;
}

void put(const Hello& m, v1::Message& out) {
    auto& p = *out.mutable_hello();
    p.set_protocol_version(m.protocol_version);
    p.set_host_id(m.host_id);
    p.set_agent_version(m.agent_version);
    p.set_epoch(m.epoch);
    p.set_first_unacked(m.first_unacked);
    p.set_next_sequence(m.next_sequence);
    p.set_schema_hash(m.schema_hash);
    p.set_boot_id(m.boot_id);
    put_map(m.tags, *p.mutable_tags());
    put_map(m.facts, *p.mutable_facts());
    p.set_wall_ms(m.wall_ms);
    p.set_mono_ms(m.mono_ms);
    p.set_can_wait(m.can_wait);
    for (const std::uint64_t epoch : m.earlier_epochs)
        p.add_earlier_epochs(epoch);
    p.set_dropped_batches(m.dropped_batches);
}

void put(const Welcome& m, v1::Message& out) {
    auto& p = *out.mutable_welcome();
    p.set_protocol_version(m.protocol_version);
    p.set_collector_version(m.collector_version);
    p.set_credit(m.credit);
    p.set_server_wall_ms(m.server_wall_ms);
    put_ranges(m.durable, *p.mutable_durable());
    for (const EpochDurable& earlier : m.earlier) {
        auto& e = *p.add_earlier();
        e.set_epoch(earlier.epoch);
        put_ranges(earlier.durable, *e.mutable_durable());
    }
}

void put(const Batch& m, v1::Message& out) {
    auto& p = *out.mutable_batch();
    p.set_host_id(m.host_id);
    p.set_epoch(m.epoch);
    p.set_sequence(m.sequence);
    p.set_backlog(m.backlog);
    p.set_body(m.body);
}

void put(const Ack& m, v1::Message& out) {
    auto& p = *out.mutable_ack();
    p.set_epoch(m.epoch);
    for (const std::uint64_t sequence : m.sequences)
        p.add_sequences(sequence);
}

void put(const SchemaRequest& m, v1::Message& out) {
    out.mutable_schema_request()->set_schema_hash(m.schema_hash);
}

void put(const SchemaReply& m, v1::Message& out) {
    auto& p = *out.mutable_schema_reply();
    p.set_schema_hash(m.schema_hash);
    p.set_schema(encode_schema(m.schema));
}

void put(const Reject& m, v1::Message& out) {
    auto& p = *out.mutable_reject();
    p.set_epoch(m.epoch);
    p.set_sequence(m.sequence);
    p.set_reason(static_cast<v1::Reject::Reason>(m.reason));
    p.set_detail(m.detail);
    p.set_retry_after_ms(m.retry_after_ms);
}

void put(const Enroll& m, v1::Message& out) {
    auto& p = *out.mutable_enroll();
    p.set_host_id(m.host_id);
    p.set_public_key(m.public_key);
    p.set_agent_version(m.agent_version);
}

void put(const EnrollReply& m, v1::Message& out) {
    auto& p = *out.mutable_enroll_reply();
    p.set_result(static_cast<v1::EnrollReply::Result>(m.result));
    p.set_detail(m.detail);
    put_map(m.tags, *p.mutable_tags());
}

void put(const KeyChange& m, v1::Message& out) {
    out.mutable_key_change()->set_public_key(m.public_key);
}

void put(const KeyChangeReply& m, v1::Message& out) {
    auto& p = *out.mutable_key_change_reply();
    p.set_accepted(m.accepted);
    p.set_detail(m.detail);
}

Result<Message> take(const v1::Hello& p, const Limits& limits) {
    if (p.host_id().size() > limits.text_bytes || p.agent_version().size() > limits.text_bytes ||
        p.boot_id().size() > limits.text_bytes) {
        return fail(Errc::limit, "hello: a text is too long");
    }
    Hello m;
    m.protocol_version = p.protocol_version();
    m.host_id = p.host_id();
    m.agent_version = p.agent_version();
    m.epoch = p.epoch();
    m.first_unacked = p.first_unacked();
    m.next_sequence = p.next_sequence();
    m.schema_hash = p.schema_hash();
    m.boot_id = p.boot_id();
    RL_ASSIGN_OR_RETURN(m.tags, take_map(p.tags(), limits));
    RL_ASSIGN_OR_RETURN(m.facts, take_map(p.facts(), limits));
    m.wall_ms = p.wall_ms();
    m.mono_ms = p.mono_ms();
    m.can_wait = p.can_wait();
    if (static_cast<std::size_t>(p.earlier_epochs_size()) > limits.epochs_per_hello)
        return fail(Errc::limit, "hello: too many earlier epochs");
    m.earlier_epochs.assign(p.earlier_epochs().begin(), p.earlier_epochs().end());
    m.dropped_batches = p.dropped_batches();
    return Message{std::move(m)};
}

Result<Message> take(const v1::Welcome& p, const Limits& limits) {
    if (static_cast<std::size_t>(p.earlier_size()) > limits.epochs_per_hello)
        return fail(Errc::limit, "welcome: too many earlier epochs");
    Welcome m;
    m.protocol_version = p.protocol_version();
    m.collector_version = p.collector_version();
    m.credit = p.credit();
    m.server_wall_ms = p.server_wall_ms();
    RL_ASSIGN_OR_RETURN(m.durable, take_ranges(p.durable(), limits));
    for (const auto& e : p.earlier()) {
        RL_ASSIGN_OR_RETURN(auto durable, take_ranges(e.durable(), limits));
        m.earlier.push_back({e.epoch(), std::move(durable)});
    }
    return Message{std::move(m)};
}

Result<Message> take(const v1::Batch& p, const Limits& limits) {
    if (p.host_id().size() > limits.text_bytes)
        return fail(Errc::limit, "batch: the host id is too long");
    return Message{Batch{p.host_id(), p.epoch(), p.sequence(), p.backlog(), p.body()}};
}

Result<Message> take(const v1::Ack& p) {
    if (static_cast<std::size_t>(p.sequences_size()) > kSequencesMax) {
        return fail(Errc::limit, "ack: too many sequences");
    }
    return Message{Ack{p.epoch(), {p.sequences().begin(), p.sequences().end()}}};
}

Result<Message> take(const v1::SchemaReply& p, const Limits& limits) {
    RL_ASSIGN_OR_RETURN(Schema schema, decode_schema(p.schema(), limits));
    return Message{SchemaReply{p.schema_hash(), std::move(schema)}};
}

Result<Message> take(const v1::Reject& p, const Limits& limits) {
    Reject m;
    m.epoch = p.epoch();
    m.sequence = p.sequence();
    m.reason = static_cast<RejectReason>(p.reason());
    m.detail = p.detail().substr(0, limits.text_bytes);
    m.retry_after_ms = p.retry_after_ms();
    return Message{std::move(m)};
}

Result<Message> take(const v1::Enroll& p, const Limits& limits) {
    if (p.host_id().size() > limits.text_bytes || p.public_key().size() > limits.text_bytes ||
        p.agent_version().size() > limits.text_bytes) {
        return fail(Errc::limit, "enroll: a text is too long");
    }
    return Message{Enroll{p.host_id(), p.public_key(), p.agent_version()}};
}

Result<Message> take(const v1::EnrollReply& p, const Limits& limits) {
    EnrollReply m;
    m.result = static_cast<EnrollResult>(p.result());
    m.detail = p.detail().substr(0, limits.text_bytes);
    RL_ASSIGN_OR_RETURN(m.tags, take_map(p.tags(), limits));
    return Message{std::move(m)};
}

Result<Message> take(const v1::KeyChange& p, const Limits& limits) {
    if (p.public_key().size() > limits.text_bytes)
        return fail(Errc::limit, "key change: the key is too long");
    return Message{KeyChange{p.public_key()}};
}

Result<Message> take(const v1::KeyChangeReply& p, const Limits& limits) {
    return Message{KeyChangeReply{p.accepted(), p.detail().substr(0, limits.text_bytes)}};
}

template <class Proto>
std::string serialise(const Proto& proto) {
    std::string bytes;
    proto.SerializeToString(&bytes);
    return bytes;
}

template <class Proto>
Result<Proto> parse(std::string_view bytes, const char* what) {
    // libprotobuf would write a line of its own to stderr for every text that is not UTF-8: a peer
    // could flood the log.
    static const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);
    static_cast<void>(quiet);
    Proto proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return fail(Errc::corrupt, std::string(what) + ": not a message of that kind");
    }
    return proto;
}

}  // namespace

std::string encode(const Message& message) {
    v1::Message out;
    std::visit([&](const auto& m) { put(m, out); }, message);
    return serialise(out);
}

Result<Message> decode(std::string_view bytes, const Limits& limits) {
    if (bytes.size() > limits.message_bytes)
        return fail(Errc::limit, "message: larger than the limit");
    RL_ASSIGN_OR_RETURN(const auto proto, parse<v1::Message>(bytes, "message"));
    switch (proto.kind_case()) {
        case v1::Message::kHello:
            return take(proto.hello(), limits);
        case v1::Message::kWelcome:
            return take(proto.welcome(), limits);
        case v1::Message::kBatch:
            return take(proto.batch(), limits);
        case v1::Message::kAck:
            return take(proto.ack());
        case v1::Message::kSchemaRequest:
            return Message{SchemaRequest{proto.schema_request().schema_hash()}};
        case v1::Message::kSchemaReply:
            return take(proto.schema_reply(), limits);
        case v1::Message::kReject:
            return take(proto.reject(), limits);
        case v1::Message::kEnroll:
            return take(proto.enroll(), limits);
        case v1::Message::kEnrollReply:
            return take(proto.enroll_reply(), limits);
        case v1::Message::kKeyChange:
            return take(proto.key_change(), limits);
        case v1::Message::kKeyChangeReply:
            return take(proto.key_change_reply(), limits);
        case v1::Message::KIND_NOT_SET:
            break;
    }
    return fail(Errc::unsupported, "message: of a kind this version does not know");
}

std::optional<std::uint64_t> schema_hash_of_reply(std::string_view message) {
    const auto proto = parse<v1::Message>(message, "message");
    if (!proto || proto->kind_case() != v1::Message::kSchemaReply) return std::nullopt;
    return proto->schema_reply().schema_hash();
}

std::string encode_body(const BatchBody& body) {
    v1::BatchBody out;
    out.set_schema_hash(body.schema_hash);
    out.set_sealed_wall_ms(body.sealed_wall_ms);
    out.set_sealed_mono_ms(body.sealed_mono_ms);
    out.set_sample_count(body.sample_count);
    out.set_columns(body.columns);
    out.set_first_sequence(body.first_sequence);
    out.set_resolution_s(body.resolution_s);
    out.set_thinned_samples(body.thinned_samples);
    return serialise(out);
}

Result<BatchBody> decode_body(std::string_view bytes, const Limits& limits) {
    if (bytes.size() > limits.message_bytes)
        return fail(Errc::limit, "batch: larger than the limit");
    RL_ASSIGN_OR_RETURN(auto proto, parse<v1::BatchBody>(bytes, "batch"));
    BatchBody body;
    body.schema_hash = proto.schema_hash();
    body.sealed_wall_ms = proto.sealed_wall_ms();
    body.sealed_mono_ms = proto.sealed_mono_ms();
    body.sample_count = proto.sample_count();
    body.columns = std::move(*proto.mutable_columns());
    body.first_sequence = proto.first_sequence();
    body.resolution_s = proto.resolution_s();
    body.thinned_samples = proto.thinned_samples();
    return body;
}

Result<SequenceRange> range_of(const BatchBody& body, std::uint64_t sequence) {
    if (body.first_sequence == 0) return SequenceRange{sequence, sequence};
    if (body.first_sequence > sequence || sequence - body.first_sequence >= kMergedBatchesMax)
        return fail(Errc::corrupt, "batch: stands for batches that cannot be");
    return SequenceRange{body.first_sequence, sequence};
}

std::string encode_schema(const Schema& schema) {
    v1::Schema out;
    for (const SchemaGroup& group : schema.groups) {
        auto& g = *out.add_groups();
        g.set_source(group.source);
        for (const SeriesDescriptor& series : group.series) {
            auto& s = *g.add_series();
            s.set_metric(series.metric);
            for (const Attribute& attribute : series.attributes) {
                s.add_attributes(attribute.key);
                s.add_attributes(attribute.value);
            }
        }
    }
    return serialise(out);
}

namespace {

Result<SeriesDescriptor> take_series(const v1::Series& p, const Limits& limits) {
    if (p.metric().empty() || p.metric().size() > limits.text_bytes) {
        return fail(Errc::limit, "schema: a metric's name is empty or too long");
    }
    const auto texts = static_cast<std::size_t>(p.attributes_size());
    if (texts % 2 != 0) return fail(Errc::corrupt, "schema: an attribute without a value");
    if (texts / 2 > limits.attributes_per_series)
        return fail(Errc::limit, "schema: too many attributes");
    SeriesDescriptor series{p.metric(), {}};
    for (int i = 0; i + 1 < p.attributes_size(); i += 2) {
        if (p.attributes(i).size() > limits.text_bytes ||
            p.attributes(i + 1).size() > limits.text_bytes) {
            return fail(Errc::limit, "schema: an attribute is too long");
        }
        if (!series.attributes.empty() && series.attributes.back().key >= p.attributes(i)) {
            return fail(Errc::corrupt, "schema: attributes are not sorted by key");
        }
        series.attributes.push_back({p.attributes(i), p.attributes(i + 1)});
    }
    return series;
}

}  // namespace

Result<Schema> decode_schema(std::string_view bytes, const Limits& limits) {
    if (bytes.size() > limits.message_bytes)
        return fail(Errc::limit, "schema: larger than the limit");
    RL_ASSIGN_OR_RETURN(const auto proto, parse<v1::Schema>(bytes, "schema"));
    Schema schema;
    std::size_t series_count = 0;
    for (const auto& g : proto.groups()) {
        series_count +=
            static_cast<std::size_t>(g.series_size()) + 1;  // a group without series costs as much
        if (series_count > limits.series_per_schema)
            return fail(Errc::limit, "schema: too many series");
        if (g.source().size() > limits.text_bytes)
            return fail(Errc::limit, "schema: a source's name is too long");
        SchemaGroup group{g.source(), {}};
        group.series.reserve(static_cast<std::size_t>(g.series_size()));
        for (const auto& s : g.series()) {
            RL_ASSIGN_OR_RETURN(SeriesDescriptor series, take_series(s, limits));
            group.series.push_back(std::move(series));
        }
        schema.groups.push_back(std::move(group));
    }
    return schema;
}

}  // namespace ridgeline::wire
