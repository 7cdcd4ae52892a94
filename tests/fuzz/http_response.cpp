// What the instance metadata service, or whatever answers in its place, may send.
#include "agent/facts/http_response.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto response = parse_http_response(bytes)) {
        fuzz::expect(response->status >= 100 && response->status <= 599, "a status is one");
        fuzz::expect(response->body.size() <= bytes.size(), "a body is part of what was sent");
        (void)json_string(response->body, "instanceId");
    }
    (void)json_string(bytes, "region");
    return 0;
}
