#include "agent/certprobe/file_probe.h"

#include <string>

#include "agent/certprobe/x509_check.h"
#include "agent/x509/x509.h"
#include "common/base/file.h"
#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

const std::string kDamaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

std::string pem(const char* name) {
    return read_file(std::filesystem::path(RIDGELINE_FIXTURES) / "certs" / name).value();
}
ProbeAnswer probe(const std::string& content, const std::string& key = "") {
    FileProbe request{"/etc/ssl/private/site.pem", "", key.empty() ? "" : "/etc/ssl/site.key"};
    return probe_file(request, FileContents{content, std::string(), key});
}

TEST_CASE("what a file is good for does not hide what is wrong with it", "[probe]") {
    const std::string ca = pem("ca.pem");
    const std::string ca_der = parse_certificate_file(ca).value().first_der;
    const ProbeAnswer behind = probe(ca + kDamaged);
    CHECK(behind.error.empty());
    CHECK(behind.chain == std::vector<std::string>{ca_der, ""});
    REQUIRE(behind.problems.size() == 1);
    CHECK_FALSE(behind.problems[0].empty());
    CHECK(probe(ca).problems.empty());
}

TEST_CASE("nothing takes the place of a leaf that is damaged", "[probe]") {
    const std::string ca = pem("ca.pem");
    const ProbeAnswer answer = probe(kDamaged + ca, pem("ca.pem"));
    CHECK(answer.error.empty());
    REQUIRE(answer.chain.size() == 2);
    CHECK(answer.chain[0].empty());
    CHECK(answer.key == "the key cannot be compared: its certificate cannot be read");
}

TEST_CASE("a file without a certificate that can be read has an error and no chain", "[probe]") {
    const ProbeAnswer answer = probe(kDamaged);
    CHECK_FALSE(answer.error.empty());
    CHECK(answer.chain.empty());
    CHECK(answer.problems.empty());
    CHECK(probe("hello\n").error == kNoCertificateInIt);
}

TEST_CASE("a thousand damaged blocks are told of in a few lines", "[probe]") {
    std::string content = pem("ca.pem");
    for (int i = 0; i < 1000; ++i)
        content += kDamaged;
    const ProbeAnswer answer = probe(content);
    CHECK(answer.chain.size() == 1001);
    REQUIRE(answer.problems.size() == kProbeProblemsMax);
    CHECK(answer.problems.back() == "and more");
    CHECK(parse_probe_answer(encode(answer)));
}

TEST_CASE("a host is called in its certificate what it is called without DNS's signs", "[probe]") {
    CHECK(name_in_certificate("www.example.com") == "www.example.com");
    CHECK(name_in_certificate("www.example.com.") == "www.example.com");
    CHECK(name_in_certificate(".") == ".");
    CHECK(name_in_certificate("192.0.2.1") == "192.0.2.1");
    CHECK(name_in_certificate("::1") == "::1");
    CHECK(name_in_certificate("fe80::1%eth0") == "fe80::1");
}

}  // namespace
}  // namespace ridgeline::agent
