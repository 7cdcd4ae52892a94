#include "collector/log/record_codec.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("every record of the log comes back with every field", "[record_codec]") {
    const std::string batch = encode_record(
        BatchRecord{"h", 1ULL << 63, 7, true, 1'795'000'000'000, std::string_view("\0body", 5)});
    const auto b = decode_batch_record(batch).value();
    CHECK(b.host == "h");
    CHECK(b.epoch == 1ULL << 63);
    CHECK(b.sequence == 7);
    CHECK(b.backlog);
    CHECK(b.received_ms == 1'795'000'000'000);
    CHECK(b.body == std::string_view("\0body", 5));
    const std::string host =
        encode_record(HostInfo{"h", "0.1", "boot", {{"role", "web"}}, {{"os", "Linux"}}});
    CHECK(decode_host_record(host)->tags.at("role") == "web");
    CHECK(decode_host_record(host)->facts.at("os") == "Linux");
    const std::string schema = encode_record(SchemaRecord{"h", 42, "bytes"});
    CHECK(decode_schema_record(schema)->hash == 42);
    const std::string snapshot = encode_record(SnapshotRecord{5, "book"});
    CHECK(decode_snapshot(snapshot)->book == "book");
    for (std::size_t cut = 0; cut + 5 < batch.size(); ++cut)
        CHECK_FALSE(decode_batch_record(batch.substr(0, cut)));
    for (std::size_t cut = 0; cut < host.size(); ++cut)
        CHECK_FALSE(decode_host_record(host.substr(0, cut)));
}
