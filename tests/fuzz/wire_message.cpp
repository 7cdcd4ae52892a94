// Whatever decodes as a message says the same after being encoded and decoded again.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "common/wire/messages.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const wire::Limits limits;
    const auto message = wire::decode(bytes, limits);
    if (!message) return 0;
    const std::string encoded = wire::encode(*message);
    const auto again = wire::decode(encoded, limits);
    fuzz::expect(again.has_value(), "an encoded message decodes");
    fuzz::expect(wire::encode(*again) == encoded, "a message survives the round trip");
    if (const auto* batch = std::get_if<wire::Batch>(&*message)) {
        const auto body = wire::decode_body(batch->body, limits);
        if (!body) return 0;
        const auto body_again = wire::decode_body(wire::encode_body(*body), limits);
        fuzz::expect(body_again && body_again->columns == body->columns,
                     "a body survives the round trip");
    }
    return 0;
}
