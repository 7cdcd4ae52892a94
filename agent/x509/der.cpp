// The walk over one certificate's DER: RFC 5280 §4.1, as far as dates, names, serial and whether it
// is an authority's. Nothing in key, signature or extensions can make it refuse. No recursion;
// every length is checked by mbedTLS's asn1 functions against the end of what encloses it.
#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <mbedtls/asn1.h>

#include "agent/x509/x509.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kSerialBytesMax = 64;
constexpr std::size_t kNameBytesMax = 256;
constexpr std::size_t kNamePartsMax = 64;
constexpr std::size_t kExtensionsMax = 256;

constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int kSet = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET;
constexpr int kVersion = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0;
constexpr int kExtensions = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 3;
constexpr std::string_view kBasicConstraints = "\x55\x1D\x13";  // 2.5.29.19

tl::unexpected<Error> bad(const char* what) {
    return fail(Errc::corrupt, std::string("certificate: ") + what);
}

// A stretch of DER; elements are taken off its front.
class Der {
  public:
    explicit Der(std::string_view bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    int next_tag() const { return bytes_.empty() ? -1 : static_cast<unsigned char>(bytes_[0]); }

    std::optional<std::string_view> take(int tag) {
        // mbedTLS takes pointers to non-const, and does not write through them.
        auto* p = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes_.data()));
        unsigned char* const begin = p;
        std::size_t length = 0;
        if (mbedtls_asn1_get_tag(&p, begin + bytes_.size(), &length, tag) != 0) return {};
        const auto header = static_cast<std::size_t>(p - begin);
        const std::string_view content = bytes_.substr(header, length);
        bytes_.remove_prefix(header + length);
        return content;
    }
    std::optional<std::string_view> take_any(int& tag) {
        tag = next_tag();
        return tag < 0 ? std::nullopt : take(tag);
    }

  private:
    std::string_view bytes_;
};

void append_utf8(std::string& out, std::uint32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xC0 | (c >> 6));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0 | (c >> 12));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | ((c >> 18) & 7));
        out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    }
}

// A name's value in UTF-8, whatever string type it has; what is not text is made printable.
std::string decode_string(int tag, std::string_view bytes) {
    bytes = bytes.substr(0, kNameBytesMax * 4);
    const std::size_t width = tag == MBEDTLS_ASN1_BMP_STRING         ? 2
                              : tag == MBEDTLS_ASN1_UNIVERSAL_STRING ? 4
                              : tag == MBEDTLS_ASN1_T61_STRING       ? 1  // in practice Latin-1
                                                                     : 0;
    if (width == 0) return printable(bytes, kNameBytesMax);
    std::string text;
    for (std::size_t i = 0; i + width <= bytes.size(); i += width) {
        std::uint32_t c = 0;
        for (std::size_t j = 0; j < width; ++j)
            c = (c << 8) | static_cast<unsigned char>(bytes[i + j]);
        append_utf8(text, c);
    }
    return printable(text, kNameBytesMax);
}

const char* short_name(std::string_view oid) {
    // id-at, 2.5.4.x (RFC 4519)
    if (oid.size() != 3 || oid[0] != '\x55' || oid[1] != '\x04') return nullptr;
    switch (oid[2]) {
        case 3:
            return "CN";
        case 6:
            return "C";
        case 7:
            return "L";
        case 8:
            return "ST";
        case 10:
            return "O";
        case 11:
            return "OU";
        default:
            return nullptr;
    }
}

// The common name where there is one, else "O=…, C=…" of what is known.
std::optional<std::string> decode_name(std::string_view content) {
    Der rdns(content);
    std::string common_name;
    std::string whole;
    for (std::size_t parts = 0; !rdns.empty() && parts < kNamePartsMax; ++parts) {
        const auto set = rdns.take(kSet);
        if (!set) return {};
        Der members(*set);
        while (!members.empty()) {
            const auto pair = members.take(kSequence);
            if (!pair) return {};
            Der fields(*pair);
            const auto oid = fields.take(MBEDTLS_ASN1_OID);
            int tag = 0;
            const auto value = fields.take_any(tag);
            if (!oid || !value) return {};
            const char* name = short_name(*oid);
            if (name == nullptr) continue;
            const std::string text = decode_string(tag, *value);
            if (std::string_view(name) == "CN") common_name = text;
            if (whole.size() + text.size() < kNameBytesMax)
                whole += (whole.empty() ? "" : ", ") + std::string(name) + "=" + text;
        }
    }
    return common_name.empty() ? whole : common_name;
}

// UTCTime "YYMMDDHHMMSSZ" and GeneralizedTime "YYYYMMDDHHMMSSZ" only, as RFC 5280 §4.1.2.5 demands.
std::optional<std::int64_t> decode_time(int tag, std::string_view text) {
    const bool utc = tag == MBEDTLS_ASN1_UTC_TIME;
    if (!utc && tag != MBEDTLS_ASN1_GENERALIZED_TIME) return {};
    if (text.size() != (utc ? 13U : 15U) || text.back() != 'Z') return {};
    std::array<int, 6> fields{};  // year, month, day, hour, minute, second
    std::size_t at = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const std::size_t width = i == 0 && !utc ? 4 : 2;
        const auto value = to_u64(text.substr(at, width));
        if (!value) return {};
        fields[i] = static_cast<int>(*value);
        at += width;
    }
    if (utc) fields[0] += fields[0] < 50 ? 2000 : 1900;
    const std::chrono::year_month_day date{std::chrono::year{fields[0]},
                                           std::chrono::month{static_cast<unsigned>(fields[1])},
                                           std::chrono::day{static_cast<unsigned>(fields[2])}};
    if (!date.ok() || fields[3] > 23 || fields[4] > 59 || fields[5] > 59) return {};
    const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
    return ((days * 24 + fields[3]) * 60 + fields[4]) * 60 + fields[5];
}

std::optional<std::pair<std::int64_t, std::int64_t>> decode_validity(std::string_view content) {
    Der times(content);
    int tag = 0;
    const auto before = times.take_any(tag);
    const auto not_before = before ? decode_time(tag, *before) : std::nullopt;
    const auto after = times.take_any(tag);
    const auto not_after = after ? decode_time(tag, *after) : std::nullopt;
    if (!not_before || !not_after) return {};
    return std::pair{*not_before, *not_after};
}

// RFC 5280 §4.2.1.9. Extensions that make no sense say nothing.
bool has_authority_constraint(Der tbs_rest) {
    int tag = 0;
    while (!tbs_rest.empty() && tbs_rest.next_tag() != kExtensions) {
        if (!tbs_rest.take_any(tag)) return false;  // the unique identifiers of version 2
    }
    const auto wrapped = tbs_rest.take(kExtensions);
    if (!wrapped) return false;
    Der wrapper(*wrapped);
    const auto list = wrapper.take(kSequence);
    if (!list) return false;
    Der extensions(*list);
    for (std::size_t i = 0; i < kExtensionsMax && !extensions.empty(); ++i) {
        const auto extension = extensions.take(kSequence);
        if (!extension) return false;
        Der fields(*extension);
        const auto oid = fields.take(MBEDTLS_ASN1_OID);
        if (!oid || *oid != kBasicConstraints) continue;
        if (fields.next_tag() == MBEDTLS_ASN1_BOOLEAN) (void)fields.take(MBEDTLS_ASN1_BOOLEAN);
        const auto value = fields.take(MBEDTLS_ASN1_OCTET_STRING);
        if (!value) return false;
        Der octets(*value);
        const auto constraints = octets.take(kSequence);
        if (!constraints) return false;
        Der members(*constraints);
        const auto is_ca = members.take(MBEDTLS_ASN1_BOOLEAN);
        return is_ca && is_ca->size() == 1 && is_ca->front() != '\0';
    }
    return false;
}

// Told by its beginning, so that a file that is cut short is still of its kind.
bool sequence_begins_with(std::string_view content, std::string_view beginning) {
    if (content.size() < 2 || content[0] != '\x30') return false;
    const auto length = static_cast<unsigned char>(content[1]);
    const std::size_t header = length < 0x80 ? 2 : 2 + (length & 0x7FU);
    return header <= 6 && content.size() > header && content.substr(header).starts_with(beginning);
}

}  // namespace

// PFX ::= SEQUENCE { version INTEGER 3, … SEQUENCE }
bool is_pkcs12(std::string_view content) {
    return sequence_begins_with(content, "\x02\x01\x03\x30");
}

// ContentInfo ::= SEQUENCE { contentType OID signedData, … }
bool is_pkcs7(std::string_view content) {
    using namespace std::string_view_literals;
    constexpr auto kSignedData = "\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02"sv;
    if (sequence_begins_with(content, kSignedData)) return true;
    return content.find("-----BEGIN PKCS7-----") != std::string_view::npos &&
           content.find("CERTIFICATE-----") == std::string_view::npos;
}

std::size_t certificate_bytes(std::string_view der) {
    Der outer(der);
    const auto content = outer.take(kSequence);
    return content ? static_cast<std::size_t>(content->data() - der.data()) + content->size() : 0;
}

Result<Certificate> parse_certificate(std::string_view der) {
    Der outer(der);
    const auto certificate = outer.take(kSequence);
    if (!certificate) return bad("not a DER sequence");
    Der inner(*certificate);
    const auto tbs_bytes = inner.take(kSequence);
    if (!tbs_bytes) return bad("no TBSCertificate");
    Der tbs(*tbs_bytes);
    const bool version_given = tbs.next_tag() == kVersion;
    if (version_given && !tbs.take(kVersion)) return bad("bad version");
    const auto serial = tbs.take(MBEDTLS_ASN1_INTEGER);
    if (!serial || serial->empty()) return bad("no serial number");
    if (!tbs.take(kSequence)) return bad("no signature algorithm");
    const auto issuer_bytes = tbs.take(kSequence);
    const auto validity_bytes = issuer_bytes ? tbs.take(kSequence) : std::nullopt;
    const auto subject_bytes = validity_bytes ? tbs.take(kSequence) : std::nullopt;
    if (!subject_bytes) return bad("issuer, validity or subject is missing");
    // A key must follow; without one it is no certificate, whatever kind the key is of.
    if (!tbs.take(kSequence)) return bad("no public key");

    const auto validity = decode_validity(*validity_bytes);
    if (!validity) return bad("its dates are not those of RFC 5280");
    const auto issuer = decode_name(*issuer_bytes);
    const auto subject = decode_name(*subject_bytes);
    if (!issuer || !subject) return bad("a name is malformed");

    Certificate result;
    result.not_before_s = validity->first;
    result.not_after_s = validity->second;
    result.issuer = *issuer;
    result.subject = *subject;
    result.self_issued = *issuer_bytes == *subject_bytes;
    result.is_authority = has_authority_constraint(tbs) || (!version_given && result.self_issued);
    std::string_view digits = *serial;
    if (digits.size() > 1 && digits[0] == '\0')
        digits.remove_prefix(1);  // the sign of a positive integer
    digits = digits.substr(0, kSerialBytesMax);
    result.serial =
        to_hex(std::span(reinterpret_cast<const unsigned char*>(digits.data()), digits.size()));
    return result;
}

}  // namespace ridgeline::agent
