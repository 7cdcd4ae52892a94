#include "agent/x509/x509.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

const std::filesystem::path kCerts = std::filesystem::path(RIDGELINE_FIXTURES) / "certs";

std::string file(const char* name) {
    return read_file(kCerts / name).value();
}
CertificateFile parsed(const char* name) {
    return parse_certificate_file(file(name)).value();
}
std::string date(std::int64_t seconds) {
    return format_rfc3339(from_unix_ms(seconds * 1000));
}

}  // namespace

// The expected values are what `openssl x509 -noout -serial -dates -subject` says of the files.
TEST_CASE("RSA, EC and Ed25519 certificates give their dates, names and serials", "[x509]") {
    const Certificate rsa = parsed("rsa.pem").certificates.at(0);
    CHECK(date(rsa.not_before_s) == "2026-11-23T14:42:56Z");
    CHECK(date(rsa.not_after_s) == "2027-11-23T14:42:56Z");
    CHECK(rsa.subject == "www.example.com");
    CHECK(rsa.serial == "5953c9f9077160178a567c3b926b78f9697a7051");
    CHECK(parsed("ec.pem").certificates.at(0).subject == "api.example.com");
    CHECK(parsed("ed25519.pem").certificates.at(0).serial ==
          "794ac6a80a3f364cf2089073a95608a3cef3b685");
    CHECK(date(parsed("expired.pem").certificates.at(0).not_after_s) == "2020-01-11T00:00:00Z");
    CHECK(date(parsed("year9999.pem").certificates.at(0).not_after_s) == "9999-09-06T14:42:57Z");
    CHECK(parsed("utf8.pem").certificates.at(0).subject == "O=Dächer & Söhne, OU=Zürich");
    CHECK(parsed("rsa.der").certificates.at(0).serial == rsa.serial);
}

TEST_CASE("a bundle with text, blanks and a damaged block gives every certificate that is whole",
          "[x509]") {
    const CertificateFile bundle = parsed("bundle.pem");
    REQUIRE(bundle.certificates.size() == 2);
    CHECK(bundle.certificates[1].subject == "ed.example.com");
    const CertificateFile damaged =
        parse_certificate_file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" +
                               file("ec.pem") + "-----BEGIN CERTIFICATE-----\nMIIB")
            .value();
    CHECK(damaged.certificates.size() == 1);
    CHECK(damaged.problems.size() == 2);
    CHECK(parse_certificate_file("no certificate here").error().code == Errc::not_found);
    CHECK(parse_certificate_file("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
              .error()
              .code == Errc::not_found);
}

TEST_CASE("a certificate cut or flipped at any byte is an error or a certificate, never a crash",
          "[x509]") {
    const std::string der = file("rsa.der");
    for (std::size_t cut = 0; cut < der.size(); ++cut)
        CHECK_FALSE(parse_certificate(der.substr(0, cut)));
    for (std::size_t at = 0; at < der.size(); ++at) {
        for (const char flip : {'\x01', '\x7f', '\xff'}) {
            std::string damaged = der;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            (void)parse_certificate(damaged);
        }
    }
}

TEST_CASE("a text that begins with the digit 0 is no DER", "[x509]") {
    const auto parsed = parse_certificate_file("0 s:CN = x.test\n" + file("ec.pem"));
    REQUIRE(parsed);
    CHECK(parsed->certificates.size() == 1);
}

TEST_CASE("what lies behind a certificate is not part of it", "[x509]") {
    const std::string der = file("rsa.der");
    CHECK(certificate_bytes(der + "and more") == der.size());
    CHECK(parse_certificate_file(der + "and more")->first_der == der);
    CHECK(certificate_bytes("nothing") == 0);
}

TEST_CASE("a Java keystore is named for what it is, and how to be rid of it", "[x509]") {
    for (const std::string magic : {"\xFE\xED\xFE\xED", "\xCE\xCE\xCE\xCE"}) {
        const auto parsed = parse_certificate_file(magic + std::string(40, '\1'));
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == Errc::unsupported);
        CHECK(parsed.error().context.find("keytool -importkeystore") != std::string::npos);
    }
}

TEST_CASE("an authority's certificate is told from a leaf", "[x509]") {
    const Certificate ca = parsed("ca.pem").certificates.at(0);
    CHECK(ca.is_authority);
    CHECK(ca.self_issued);
    const Certificate intermediate = parsed("chain.pem").certificates.at(1);
    CHECK(intermediate.is_authority);
    CHECK_FALSE(intermediate.self_issued);
    const Certificate leaf = parsed("chain.pem").certificates.at(0);
    CHECK_FALSE(leaf.is_authority);  // basicConstraints says CA:FALSE

    CHECK(kind_of(leaf, 0, false) == "leaf");
    CHECK(kind_of(intermediate, 1, false) == "intermediate");
    CHECK(kind_of(ca, 2, false) == "root");
    CHECK(kind_of(ca, 0, true) == "leaf");  // a self-signed one that is used as it stands
    CHECK(kind_of(ca, 0, false) == "root");
}

TEST_CASE("a PKCS#12 file is not taken for a certificate, nor the other way round", "[x509]") {
    CHECK(is_pkcs12(file("leaf.p12")));
    CHECK_FALSE(is_pkcs12(file("rsa.der")));
    CHECK_FALSE(is_pkcs12(file("rsa.pem")));
    CHECK_FALSE(is_pkcs12(file("leaf.p12").substr(0, 3)));
    CHECK_FALSE(is_pkcs12(""));
}

// A corpus of odd certificates, where there is one: files/, and expected.tsv with what `openssl
// x509` says of each (columns: file, index, sha256, openssl, cryptography, not before, not after,
// …).
TEST_CASE("whatever dates we find in a certificate corpus are those OpenSSL finds",
          "[x509][corpus]") {
    const char* corpus = std::getenv("RIDGELINE_CERT_CORPUS");
    if (corpus == nullptr) return;
    const std::string expected =
        read_file(std::filesystem::path(corpus) / "expected.tsv", 64U << 20).value();
    std::string_view rest = expected;
    next_line(rest);
    std::size_t read = 0, compared = 0;
    while (!rest.empty()) {
        const auto columns = split(next_line(rest), '\t');
        if (columns.size() < 13 || columns[3] != "ok" || columns[12] != "1") continue;
        const auto content =
            read_file(std::filesystem::path(corpus) / "files" / columns[0], 64U << 20);
        if (!content) continue;
        ++compared;
        const auto file = parse_certificate_file(*content);
        const auto index = to_u64(columns[1]);
        if (!file || !index || file->problems.size() + file->certificates.size() <= *index ||
            !file->problems.empty())
            continue;
        ++read;
        INFO(columns[0] << " " << *index);
        CHECK(std::to_string(file->certificates[*index].not_before_s) == columns[5]);
        CHECK(std::to_string(file->certificates[*index].not_after_s) == columns[6]);
    }
    CHECK(compared > 1000);
    CHECK(static_cast<double>(read) > 0.97 * static_cast<double>(compared));
}
