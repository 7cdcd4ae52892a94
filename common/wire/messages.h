// The uplink's messages as values, and their bytes. ridgeline.proto documents each field; this is
// the only part that knows Protobuf. Pure: no sockets, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "common/metric/series.h"

namespace ridgeline::wire {

inline constexpr std::uint32_t kProtocolVersion = 2;

// What a decoder accepts at most; beyond it a message is Errc::limit. ZMQ_MAXMSGSIZE is
// message_bytes.
struct Limits {
    std::size_t message_bytes = 4U << 20;
    std::size_t series_per_schema = 20'000;
    std::size_t attributes_per_series = 32;
    std::size_t text_bytes = 1024;  // any name or value
    std::size_t samples_per_batch = 2'000'000;
    std::size_t ticks_per_group = 100'000;
    std::size_t ranges_per_welcome = 10'000;
    std::size_t epochs_per_hello = 63;  // earlier ones; a collector remembers these and the present
};

struct SequenceRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;  // inclusive
    bool operator==(const SequenceRange&) const = default;
};

using TextMap = std::map<std::string, std::string>;

struct EpochDurable {
    std::uint64_t epoch = 0;
    std::vector<SequenceRange> durable;  // ascending
};

struct Hello {
    std::uint32_t protocol_version = kProtocolVersion;
    std::string host_id;
    std::string agent_version;
    std::uint64_t epoch = 0;
    std::uint64_t first_unacked = 0;  // the oldest sequence the agent still holds
    std::uint64_t next_sequence = 0;  // the one its next batch will have
    std::uint64_t schema_hash = 0;
    std::string boot_id;
    TextMap tags;
    TextMap facts;
    std::int64_t wall_ms = 0;
    std::int64_t mono_ms = 0;
    bool can_wait = false;                      // knows what RejectReason::later asks of it
    std::vector<std::uint64_t> earlier_epochs;  // of which it may still send
    std::uint64_t dropped_batches = 0;          // in this run, of any epoch
};

struct Welcome {
    std::uint32_t protocol_version = kProtocolVersion;
    std::string collector_version;
    std::uint32_t credit = 0;  // batches the agent may have in flight
    std::int64_t server_wall_ms = 0;
    std::vector<SequenceRange> durable;  // of the agent's epoch, ascending
    std::vector<EpochDurable> earlier;   // of the earlier epochs it told of
};

// What is sealed once, spooled, sent and logged unchanged.
struct BatchBody {
    std::uint64_t schema_hash = 0;
    std::int64_t sealed_wall_ms = 0;
    std::int64_t sealed_mono_ms = 0;
    std::uint32_t sample_count = 0;
    std::string columns;  // encode_block()
    // Of a thinned batch; 0 otherwise.
    std::uint64_t first_sequence = 0;  // it stands for all from here to its own
    std::uint32_t resolution_s = 0;
    std::uint64_t thinned_samples = 0;  // taken out: sampled were sample_count + thinned_samples
};

// The batches that a thinned one may stand for: a day of 1 s batches would be 86,400.
inline constexpr std::uint64_t kMergedBatchesMax = 100'000;
// What the batch of this sequence stands for. Errc::corrupt when that cannot be.
Result<SequenceRange> range_of(const BatchBody& body, std::uint64_t sequence);

struct Batch {
    std::string host_id;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    bool backlog = false;  // sent from the backlog lane: not the newest data
    std::string body;      // encode(BatchBody)
};

struct SchemaRequest {
    std::uint64_t schema_hash = 0;
};
struct SchemaReply {
    std::uint64_t schema_hash = 0;
    Schema schema;
};
struct Ack {
    std::uint64_t epoch = 0;
    std::vector<std::uint64_t> sequences;  // now durable
};
enum class RejectReason : std::uint32_t {
    undecodable = 1,  // the batch (or its schema) will never be accepted: drop and count it
    wrong_host = 2,   // the message's host is not the one enrolled with the connection's key
    too_old_protocol = 3,
    over_limit = 4,
    hello_first = 5,  // the collector does not know this connection: say Hello
    later = 6,        // over a quota: keep the batch and send it again after the time told
};
struct Reject {
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;  // the batch meant, 0 for the connection as a whole
    RejectReason reason = RejectReason::undecodable;
    std::string detail;
    std::uint32_t retry_after_ms = 0;  // with `later`
};

struct Enroll {
    std::string host_id;
    std::string public_key;  // Z85
    std::string agent_version;
};
enum class EnrollResult : std::uint32_t {
    enrolled = 1,
    host_taken = 2,  // another key is enrolled for this host id
    token_used_up = 3,
    invalid = 4,
    not_stored = 5,  // the collector's disk; ask again later
};
struct EnrollReply {
    EnrollResult result = EnrollResult::invalid;
    std::string detail;
    TextMap tags;  // the token's
};
struct KeyChange {
    std::string public_key;  // Z85
};
struct KeyChangeReply {
    bool accepted = false;
    std::string detail;
};

using Message = std::variant<Hello, Welcome, Batch, SchemaRequest, SchemaReply, Ack, Reject, Enroll,
                             EnrollReply, KeyChange, KeyChangeReply>;

std::string encode(const Message& message);
// Errc::corrupt: not a message. Errc::limit: over a limit. Errc::unsupported: a kind this version
// does not know; to be ignored. Never throws.
Result<Message> decode(std::string_view bytes, const Limits& limits);
// Of a SchemaReply whose schema decode() refuses; nullopt when the message is none.
std::optional<std::uint64_t> schema_hash_of_reply(std::string_view message);

std::string encode_body(const BatchBody& body);
Result<BatchBody> decode_body(std::string_view bytes, const Limits& limits);

std::string encode_schema(const Schema& schema);
Result<Schema> decode_schema(std::string_view bytes, const Limits& limits);

}  // namespace ridgeline::wire
