// Files of certificates: PEM blocks (RFC 7468, read leniently) or one DER certificate.
#include <algorithm>
#include <optional>

#include <mbedtls/base64.h>

#include "agent/x509/x509.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::string_view kJks = "\xFE\xED\xFE\xED";    // java.security.KeyStore "JKS"
constexpr std::string_view kJceks = "\xCE\xCE\xCE\xCE";  // and "JCEKS"
constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";

bool is_certificate_label(std::string_view label) {
    return label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == "TRUSTED CERTIFICATE";
}

// RFC 7468, leniently: blanks at the ends of lines, any line length, text around the blocks.
std::optional<std::string> decode_base64(std::string_view body) {
    std::string packed;
    packed.reserve(body.size());
    std::copy_if(body.begin(), body.end(), std::back_inserter(packed),
                 [](char c) { return c != ' ' && c != '\t' && c != '\r' && c != '\n'; });
    std::string der(packed.size() / 4 * 3 + 3, '\0');
    std::size_t written = 0;
    if (mbedtls_base64_decode(reinterpret_cast<unsigned char*>(der.data()), der.size(), &written,
                              reinterpret_cast<const unsigned char*>(packed.data()),
                              packed.size()) != 0) {
        return {};
    }
    der.resize(written);
    return der;
}

// The next block's label and body; nullopt when there is none that is complete.
struct PemBlock {
    std::string_view label;
    std::string_view body;
};
std::optional<PemBlock> next_block(std::string_view& rest) {
    const std::size_t begin = rest.find(kBegin);
    if (begin == std::string_view::npos) return {};
    rest.remove_prefix(begin + kBegin.size());
    const std::size_t label_end = rest.find("-----");
    if (label_end == std::string_view::npos) return {};
    const std::string_view label = rest.substr(0, label_end);
    rest.remove_prefix(label_end + 5);
    const std::size_t end = rest.find(kEnd);
    if (end == std::string_view::npos) return PemBlock{label, {}};
    const std::string_view body = rest.substr(0, end);
    rest.remove_prefix(end + kEnd.size());
    return PemBlock{label, body};
}

}  // namespace

Result<CertificateBlocks> split_certificate_file(std::string_view content) {
    if (content.starts_with(kJks) || content.starts_with(kJceks)) {
        return fail(Errc::unsupported,
                    "a Java keystore; make it a PKCS#12 file with keytool -importkeystore "
                    "-deststoretype pkcs12, or a PEM file");
    }
    CertificateBlocks found;
    // 0x30 is also the digit 0, with which a text before the first block may begin.
    if (content.starts_with('\x30') && content.find(kBegin) == std::string_view::npos) {
        found.ders.emplace_back(content);
        return found;
    }
    for (auto block = next_block(content); block; block = next_block(content)) {
        if (!is_certificate_label(block->label)) continue;
        if (found.ders.size() == kCertificatesPerFileMax) {
            found.problems.push_back("more than " + std::to_string(kCertificatesPerFileMax) +
                                     " certificates; the rest is left out");
            break;
        }
        auto der = decode_base64(block->body);
        if (!der || der->empty()) {
            found.problems.push_back("block " + std::to_string(found.ders.size() + 1) +
                                     ": not base64, or cut short");
        }
        found.ders.push_back(der ? std::move(*der) : std::string());
    }
    if (found.ders.empty()) return fail(Errc::not_found, std::string(kNoCertificateInIt));
    return found;
}

Result<CertificateFile> parse_certificate_file(std::string_view content) {
    RL_ASSIGN_OR_RETURN(CertificateBlocks blocks, split_certificate_file(content));
    CertificateFile file;
    file.problems = std::move(blocks.problems);
    file.blocks = blocks.ders.size();
    for (std::size_t i = 0; i < blocks.ders.size(); ++i) {
        if (blocks.ders[i].empty()) continue;
        auto certificate = parse_certificate(blocks.ders[i]);
        if (!certificate) {
            file.problems.push_back("block " + std::to_string(i + 1) + ": " +
                                    certificate.error().context);
            continue;
        }
        certificate->position = i;
        if (file.certificates.empty())
            file.first_der = blocks.ders[i].substr(0, certificate_bytes(blocks.ders[i]));
        file.certificates.push_back(std::move(*certificate));
    }
    if (file.certificates.empty()) return fail(Errc::corrupt, file.problems.front());
    return file;
}

std::string_view kind_of(const Certificate& certificate, std::size_t position, bool alone) {
    if (!certificate.is_authority || (position == 0 && alone)) return "leaf";
    return certificate.self_issued ? "root" : "intermediate";
}

}  // namespace ridgeline::agent
