// A spool whose records say anything at all (their checksums are right): it opens, gives away only
// what can be decoded and goes on with numbers of its own. Where batches come in the order in which
// a spool writes them, it holds after a restart what it held.
//
// Input, repeated: u8 type, u16 length (little-endian), the record's payload. Type 0 is no record:
// it begins the next segment, its base the payload's first eight bytes.
#include "agent/pipeline/spool.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool_format.h"
#include "agent/pipeline/spool_inspect.h"
#include "agent/pipeline/spool_thin.h"
#include "tests/fuzz/expect.h"
#include "tests/support/faulty_storage.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

constexpr SpoolOptions kOptions = {64U << 10, 64U << 10, 4U << 10};
constexpr int kThinningsMax = 8;

// Whether numbers only rise, from segment to segment and from batch to batch.
bool write_segments(Storage& storage, std::span<const std::byte> input) {
    namespace format = spool_format;
    std::optional<SegmentWriter> writer;
    std::uint64_t next = 1;
    bool orderly = true;
    const auto begin = [&](std::uint64_t base) {
        orderly = orderly && (base >= next);
        next = base;
        auto made =
            SegmentWriter::create(storage, format::segment_name(base), format::kFormat, base, 0);
        if (made) writer = std::move(*made);
    };
    begin(1);
    while (input.size() >= 3) {
        const auto type = std::to_integer<std::uint8_t>(input[0]);
        std::size_t length = std::to_integer<std::size_t>(input[1]);
        length += std::to_integer<std::size_t>(input[2]) << 8U;
        input = input.subspan(3);
        const auto payload = input.first(std::min(length, input.size()));
        input = input.subspan(payload.size());
        if (type == 0) {
            ByteReader in(payload);
            begin(in.u64().value_or(0));
        } else if (writer) {
            if (const auto batch = format::read_batch({type, 0, 0, payload})) {
                orderly = orderly && batch->sequence >= next;
                next = batch->sequence + 1;
            }
            (void)writer->append(type, payload);
        }
    }
    return orderly;
}

std::vector<std::uint64_t> held(const Spool& spool) {
    std::vector<std::uint64_t> all;
    for (auto next = spool.oldest(); next; next = spool.next_held(*next + 1))
        all.push_back(*next);
    return all;
}

void read_all(Spool& spool) {
    for (const std::uint64_t sequence : held(spool)) {
        fuzz::expect(sequence < spool.next_sequence(), "numbers to come are free");
        const auto body = spool.read(sequence);
        if (!body) {
            fuzz::expect(!spool.holds(sequence), "what cannot be read is let go");
            continue;
        }
        const auto decoded = wire::decode_body(*body, wire::Limits{});
        fuzz::expect(decoded.has_value(), "what is held can be decoded");
        (void)spool.schema(decoded->schema_hash);
    }
    fuzz::expect(held(spool).size() == spool.stats().batches, "what is held is counted");
}

void thin(Spool& spool) {
    for (int i = 0; i < kThinningsMax; ++i) {
        const auto work = spool.begin_thinning();
        if (!work) return;
        while (!work->done())
            work->step();
        spool.finish_thinning(*work);
    }
}

void sync(Spool& spool) {
    spool.on_synced(spool.take_unsynced().run());
}

SealedBatch one_batch() {
    const Schema schema = {{{"cpu", {{"system.uptime", {}}}}}};
    SealedBatch batch;
    batch.body.schema_hash = schema_hash(schema);
    batch.body.sample_count = 1;
    batch.body.columns = wire::encode_block({{{{1'700'000'000'000}, 1, {1.0}}}});
    batch.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
    return batch;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    test::FaultyStorage storage;
    const bool orderly = write_segments(storage, std::as_bytes(std::span(data, size)));
    const auto report = inspect_spool(storage);
    fuzz::expect(report.has_value(), "a spool of this version can be inspected");
    (void)to_text(*report);
    (void)to_json(*report);

    std::vector<std::uint64_t> before;
    std::uint64_t next_sequence = 0;
    {
        auto spool = Spool::open(storage, kOptions);
        fuzz::expect(spool.has_value(), "and opened");
        read_all(*spool);
        const std::uint64_t own = spool->append(one_batch());
        fuzz::expect(spool->holds(own), "it goes on");
        thin(*spool);
        read_all(*spool);
        sync(*spool);
        if (const auto oldest = spool->oldest(); oldest && *oldest != own)
            spool->ack(std::span(&*oldest, 1));
        before = held(*spool);
        next_sequence = spool->next_sequence();
    }
    auto spool = Spool::open(storage, kOptions);
    fuzz::expect(spool.has_value(), "again");
    fuzz::expect(!orderly || held(*spool) == before,
                 "a restart forgets nothing and makes nothing up");
    fuzz::expect(spool->next_sequence() >= next_sequence, "and gives no number twice");
    return 0;
}
