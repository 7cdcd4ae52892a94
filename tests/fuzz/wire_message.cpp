// Whatever decodes as a message says the same after being encoded and decoded again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/wire/messages.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;

namespace {

// Protobuf writes a map's entries in any order, so two encodings of what has one may differ.
bool same(const wire::Message& a, const wire::Message& b, const std::string& encoded_a) {
    if (a.index() != b.index()) return false;
    if (const auto* reply = std::get_if<wire::EnrollReply>(&a)) {
        const auto& other = std::get<wire::EnrollReply>(b);
        return reply->result == other.result && reply->detail == other.detail &&
               reply->tags == other.tags;
    }
    const auto* hello = std::get_if<wire::Hello>(&a);
    if (hello == nullptr) return wire::encode(b) == encoded_a;
    const auto& other = std::get<wire::Hello>(b);
    return hello->host_id == other.host_id && hello->epoch == other.epoch &&
           hello->first_unacked == other.first_unacked &&
           hello->next_sequence == other.next_sequence && hello->schema_hash == other.schema_hash &&
           hello->boot_id == other.boot_id && hello->tags == other.tags &&
           hello->facts == other.facts && hello->wall_ms == other.wall_ms &&
           hello->mono_ms == other.mono_ms;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const wire::Limits limits;
    const auto message = wire::decode(bytes, limits);
    if (!message) return 0;
    const std::string encoded = wire::encode(*message);
    const auto again = wire::decode(encoded, limits);
    fuzz::expect(again.has_value(), "an encoded message decodes");
    fuzz::expect(same(*message, *again, encoded), "a message survives the round trip");
    if (const auto* batch = std::get_if<wire::Batch>(&*message)) {
        const auto body = wire::decode_body(batch->body, limits);
        if (!body) return 0;
        const auto body_again = wire::decode_body(wire::encode_body(*body), limits);
        fuzz::expect(body_again && body_again->columns == body->columns,
                     "a body survives the round trip");
    }
    return 0;
}
