#include "agent/facts/http_response.h"

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

TEST_CASE("a body of a given length, in chunks, or up to the end", "[http]") {
    const auto plain = parse_http_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntoken");
    REQUIRE(plain);
    CHECK(plain->status == 200);
    CHECK(plain->body == "token");
    CHECK(parse_http_response("HTTP/1.0 404 Not Found\ncontent-length:0\n\n")->status == 404);
    CHECK(parse_http_response("HTTP/1.1 200 OK\r\n\r\nall of it")->body == "all of it");
    CHECK(parse_http_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "4;x=y\r\nrole\r\nA\r\n0123456789\r\n0\r\n\r\n")
              ->body == "role0123456789");
}

TEST_CASE("what is cut short or no response at all is refused", "[http]") {
    for (const char* bytes :
         {"", "HTTP/2 200", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 200 OK\r\n",
          "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntoken",
          "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\ntoken",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nrol",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
          "chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n",
          "SSH-2.0-OpenSSH\r\n\r\n"}) {
        INFO(bytes);
        CHECK_FALSE(parse_http_response(bytes));
    }
    CHECK_FALSE(parse_http_response("HTTP/1.1 200 OK\r\n\r\n" + std::string(70'000, 'x')));
    std::string headers = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 100; ++i)
        headers += "X: y\r\n";
    CHECK_FALSE(parse_http_response(headers + "\r\n"));
}

TEST_CASE("values are taken from the identity document by name", "[http]") {
    const char* document = R"({
  "accountId" : "123456789012",
  "availabilityZone": "eu-central-1a",
  "billingProducts" : null,
  "instanceId" : "i-0123456789abcdef0",
  "devpayProductCodes":null,"region":"eu-central-1"
})";
    CHECK(json_string(document, "accountId") == "123456789012");
    CHECK(json_string(document, "instanceId") == "i-0123456789abcdef0");
    CHECK(json_string(document, "region") == "eu-central-1");
    CHECK(json_string(document, "billingProducts").empty());
    CHECK(json_string(document, "absent").empty());
    CHECK(json_string("\"region\"", "region").empty());
    CHECK(json_string("\"region\" : \"cut", "region").empty());
}

}  // namespace
}  // namespace ridgeline::agent
