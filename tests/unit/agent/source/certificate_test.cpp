#include "agent/source/certificate.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/source/catalogue.h"
#include "common/base/file.h"
#include "common/base/units.h"
#include "tests/support/catch.h"
#include "tests/support/sample_sink.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::agent;

namespace {

const std::filesystem::path kCerts = std::filesystem::path(RIDGELINE_FIXTURES) / "certs";

std::string der_of(const char* name) {
    return parse_certificate_file(read_file(kCerts / name).value()).value().first_der;
}

// Answers what it was told to, in turn, and keeps what it was asked.
class FakeProber final : public Prober {
  public:
    std::vector<Result<ProbeAnswer>> probe(const std::vector<ProbeRequest>& requests) override {
        std::vector<Result<ProbeAnswer>> given;
        for (const ProbeRequest& request : requests) {
            asked.push_back(request);
            REQUIRE_FALSE(answers.empty());
            given.push_back(answers.front());
            answers.erase(answers.begin());
        }
        return given;
    }
    std::vector<ProbeRequest> asked;
    std::vector<Result<ProbeAnswer>> answers;
};

// A source on the real root with a prober that the test talks to.
struct Rig {
    explicit Rig(CertificateOptions options)
        : prober(new FakeProber),
          source(root, std::move(options), std::unique_ptr<Prober>(prober)) {}
    // "" when all is well, else the source's error.
    std::string read(const char* time = "2027-01-01T00:00:00Z") {
        const auto read = source.read({parse_rfc3339(time).value(), {}});
        sink.values.clear();
        source.emit(sink);
        CHECK(sink.unknown.empty());
        return read ? "" : read.error().context;
    }
    HostRoot root = HostRoot::open("/").value();
    FakeProber* prober;
    CertificateSource source;
    test::SampleSink sink;
};

CertificateFileOptions file(const std::filesystem::path& path) {
    return {path.string(), "", ""};
}
CertificateEndpointOptions endpoint(const char* url, const std::string& file = "") {
    CertificateEndpointOptions options;
    options.endpoint = parse_endpoint(url).value();
    options.server_name = options.endpoint.host;
    options.file = file;
    return options;
}
ProbeAnswer served(const char* name) {
    return {"", {der_of(name)}, "TLSv1.3", "ok", "ok", ""};
}

}  // namespace

TEST_CASE("directories, globs and missing files: what can be read is, the rest is said",
          "[certificate]") {
    const test::TempDir dir;
    std::filesystem::create_directories(dir.path() / "live/a");
    std::filesystem::copy(kCerts / "rsa.pem", dir.path() / "real.pem");
    std::filesystem::create_symlink("../../real.pem", dir.path() / "live/a/fullchain.pem");
    std::ofstream(dir.path() / "live/readme.txt") << "not a certificate";
    Rig rig({{file(dir.path() / "live/*/fullchain.pem"), file(dir.path()),
              file(dir.path() / "gone.pem")},
             {}});
    const std::string gone = (dir.path() / "gone.pem").string();
    CHECK(rig.read() == gone + ": No such file or directory");
    REQUIRE(rig.source.emits_after_error());
    CHECK(rig.sink.values.size() == 2 * 4 + 3);  // two places with four series each, three flags
    CHECK(rig.sink["tls.certificate.readable{path=\"" + gone + "\"}"] == 0);
    std::filesystem::remove(dir.path() / "real.pem");
    rig.read();
    CHECK(rig.sink["tls.certificate.readable{path=\"" +
                   (dir.path() / "live/a/fullchain.pem").string() + "\"}"] == 0);  // dangling
    for (const auto& [name, value] : rig.sink.values)
        CHECK(name.starts_with("tls.certificate.readable"));
}

TEST_CASE("remaining time and validity follow the clock", "[certificate]") {
    const auto at = [&](const char* time) {
        Rig rig({{file(kCerts / "rsa.pem")}, {}});
        CHECK(rig.read(time).empty());
        std::map<std::string, double> by_metric;
        for (const auto& [name, value] : rig.sink.values)
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

TEST_CASE("the certificates of a bundle are told apart by position and kind", "[certificate]") {
    Rig rig({{file(kCerts / "chain.pem")}, {}});
    CHECK(rig.read().empty());
    std::string names;
    for (const auto& [name, value] : rig.sink.values)
        names += name + '\n';
    CHECK(names.find("kind=\"leaf\"") != std::string::npos);
    CHECK(names.find("kind=\"intermediate\"") != std::string::npos);
}

TEST_CASE("what the agent may not read, and PKCS#12, is asked of the helper", "[certificate]") {
    CertificateFileOptions keystore{(kCerts / "leaf.p12").string(), "", "/etc/password"};
    Rig rig({{keystore}, {}});
    rig.prober->answers = {ProbeAnswer{"", {der_of("rsa.pem")}, "", "", "", ""}};
    CHECK(rig.read().empty());
    REQUIRE(rig.prober->asked.size() == 1);
    const auto& asked = std::get<FileProbe>(rig.prober->asked[0]);
    CHECK(asked.path == (kCerts / "leaf.p12").string());
    CHECK(asked.password_file == "/etc/password");
    CHECK(rig.sink["tls.certificate.readable{path=\"" + (kCerts / "leaf.p12").string() + "\"}"] ==
          1);
    rig.prober->answers = {ProbeAnswer{"the password is wrong", {}, "", "", "", ""}};
    CHECK(rig.read() == (kCerts / "leaf.p12").string() + ": the password is wrong");
}

TEST_CASE("a private key of another certificate is a finding", "[certificate]") {
    CertificateFileOptions pair{(kCerts / "rsa.pem").string(), "/etc/ssl/private/key.pem", ""};
    Rig rig({{pair}, {}});
    const std::string finding =
        "tls.certificate.finding{path=\"" + pair.path + "\",reason=\"key_mismatch\"}";
    rig.prober->answers = {ProbeAnswer{"", {der_of("rsa.pem")}, "", "", "", "match"}};
    CHECK(rig.read().empty());
    CHECK(rig.sink[finding] == 0);
    rig.prober->answers = {ProbeAnswer{"", {der_of("rsa.pem")}, "", "", "", "mismatch"}};
    CHECK(rig.read() == pair.path + ": the private key is of another certificate");
    CHECK(rig.sink[finding] == 1);
}

TEST_CASE("an endpoint gives its chain and what is wrong with it", "[certificate]") {
    Rig rig({{}, {endpoint("https://www.example.com")}});
    const std::string place = "endpoint=\"https://www.example.com:443\"";
    ProbeAnswer answer = served("rsa.pem");
    answer.trust = "self-signed certificate";
    answer.name = "mismatch";
    rig.prober->answers = {answer};
    CHECK(rig.read() ==
          "https://www.example.com:443: not trusted: self-signed certificate (and 1 more)");
    CHECK(rig.sink["tls.certificate.readable{" + place + "}"] == 1);
    CHECK(rig.sink["tls.certificate.finding{" + place + ",reason=\"untrusted\"}"] == 1);
    CHECK(rig.sink["tls.certificate.finding{" + place + ",reason=\"name_mismatch\"}"] == 1);
    rig.prober->answers = {served("rsa.pem")};
    CHECK(rig.read().empty());
    CHECK(rig.sink["tls.certificate.finding{" + place + ",reason=\"untrusted\"}"] == 0);
    const Result<ProbeAnswer> killed =
        fail(Errc::unavailable, "certprobe was killed: Segmentation fault");
    rig.prober->answers = {killed, served("rsa.pem")};
    CHECK(rig.read().empty());  // once may be the network
    rig.prober->answers = {killed, killed};
    CHECK(rig.read() == "https://www.example.com:443: certprobe was killed: Segmentation fault");
    CHECK(rig.sink["tls.certificate.readable{" + place + "}"] == 0);
    CHECK(rig.sink.values.size() == 1);  // nothing old is repeated
}

TEST_CASE("renewed on disk but the old one still served is a finding", "[certificate]") {
    const std::string path = (kCerts / "renewed.pem").string();
    Rig rig({{}, {endpoint("https://www.example.com", path)}});
    const std::string finding =
        "tls.certificate.finding{endpoint=\"https://www.example.com:443\",reason=\"not_current\"}";
    rig.prober->answers = {served("renewed.pem")};
    CHECK(rig.read("2030-01-01T00:00:00Z").empty());
    CHECK(rig.sink[finding] == 0);

    rig.prober->answers = {served("rsa.pem"), served("rsa.pem")};
    CHECK(rig.read("2030-01-01T00:00:00Z") ==
          "https://www.example.com:443: serves a certificate until 2027-11-23, its file has been "
          "renewed until 2036-11-20; reload the server");
    CHECK(rig.sink[finding] == 1);
    CHECK(rig.prober->asked.size() == 3);

    // One worker of the server still had the old one.
    rig.prober->answers = {served("rsa.pem"), served("renewed.pem")};
    CHECK(rig.read("2030-01-01T00:00:00Z").empty());
    CHECK(rig.sink[finding] == 0);
}

TEST_CASE("a file that was renewed minutes ago is no finding yet", "[certificate]") {
    const test::TempDir dir;
    std::filesystem::copy(kCerts / "renewed.pem", dir.path() / "cert.pem");
    const std::string path = (dir.path() / "cert.pem").string();
    const timespec renewed[2] = {{1'893'456'000, 0}, {1'893'456'000, 0}};  // 2030-01-01T00:00:00Z
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), renewed, 0) == 0);
    Rig rig({{}, {endpoint("https://www.example.com", path)}});
    rig.prober->answers = {served("rsa.pem")};
    CHECK(rig.read("2030-01-01T00:29:59Z").empty());
    rig.prober->answers = {served("rsa.pem"), served("rsa.pem")};
    CHECK_FALSE(rig.read("2030-01-01T00:30:00Z").empty());
}

TEST_CASE("a configuration of certificates is read, and refused where it is wrong",
          "[certificate]") {
    const auto errors = [](const char* text) {
        ConfigDocument document = ConfigDocument::parse(text, "agent.toml");
        ConfigTable root = document.root();
        (void)read_sources_config(root, std::chrono::seconds{1});
        root.close();
        const auto& all = document.errors();
        return all.empty() ? std::string() : to_string(all.front());
    };
    CHECK(errors(R"([source.certificate]
files = ["/etc/letsencrypt/live/*/fullchain.pem", "/etc/ssl/private/"]
endpoints = ["https://www.example.com", "smtp://mail.example.com:587", "example.com:8443"]
timeout = "5s"
[[source.certificate.file]]
path = "/srv/app.p12"
password_file = "/srv/app.password"
[[source.certificate.endpoint]]
url = "https://10.0.0.5"
server_name = "www.example.com"
file = "/etc/letsencrypt/live/www/fullchain.pem"
timeout = "2s"
)") == "");
    CHECK(errors("[source.certificate]\nfiles = [\"cert.pem\"]\n") ==
          "agent.toml:2:9: files must be absolute paths, not \"cert.pem\"");
    CHECK(errors("[source.certificate]\nendpoints = [\"example.com\"]\n") ==
          "agent.toml:2:13: \"example.com\": give a port (HOST:PORT) or a scheme (https://HOST)");
    CHECK(
        errors("[source.certificate]\nendpoints = [\"gopher://a:70\"]\n")
            .starts_with("agent.toml:2:13: \"gopher://a:70\": unknown scheme; known are https, "));
    CHECK(errors("[[source.certificate.endpoint]]\nurl = \"https://a\"\nsni = \"b\"\n")
              .find("unknown key \"sni\"") != std::string::npos);
    CHECK(errors("[source.certificate]\nendpoints = [\"https://a\", \"https://a:443/path\"]\n") ==
          "agent.toml:2:13: https://a:443 is given twice");
}

TEST_CASE("a key that cannot be compared is said, and is no finding", "[certificate]") {
    CertificateFileOptions pair{(kCerts / "rsa.pem").string(), "/etc/ssl/private/key.pem", ""};
    Rig rig({{pair}, {}});
    rig.prober->answers = {ProbeAnswer{
        "", {der_of("rsa.pem")}, "", "", "", "the key cannot be compared: it is encrypted"}};
    CHECK(rig.read() == pair.path + ": the key cannot be compared: it is encrypted");
    CHECK_FALSE(
        rig.sink["tls.certificate.finding{path=\"" + pair.path + "\",reason=\"key_mismatch\"}"]);
}

TEST_CASE("other things beside certificates raise nothing, and a pipe holds nobody up",
          "[certificate]") {
    const test::TempDir dir;
    std::filesystem::copy(kCerts / "rsa.pem", dir.path() / "site.crt");
    std::filesystem::create_directory(dir.path() / "sub");
    std::ofstream(dir.path() / "serial") << "01\n";
    Rig rig({{file(dir.path() / "*")}, {}});
    CHECK(rig.read().empty());
    CHECK(rig.sink.values.size() == 4 + 1);
    REQUIRE(::mkfifo((dir.path() / "z.pem").c_str(), 0600) == 0);
    CHECK(rig.read() == (dir.path() / "z.pem").string() + ": not a regular file");
}

TEST_CASE("what the helper could not read of a bundle is said, and its place stays empty",
          "[certificate]") {
    const test::TempDir dir;
    const auto path = dir.path() / "site.pem";
    std::ofstream(path) << "whatever: the helper is asked because of the key\n";
    CertificateFileOptions with_key = file(path);
    with_key.key = (dir.path() / "site.key").string();
    Rig rig({{with_key}, {}});
    ProbeAnswer answer{"", {"", der_of("ca.pem")}, "", "", "", ""};
    answer.problems = {"a certificate that is cut short"};
    rig.prober->answers = {answer};
    CHECK(rig.read() == path.string() + ": a certificate that is cut short");
    CHECK(rig.sink["tls.certificate.readable{path=\"" + path.string() + "\"}"] == 0);
    std::string names;
    for (const auto& [name, value] : rig.sink.values)
        names += name + '\n';
    CHECK(names.find("position=\"1\"") != std::string::npos);
    CHECK(names.find("position=\"0\"") == std::string::npos);
}

TEST_CASE("many files for the helper are given their time", "[certificate]") {
    const test::TempDir dir;
    CertificateOptions options;
    for (int i = 0; i < 1000; ++i) {
        const auto path = dir.path() / (std::to_string(i) + ".pem");
        std::ofstream(path) << "\n";
        options.files.push_back(file(path));
        options.files.back().key = path.string();
    }
    Rig rig(options);
    CHECK(rig.source.patience() <= std::chrono::seconds{75});
    rig.prober->answers.assign(1000, ProbeAnswer{"no certificate in it", {}, "", "", "", ""});
    (void)rig.read();
    CHECK(rig.source.patience() >= std::chrono::seconds{300});
}

TEST_CASE("a bundle whose leaf is damaged is not readable, and nothing takes the leaf's place",
          "[certificate]") {
    const test::TempDir dir;
    const auto path = dir.path() / "bundle.pem";
    std::ofstream(path) << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
                        << read_file(kCerts / "ca.pem").value();
    Rig rig({{file(path)}, {}});
    CHECK_FALSE(rig.read().empty());
    CHECK(rig.sink["tls.certificate.readable{path=\"" + path.string() + "\"}"] == 0);
    std::string names;
    for (const auto& [name, value] : rig.sink.values)
        names += name + '\n';
    CHECK(names.find("kind=\"root\"") != std::string::npos);
    CHECK(names.find("position=\"0\"") == std::string::npos);
}
