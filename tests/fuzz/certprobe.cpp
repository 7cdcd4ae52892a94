// What the agent and its helper say to each other, and what servers say before TLS.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/certprobe/probe_protocol.h"
#include "agent/certprobe/start_tls.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto answer = parse_probe_answer(text)) {
        const auto again = parse_probe_answer(encode(*answer));
        fuzz::expect(again && again->chain == answer->chain && again->error == answer->error,
                     "an answer survives being written again");
    }
    if (const auto request = parse_probe_request(text))
        fuzz::expect(parse_probe_request(encode(*request)).has_value(), "so does a request");
    if (size == 0) return 0;
    StartTlsTalk talk(static_cast<StartTls>(data[0] % 7));
    for (const char byte : text.substr(1))
        talk.on_byte(byte);
    if (talk.state() == StartTlsTalk::State::refused)
        fuzz::expect(!talk.error().empty(), "a refusal says why");
    return 0;
}
