#include "collector/aws/sigv4.h"

#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("the signer agrees with AWS's published test suite", "[sigv4]") {
    std::ifstream file(RIDGELINE_FIXTURES "/sigv4/vectors.json");
    const auto suite = nlohmann::json::parse(file);
    REQUIRE(suite["cases"].size() >= 30);
    const SigningScope scope{suite["region"], suite["service"]};
    const WallTime at{std::chrono::seconds{suite["unix_seconds"].get<std::int64_t>()}};
    for (const auto& vector : suite["cases"]) {
        INFO(vector["name"]);
        HttpRequest request;
        request.method = vector["method"];
        request.url = "https://example.amazonaws.com" + vector["target"].get<std::string>();
        for (const auto& header : vector["headers"])
            request.headers.push_back({header[0], header[1]});
        request.body = vector["body"];
        const AwsCredentials credentials{suite["access_key_id"],
                                         suite["secret_access_key"].get<std::string>(),
                                         vector["token"].get<std::string>(),
                                         {}};
        const auto signature = sign_v4(request, credentials, scope, at);
        REQUIRE(signature);
        CHECK(signature->canonical_request == vector["canonical_request"]);
        CHECK(signature->string_to_sign == vector["string_to_sign"]);
        CHECK(signature->authorization.ends_with(", Signature=" +
                                                 vector["signature"].get<std::string>()));
    }
}

TEST_CASE("signing puts host, date, token and authorization into the request", "[sigv4]") {
    HttpRequest request;
    request.method = "POST";
    request.url = "http://127.0.0.1:8080/";
    request.headers = {{"Content-Type", "application/x-amz-json-1.0"}};
    request.body = "{}";
    const AwsCredentials credentials{"AKID", "secret", "token", {}};
    REQUIRE(sign_request(request, credentials, {"eu-central-1", "monitoring"},
                         WallTime{std::chrono::seconds{1'440'938'160}}));
    REQUIRE(request.headers.size() == 5);
    CHECK(request.headers[1] == HttpHeader{"Host", "127.0.0.1:8080"});
    CHECK(request.headers[2] == HttpHeader{"X-Amz-Date", "20150830T123600Z"});
    CHECK(request.headers[3] == HttpHeader{"X-Amz-Security-Token", "token"});
    CHECK(request.headers[4].name == "Authorization");
    CHECK(request.headers[4].value.find(
              "Credential=AKID/20150830/eu-central-1/monitoring/aws4_request, "
              "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, ") !=
          std::string::npos);
}

TEST_CASE("no token means no token header", "[sigv4]") {
    HttpRequest request;
    request.url = "https://example.com";
    const auto signature = sign_v4(request, {"AKID", "secret", "", {}}, {"r", "s"}, WallTime{});
    REQUIRE(signature);
    CHECK(signature->signed_headers == "host;x-amz-date");
}

TEST_CASE("escapes in a query sign alike in either case", "[sigv4]") {
    HttpRequest upper;
    upper.url = "https://example.com/?b=%2F&a=1";
    HttpRequest lower = upper;
    lower.url = "https://example.com/?a=1&b=%2f";
    const AwsCredentials credentials{"AKID", "secret", "", {}};
    CHECK(sign_v4(upper, credentials, {"r", "s"}, WallTime{})->authorization ==
          sign_v4(lower, credentials, {"r", "s"}, WallTime{})->authorization);
}

TEST_CASE("a URL without a host cannot be signed", "[sigv4]") {
    HttpRequest request;
    for (const char* url : {"", "example.com", "https://", "https:///path"}) {
        request.url = url;
        const auto signature = sign_v4(request, {"AKID", "secret", "", {}}, {"r", "s"}, WallTime{});
        REQUIRE_FALSE(signature);
        CHECK(signature.error().code == Errc::invalid_argument);
    }
}
