#include "collector/log/schema_pool.h"

#include "collector/log/record_codec.h"
#include "collector/log/record_decoder.h"
#include "common/wire/messages.h"
#include "tests/support/batches.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

namespace {

Schema schema_of(const std::string& metric) {
    return {{{"cpu", {{metric, {}}}}}};
}

}  // namespace

TEST_CASE("a schema is shared as long as somebody holds it", "[schema_pool]") {
    SchemaPool pool;
    auto held = pool.add(1, "bytes", schema_of("a"));
    CHECK(pool.find(1, "bytes") == held);
    CHECK(pool.find(2, "bytes") == nullptr);
    held.reset();
    CHECK(pool.find(1, "bytes") == nullptr);
}

TEST_CASE("schemas of one hash are told apart by their bytes", "[schema_pool]") {
    SchemaPool pool;
    const auto honest = pool.add(1, "honest", schema_of("a"));
    const auto forged = pool.add(1, "forged", schema_of("b"));
    CHECK(pool.find(1, "honest")->schema == schema_of("a"));
    CHECK(pool.find(1, "forged")->schema == schema_of("b"));
}

TEST_CASE("what nobody holds does not pile up", "[schema_pool]") {
    SchemaPool pool;
    const auto kept = pool.add(0, "kept", schema_of("a"));
    for (std::uint64_t hash = 1; hash <= 10'000; ++hash)
        (void)pool.add(hash, "gone", schema_of("b"));
    CHECK(pool.size() <= 66);
    CHECK(pool.find(0, "kept") == kept);
}

TEST_CASE("hosts with the same series share their schema, each with a count of its own",
          "[schema_pool]") {
    RecordDecoder decoder;
    decoder.begin_segment(0);
    const Schema schema = test::small_schema();
    const std::uint64_t hash = schema_hash(schema);
    const std::string encoded = wire::encode_schema(schema);
    const auto learn = [&](LogRecordType type, const std::string& payload) {
        Record record;
        record.type = static_cast<std::uint8_t>(type);
        record.payload = as_bytes(payload);
        REQUIRE(decoder.learn(record));
    };
    for (const std::string host : {"a1", "a2"}) {
        HostInfo info;
        info.host_id = host;
        learn(LogRecordType::host, encode_record(info));
        learn(LogRecordType::schema, encode_record(SchemaRecord{host, hash, encoded}));
    }
    const auto schema_of_host = [&](const std::string& host) {
        const std::string body = test::body_of(test::small_block(1'772'445'600'000, 10, 1), schema);
        const std::string payload = encode_record(BatchRecord{host, 1, 1, false, 0, body});
        Record record;
        record.type = static_cast<std::uint8_t>(LogRecordType::batch);
        record.payload = as_bytes(payload);
        return decoder.batch(record).value().schema;
    };
    const auto first = schema_of_host("a1");
    const auto second = schema_of_host("a2");
    CHECK(first == second);
    CHECK(first.use_count() == 2);  // this one and the decoder's
}
