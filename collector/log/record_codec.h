// The log's records <-> bytes. Framing and checksum are the segment's; integers are varints, texts
// are length-prefixed.
//
//   1 snapshot  varint created_ms, then the encoded SequenceBook: what was in the log when the
//               segment was begun; several, each of other hosts, when one would be too large
//   2 host      what the host said of itself; before its first batch in each segment and whenever
//               it changes
//   3 schema    host, varint hash, encoded schema; before its first batch in each segment
//   4 batch     host, varints epoch, sequence, backlog, received_ms, then the batch's body as it
//               travelled
//   5 durable   varint position: what lies before it is on the disk; first after a snapshot, and
//               before the first batch after a sync. Since version 2
//
// common/segment/FORMAT.md has the whole of it, byte by byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "collector/log/log_batch.h"
#include "common/base/result.h"
#include "common/segment/segment.h"

namespace ridgeline::collector {

inline constexpr SegmentFormat kLogFormat = {{'R', 'I', 'D', 'G', 'E', 'L', 'O', 'G'}, 2};

enum class LogRecordType : std::uint8_t {
    snapshot = 1,
    host = 2,
    schema = 3,
    batch = 4,
    durable = 5
};

struct SnapshotRecord {
    std::int64_t created_ms = 0;
    std::string_view book;
};
struct SchemaRecord {
    std::string_view host;
    std::uint64_t hash = 0;
    std::string_view schema;
};
struct BatchRecord {
    std::string_view host;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    bool backlog = false;
    std::int64_t received_ms = 0;
    std::string_view body;
};
struct DurableRecord {
    LogPosition position = 0;
};

std::string encode_record(const DurableRecord& record);
std::string encode_record(const SnapshotRecord& record);
std::string encode_record(const SchemaRecord& record);
std::string encode_record(const BatchRecord& record);
std::string encode_record(const HostInfo& host);

// Views refer into `bytes`.
Result<SnapshotRecord> decode_snapshot(std::string_view bytes);
Result<SchemaRecord> decode_schema_record(std::string_view bytes);
Result<BatchRecord> decode_batch_record(std::string_view bytes);
Result<HostInfo> decode_host_record(std::string_view bytes);
Result<DurableRecord> decode_durable_record(std::string_view bytes);

}  // namespace ridgeline::collector
