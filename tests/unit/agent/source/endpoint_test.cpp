#include "agent/source/endpoint.h"

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("addresses of servers are read as people write them", "[endpoint]") {
    const auto read = [](const char* text) {
        const auto endpoint = parse_endpoint(text);
        INFO(text);
        REQUIRE(endpoint);
        return endpoint->url + " " + endpoint->host + " " + std::to_string(endpoint->port) + " " +
               std::string(to_string(endpoint->start_tls));
    };
    CHECK(read("https://www.example.com") ==
          "https://www.example.com:443 www.example.com 443 none");
    CHECK(read("https://www.example.com:8443/status?x=1") ==
          "https://www.example.com:8443 www.example.com 8443 none");
    CHECK(read("example.com:8443") == "tls://example.com:8443 example.com 8443 none");
    CHECK(read("smtp://mail.example.com:587") ==
          "smtp://mail.example.com:587 mail.example.com 587 smtp");
    CHECK(read("postgres://db") == "postgres://db:5432 db 5432 postgresql");
    CHECK(read("ldaps://[2001:db8::1]") == "ldaps://[2001:db8::1]:636 2001:db8::1 636 none");
    CHECK(read("[::1]:443") == "tls://[::1]:443 ::1 443 none");
}

TEST_CASE("what is no address of a server says why", "[endpoint]") {
    for (const char* text : {"", "example.com", "https://", "https://:443", "a:0", "a:65536",
                             "a:1e3", "a:-1", "::1:443", "[::1", "[::1]443", "https://user@host",
                             "https://a b", "file:///etc", "https://a\nb"}) {
        INFO(text);
        const auto endpoint = parse_endpoint(text);
        CHECK_FALSE(endpoint);
        if (!endpoint) CHECK(endpoint.error().context.find(": ") != std::string::npos);
    }
}

}  // namespace
}  // namespace ridgeline::agent
