// A schema that decodes is within the limits and the same after another round trip.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/wire/messages.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    wire::Limits limits;
    limits.series_per_schema = 500;  // small enough to be reached by a fuzzer's inputs
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto schema = wire::decode_schema(bytes, limits);
    if (!schema) return 0;
    fuzz::expect(schema->series_count() <= limits.series_per_schema, "the limit is kept");
    const auto again = wire::decode_schema(wire::encode_schema(*schema), limits);
    fuzz::expect(again.has_value(), "an encoded schema decodes");
    fuzz::expect(*again == *schema, "a schema survives the round trip");
    fuzz::expect(schema_hash(*again) == schema_hash(*schema), "its hash too");
    return 0;
}
