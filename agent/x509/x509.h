// X.509 certificates as bytes: DER, and PEM files with one or many.
//
// Dates, names and serial are read by a bounds-checked walk over the DER (RFC 5280), because a TLS
// library refuses whole certificates over keys and extensions that a monitor need not understand.
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::agent {

struct Certificate {
    std::int64_t not_before_s = 0;  // Unix seconds; years 0000–9999
    std::int64_t not_after_s = 0;
    std::string subject;  // the common name, else the whole name "O=…, C=…"; printable
    std::string issuer;
    std::string serial;        // hexadecimal, at most 64 bytes of it
    std::size_t position = 0;  // in its file or chain, blocks that could not be read counted
    bool is_authority =
        false;  // may sign others: basicConstraints, or a self-issued one of version 1
    bool self_issued = false;  // subject and issuer are the same name
};

// One certificate in DER; bytes after it are ignored. Errc::corrupt says what is wrong.
Result<Certificate> parse_certificate(std::string_view der);

// The certificates of a file as bytes.
// The length of the DER element at the beginning: a certificate without what lies behind it. 0 when
// it is none.
std::size_t certificate_bytes(std::string_view der);

// What split_certificate_file says of a file that is about other things.
inline constexpr std::string_view kNoCertificateInIt = "no certificate in it";

struct CertificateBlocks {
    std::vector<std::string> ders;      // in the file's order; a block that is no base64 is empty
    std::vector<std::string> problems;  // what was left out
};
// PEM blocks, or the whole file as one DER. Errc::not_found when there is no certificate in it at
// all, Errc::unsupported for a Java keystore.
Result<CertificateBlocks> split_certificate_file(std::string_view content);

struct CertificateFile {
    std::vector<Certificate> certificates;  // in the file's order: the leaf comes first in a chain
    std::vector<std::string> problems;      // blocks that could not be read
    std::string first_der;                  // of certificates[0]
    std::size_t blocks = 0;                 // certificates that are, or should be, in the file
};
inline constexpr std::size_t kCertificatesPerFileMax = 2000;
inline constexpr std::size_t kCertificateFileBytesMax = 4U << 20;
// Errors as of split_certificate_file, and Errc::corrupt when none of its certificates can be read.
Result<CertificateFile> parse_certificate_file(std::string_view content);
// Looks like a PKCS#12 file (RFC 7292 §4), which only the helper can read.
bool is_pkcs12(std::string_view content);
// Looks like a PKCS#7 bundle (RFC 2315 §9, ".p7b"), DER or PEM; the same holds for it.
bool is_pkcs7(std::string_view content);

// What a certificate is in its chain: "leaf", "intermediate" or "root". `alone`: nothing else is in
// the file; what stands alone is what is used.
std::string_view kind_of(const Certificate& certificate, std::size_t position, bool alone);

}  // namespace ridgeline::agent
