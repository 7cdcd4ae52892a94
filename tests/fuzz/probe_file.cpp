// The helper on a file that somebody else wrote: PEM blocks, DER, PKCS#7, and a private key beside
// it. PKCS#12 is left out: it may ask for hours of key derivation, which the helper's CPU limit
// ends.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/certprobe/file_probe.h"
#include "agent/certprobe/probe_protocol.h"
#include "agent/x509/x509.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // The key is what follows the last zero byte, if there is one.
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const std::size_t zero = all.rfind('\0');
    const bool with_key = zero != std::string_view::npos;
    const std::string content(all.substr(0, zero));
    if (is_pkcs12(content)) return 0;
    const std::string key(with_key ? all.substr(zero + 1) : std::string_view());
    const FileProbe request{"/site.pem", "", with_key ? "/site.key" : ""};
    const ProbeAnswer answer = probe_file(request, FileContents{content, std::string(), key});
    fuzz::expect(answer.error.empty() != answer.chain.empty(), "certificates, or why not");
    fuzz::expect(answer.chain.size() <= kProbeChainMax, "the limit is kept");
    if (answer.error.empty())
        fuzz::expect(with_key != answer.key.empty(), "a key is judged when there is one");
    const std::string text = encode(answer);
    if (text.size() <= kProbeAnswerBytesMax)
        fuzz::expect(parse_probe_answer(text).has_value(), "the agent takes what is answered");
    return 0;
}
