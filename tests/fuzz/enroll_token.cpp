// What an operator, or whoever calls an operator, may paste as an enrolment token.
#include "common/net/enroll_token.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/expect.h"

using namespace ridgeline;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    if (const auto token = net::parse_token(line)) {
        fuzz::expect(net::is_key_text(token->server_public_z85), "the collector's key is one");
        fuzz::expect(net::is_key_text(token->keys.public_z85), "the token's key is one");
        fuzz::expect(
            !token->endpoints.empty() && token->endpoints.size() <= net::kTokenEndpointsMax,
            "a token leads somewhere");
    }
    return 0;
}
