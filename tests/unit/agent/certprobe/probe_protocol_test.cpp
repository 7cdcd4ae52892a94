#include "agent/certprobe/probe_protocol.h"

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("a request for an endpoint arrives as it was asked", "[probe]") {
    EndpointProbe asked{"mail.example.com", 587, StartTls::smtp, "mx.example.com",
                        std::chrono::milliseconds{2500}};
    const auto request = parse_probe_request(encode(ProbeRequest(asked)));
    REQUIRE(request);
    const auto& got = std::get<EndpointProbe>(*request);
    CHECK(got.host == asked.host);
    CHECK(got.port == 587);
    CHECK(got.start_tls == StartTls::smtp);
    CHECK(got.server_name == "mx.example.com");
    CHECK(got.timeout == asked.timeout);
}

TEST_CASE("a request for a file keeps blanks in its paths", "[probe]") {
    const auto request = parse_probe_request(
        encode(ProbeRequest(FileProbe{"/srv/my certs/a.p12", "/etc/pw file", "/k ey.pem"})));
    REQUIRE(request);
    const auto& got = std::get<FileProbe>(*request);
    CHECK(got.path == "/srv/my certs/a.p12");
    CHECK(got.password_file == "/etc/pw file");
    CHECK(got.key_file == "/k ey.pem");
}

TEST_CASE("a line break in a value cannot add a line", "[probe]") {
    const std::string text = encode(ProbeRequest(FileProbe{"/a\nkey_file /etc/shadow", "", ""}));
    const auto request = parse_probe_request(text);
    REQUIRE(request);
    CHECK(std::get<FileProbe>(*request).key_file.empty());
}

TEST_CASE("an answer brings its chain byte for byte", "[probe]") {
    ProbeAnswer answer;
    answer.chain = {std::string("\x30\x82\x00\xff\n\0leaf", 10), std::string(5000, '\xaa')};
    answer.tls_version = "TLSv1.3";
    answer.trust = "self-signed certificate";
    answer.name = "mismatch";
    const auto got = parse_probe_answer(encode(answer));
    REQUIRE(got);
    CHECK(got->chain == answer.chain);
    CHECK(got->tls_version == "TLSv1.3");
    CHECK(got->trust == "self-signed certificate");
    CHECK(got->name == "mismatch");
    CHECK(got->error.empty());
}

TEST_CASE("a certificate that cannot be read keeps its place, and is told of", "[probe]") {
    ProbeAnswer answer;
    answer.chain = {"", std::string(50, '\x30'), ""};
    answer.problems = {"not base64", "cut short"};
    const auto got = parse_probe_answer(encode(answer));
    REQUIRE(got);
    CHECK(got->chain == answer.chain);
    CHECK(got->problems == answer.problems);
    const std::string title = "ridgeline-certprobe answer 1\n";
    CHECK_FALSE(parse_probe_answer(title + "certificate -\nend\n"));
    CHECK_FALSE(parse_probe_answer(title + "error a\ncertificate -\nend\n"));
    CHECK_FALSE(parse_probe_answer(title + "problem \x1b[31m\ncertificate AAAA\nend\n"));
    std::string many = title;
    for (std::size_t i = 0; i <= kProbeProblemsMax; ++i)
        many += "problem a\n";
    CHECK_FALSE(parse_probe_answer(many + "certificate AAAA\nend\n"));
}

TEST_CASE("an answer that is odd in any way is refused", "[probe]") {
    const std::string good = encode(ProbeAnswer{"no route to host", {}, "", "", "", ""});
    REQUIRE(parse_probe_answer(good)->error == "no route to host");
    for (std::size_t cut = 0; cut < good.size() - 1; ++cut)
        CHECK_FALSE(parse_probe_answer(good.substr(0, cut)));
    const std::string title = "ridgeline-certprobe answer 1\n";
    for (const std::string body :
         {"end\n", "error a\nerror b\nend\n", "error a\nend\nmore\n", "error \x1b[31m\nend\n",
          "certificate !!\nend\n", "certificate \nend\n", "error a\ncertificate AAAA\nend\n",
          "shell rm\nend\n", "error\nend\n"}) {
        INFO(body);
        CHECK_FALSE(parse_probe_answer(title + body));
    }
    CHECK_FALSE(parse_probe_answer("ridgeline-certprobe answer 2\nerror a\nend\n"));
    std::string many = title;
    for (std::size_t i = 0; i <= kProbeChainMax; ++i)
        many += "certificate AAAA\n";
    CHECK_FALSE(parse_probe_answer(many + "end\n"));
    CHECK_FALSE(parse_probe_answer(title + "error " + std::string(9U << 20, 'a') + "\nend\n"));
}

TEST_CASE("a request that is odd in any way is refused", "[probe]") {
    const std::string title = "ridgeline-certprobe request 1\n";
    for (const std::string body :
         {"end\n", "host a\nport 443\nend\n", "host a\npath /b\ntimeout_ms 5\nend\n",
          "host a\nport 0\ntimeout_ms 5\nend\n", "host a\nport 65536\ntimeout_ms 5\nend\n",
          "host a\nstarttls gopher\ntimeout_ms 5\nend\n", "host a\ntimeout_ms 0\nend\n",
          "host a\ntimeout_ms 99999999\nend\n", "path /a\nverbose 1\nend\n"}) {
        INFO(body);
        CHECK_FALSE(parse_probe_request(title + body));
    }
}

}  // namespace
}  // namespace ridgeline::agent
