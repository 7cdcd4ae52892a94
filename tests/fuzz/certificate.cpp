// Certificates: the walk over DER, and files of PEM blocks.
#include "agent/source/certificate.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/text.h"
#include "tests/fuzz/expect.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

void check(const Certificate& certificate) {
    fuzz::expect(printable(certificate.subject, certificate.subject.size()) == certificate.subject,
                 "a subject can be printed");
    fuzz::expect(printable(certificate.issuer, certificate.issuer.size()) == certificate.issuer,
                 "an issuer can be printed");
    fuzz::expect(certificate.serial.size() <= 128, "a serial number is bounded");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view content(reinterpret_cast<const char*>(data), size);
    if (const auto certificate = parse_certificate(content)) check(*certificate);
    if (const auto file = parse_certificate_file(content)) {
        fuzz::expect(file->certificates.size() <= kCertificatesPerFileMax, "the limit is kept");
        for (const Certificate& certificate : file->certificates)
            check(certificate);
    }
    return 0;
}
