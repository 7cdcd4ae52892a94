// A log whose records say anything at all (their checksums are right): it opens, readers get only
// what can be decoded, it goes on, and after a restart holds what it held.
//
// Input, repeated: u8 type, u16 length (little-endian), the record's payload. Type 0 is no record:
// it begins the next segment where the last one ends.
#include "collector/log/log.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "collector/log/log_inspect.h"
#include "common/wire/block_codec.h"
#include "tests/fuzz/expect.h"
#include "tests/support/batches.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

std::string name_of(std::uint64_t base) {
    const std::string digits = std::to_string(base);
    return std::string(20 - digits.size(), '0') + digits + ".log";
}

void write_segments(Storage& storage, std::span<const std::byte> input) {
    std::optional<SegmentWriter> writer;
    std::uint64_t base = 0;
    const auto begin = [&] {
        if (writer) base += writer->size_bytes();
        auto made = SegmentWriter::create(storage, name_of(base), kLogFormat, base, 0);
        fuzz::expect(made.has_value(), "a segment can be made in memory");
        writer = std::move(*made);
    };
    begin();
    while (input.size() >= 3) {
        const auto type = std::to_integer<std::uint8_t>(input[0]);
        std::size_t length = std::to_integer<std::size_t>(input[1]);
        length += std::to_integer<std::size_t>(input[2]) << 8U;
        input = input.subspan(3);
        const auto payload = input.first(std::min(length, input.size()));
        input = input.subspan(payload.size());
        if (type == 0) {
            begin();
        } else {
            (void)writer->append(type, payload);
        }
    }
}

using Batches = std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t>>;

Batches read_all(Log& log) {
    Batches batches;
    const auto reader = log.open_reader(0);
    for (;;) {
        const auto batch = reader->next();
        fuzz::expect(batch.has_value(), "a damaged record is no reason to stop");
        if (!*batch) return batches;
        const LogBatch& found = **batch;
        fuzz::expect(found.host != nullptr && found.schema != nullptr, "a batch is whole");
        batches.emplace_back(found.host->host_id, found.epoch, found.sequence);
    }
}

void sync(Log& log) {
    const auto ticket = log.begin_sync();
    log.finish_sync(ticket, ticket.run());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    test::FaultyStorage storage;
    const test::ManualClock clock;
    write_segments(storage, std::as_bytes(std::span(data, size)));
    const auto report = inspect_log(storage);
    fuzz::expect(report.has_value(), "a log of this version can be inspected");
    (void)to_text(*report);
    (void)to_json(*report);

    const Schema schema = test::small_schema();
    const std::string body = test::body_of(test::small_block(1'772'445'600'000, 3, 1.0), schema);
    Batches before;
    {
        auto log = Log::open(storage, {}, clock);
        fuzz::expect(log.has_value(), "and opened");
        (void)read_all(**log);
        const bool known = (*log)->contains("fuzz", 1, 1);
        const auto appended = (*log)->append(
            {"fuzz", 1, 1, false, body, schema_hash(schema), wire::encode_schema(schema)});
        fuzz::expect(appended.has_value() && (*log)->contains("fuzz", 1, 1), "it goes on");
        sync(**log);
        before = read_all(**log);
        fuzz::expect(known || (!before.empty() && std::get<0>(before.back()) == "fuzz"),
                     "what was appended is read back");
    }
    auto log = Log::open(storage, {}, clock);
    fuzz::expect(log.has_value(), "again");
    fuzz::expect((*log)->contains("fuzz", 1, 1), "what was acked stays known");
    fuzz::expect(read_all(**log) == before, "a restart forgets nothing and makes nothing up");
    return 0;
}
