#include "agent/source/certificate.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

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
TEST_CASE("RSA, EC and Ed25519 certificates give their dates, names and serials", "[certificate]") {
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
          "[certificate]") {
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
          "[certificate]") {
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

TEST_CASE("directories, globs and missing files: what can be read is, the rest is said",
          "[certificate]") {
    const test::TempDir dir;
    std::filesystem::create_directories(dir.path() / "live/a");
    std::filesystem::copy(kCerts / "rsa.pem", dir.path() / "real.pem");
    std::filesystem::create_symlink("../../real.pem", dir.path() / "live/a/fullchain.pem");
    std::ofstream(dir.path() / "live/readme.txt") << "not a certificate";
    const std::string base = dir.path().string();
    const auto root = HostRoot::open("/").value();
    CertificateSource source(root, {{base + "/live/*/fullchain.pem", base, base + "/gone.pem"}});
    const auto read = source.read({from_unix_ms(1'795'000'000'000), {}});
    REQUIRE_FALSE(read);
    CHECK(read.error().context == base + "/gone.pem: no such file");
    REQUIRE(source.emits_after_error());
    test::SampleSink sink;
    source.emit(sink);
    CHECK(sink.unknown.empty());
    CHECK(sink.values.size() == 8);  // two places, four series each
    std::filesystem::remove(dir.path() / "real.pem");
    (void)source.read({from_unix_ms(1'795'000'000'000), {}});
    source.emit(sink);
    CHECK(sink.values.empty());
}

TEST_CASE("remaining time and validity follow the clock", "[certificate]") {
    const auto root = HostRoot::open("/").value();
    CertificateSource source(root, {{(kCerts / "rsa.pem").string()}});
    const auto at = [&](const char* time) {
        REQUIRE(source.read({parse_rfc3339(time).value(), {}}));
        test::SampleSink sink;
        CertificateSource fresh(root, {{(kCerts / "rsa.pem").string()}});
        REQUIRE(fresh.read({parse_rfc3339(time).value(), {}}));
        fresh.emit(sink);
        std::map<std::string, double> by_metric;
        for (const auto& [name, value] : sink.values)
            by_metric[name.substr(0, name.find('{'))] = value;
        return by_metric;
    };
    CHECK(at("2027-11-22T14:42:56Z")["tls.certificate.remaining_time"] == 86400);
    CHECK(at("2027-11-22T14:42:56Z")["tls.certificate.valid"] == 1);
    CHECK(at("2027-11-24T14:42:56Z")["tls.certificate.remaining_time"] == -86400);
    CHECK(at("2027-11-24T14:42:56Z")["tls.certificate.valid"] == 0);
    CHECK(at("2026-11-20T00:00:00Z")["tls.certificate.valid"] == 0);
    CHECK(at("2027-05-25T02:42:56Z")["tls.certificate.lifetime_used"] == Approx(0.5).margin(0.01));
}

// A corpus of odd certificates, where there is one: files/, and expected.tsv with what `openssl
// x509` says of each (columns: file, index, sha256, openssl, cryptography, not before, not after,
// …).
TEST_CASE("whatever dates we find in a certificate corpus are those OpenSSL finds",
          "[certificate][corpus]") {
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
