#include "collector/aws/credentials.h"

#include <fstream>

#include "collector/aws/metadata_credentials.h"
#include "common/base/units.h"
#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/collector/aws/asked.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using test::Asked;

namespace {

std::string keys_json(const std::string& id, WallTime expires) {
    return R"({"Code":"Success","AccessKeyId":")" + id +
           R"(","SecretAccessKey":"s","Token":"t","Expiration":")" + format_rfc3339(expires) +
           R"("})";
}

}  // namespace

TEST_CASE("the environment's keys are used as they are", "[credentials]") {
    EnvironmentCredentials whole(
        {{"AWS_ACCESS_KEY_ID", "AKID"}, {"AWS_SECRET_ACCESS_KEY", "secret"}});
    const Asked asked(whole);
    REQUIRE(asked.answers.at(0));
    CHECK(asked.answers[0]->access_key_id == "AKID");
    CHECK(asked.answers[0]->secret_access_key.text() == "secret");
    CHECK(asked.answers[0]->session_token.empty());
    CHECK_FALSE(asked.answers[0]->expires);

    EnvironmentCredentials half(Environment{{"AWS_ACCESS_KEY_ID", "AKID"}});
    CHECK(Asked(half).answers.at(0).error().code == Errc::invalid_argument);
    EnvironmentCredentials none(Environment{});
    CHECK(Asked(none).answers.at(0).error().code == Errc::not_found);

    Environment expiring{{"AWS_ACCESS_KEY_ID", "AKID"},
                         {"AWS_SECRET_ACCESS_KEY", "secret"},
                         {"AWS_CREDENTIAL_EXPIRATION", "2026-03-02T11:00:00Z"}};
    EnvironmentCredentials until(expiring);
    CHECK(Asked(until).answers.at(0)->expires == from_unix_ms(1'772'449'200'000));
    expiring["AWS_CREDENTIAL_EXPIRATION"] = "soon";
    EnvironmentCredentials soon(expiring);
    CHECK(Asked(soon).answers.at(0).error().code == Errc::invalid_argument);
}

TEST_CASE("an expiration is read as anybody writes it", "[credentials]") {
    const WallTime eleven = from_unix_ms(1'772'449'200'000);
    for (const char* text : {"2026-03-02T11:00:00Z", "2026-03-02T11:00:00+00:00",
                             "2026-03-02T11:00:00.000000+00:00", "2026-03-02T12:30:00+01:30",
                             "2026-03-02T03:00:00-08:00", "2026-03-02T11:00:00.0000000009Z"}) {
        INFO(text);
        CHECK(parse_expiration(text).value() == eleven);
        Environment environment{{"AWS_ACCESS_KEY_ID", "AKID"},
                                {"AWS_SECRET_ACCESS_KEY", "secret"},
                                {"AWS_CREDENTIAL_EXPIRATION", text}};
        EnvironmentCredentials until(environment);
        CHECK(Asked(until).answers.at(0)->expires == eleven);
        CHECK(parse_metadata_credentials(
                  R"({"AccessKeyId":"A","SecretAccessKey":"S","Expiration":")" + std::string(text) +
                  "\"}")
                  ->expires == eleven);
    }
    CHECK(parse_expiration("2026-03-02T11:00:00.1259+00:00").value() == eleven + 125ms);
    for (const char* text :
         {"", "soon", "2026-03-02T11:00:00", "2026-03-02T11:00:00.Z", "2026-03-02T11:00:00+0000",
          "2026-03-02T11:00:00+24:00", "2026-03-02T11:00:00+00:60", "2026-03-02T11:00:00Z+00:00",
          "2026-13-02T11:00:00+00:00", "2026-03-02T11:00:00.12x+00:00",
          "2026-03-02T11:00:00+0a:00"})
        CHECK(parse_expiration(text).error().code == Errc::invalid_argument);
}

TEST_CASE("the credentials file is read by profile", "[credentials]") {
    const test::TempDir dir;
    const auto file = dir.path() / "credentials";
    std::ofstream(file) << "# keys\n[default]\naws_access_key_id = A1\n"
                        << "aws_secret_access_key = S1=/+\ns3 =\n  aws_access_key_id = nested\n"
                        << "[ops]\nAWS_ACCESS_KEY_ID=A2\naws_secret_access_key=S2\n"
                        << "aws_session_token=T2\n[half]\naws_access_key_id=A3\n";
    Environment environment{{"AWS_SHARED_CREDENTIALS_FILE", file.string()}};
    FileCredentials plain(environment);
    const Asked first(plain);
    REQUIRE(first.answers.at(0));
    CHECK(first.answers[0]->access_key_id == "A1");
    CHECK(first.answers[0]->secret_access_key.text() == "S1=/+");
    CHECK(first.answers[0]->origin == file.string() + ", profile default");

    environment["AWS_PROFILE"] = "ops";
    FileCredentials ops(environment);
    CHECK(Asked(ops).answers.at(0)->session_token.text() == "T2");
    environment["AWS_PROFILE"] = "half";
    FileCredentials half(environment);
    CHECK(Asked(half).answers.at(0).error().code == Errc::invalid_argument);
    environment["AWS_PROFILE"] = "nobody";
    FileCredentials nobody(environment);
    CHECK(Asked(nobody).answers.at(0).error().code == Errc::not_found);

    std::ofstream(file) << "[default]\naws_access_key_id = A9\naws_secret_access_key = S9\n";
    CHECK(Asked(plain).answers.at(0)->access_key_id == "A9");  // rotated
}

TEST_CASE("the config file may hold keys, and names what needs a browser", "[credentials]") {
    const test::TempDir dir;
    const auto file = dir.path() / "config";
    std::ofstream(file) << "[profile ops]\naws_access_key_id=A2\naws_secret_access_key=S2\n"
                        << "[profile people]\nsso_session = corp\nregion = eu-west-1\n";
    Environment environment{{"AWS_CONFIG_FILE", file.string()}, {"AWS_PROFILE", "ops"}};
    FileCredentials keys(environment, FileCredentials::File::config);
    CHECK(Asked(keys).answers.at(0)->access_key_id == "A2");
    environment["AWS_PROFILE"] = "people";
    FileCredentials sso(environment, FileCredentials::File::config);
    const Asked asked(sso);
    CHECK(asked.answers.at(0).error().code == Errc::not_found);
    CHECK(asked.answers[0].error().context.find("export-credentials") != std::string::npos);
}

TEST_CASE("instance keys need a token", "[credentials]") {
    test::FakeHttp http;
    InstanceCredentials instance({}, http);
    const Asked asked(instance);
    REQUIRE(http.waiting.size() == 1);
    CHECK(http.waiting[0].request.method == "PUT");
    CHECK(http.waiting[0].request.url == "http://169.254.169.254/latest/api/token");
    CHECK_FALSE(http.waiting[0].request.through_proxy);
    http.answer(200, "TOKEN");
    CHECK(http.waiting[0].request.headers.at(0).value == "TOKEN");
    http.answer(200, "my-role\n");
    CHECK(http.waiting[0].request.url.ends_with("/iam/security-credentials/my-role"));
    http.answer(200, keys_json("A1", WallTime{1h}));
    CHECK(asked.answers.at(0)->access_key_id == "A1");
    CHECK(asked.answers[0]->origin == "role my-role");

    const auto error_of = [&](const auto& answer_it) {
        const Asked other(instance);
        answer_it();
        return other.answers.at(0).error();
    };
    CHECK(error_of([&] { http.fail_with(Errc::unavailable); }).context.find("hop limit") !=
          std::string::npos);
    CHECK(error_of([&] { http.answer(403); }).code == Errc::not_found);
    CHECK(error_of([&] {
              http.answer(200, "TOKEN");
              http.answer(404);
          }).context == "the instance has no IAM role");
}

TEST_CASE("the metadata service is asked where the environment says, or not at all",
          "[credentials]") {
    test::FakeHttp http;
    InstanceCredentials ipv6(Environment{{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"}}, http);
    const Asked six(ipv6);
    CHECK(http.take().request.url == "http://[fd00:ec2::254]/latest/api/token");
    InstanceCredentials moved(
        Environment{{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338/"}}, http);
    const Asked elsewhere(moved);
    CHECK(http.take().request.url == "http://127.0.0.1:1338/latest/api/token");
    InstanceCredentials off(Environment{{"AWS_EC2_METADATA_DISABLED", "TRUE"}}, http);
    CHECK(Asked(off).answers.at(0).error().code == Errc::not_found);
    CHECK(http.waiting.empty());
}

TEST_CASE("container keys come over plain http only from AWS's own addresses", "[credentials]") {
    test::FakeHttp http;
    for (const char* uri : {"http://evil.example/", "http://127.0.0.1@evil.example/",
                            "http://169.254.170.2.evil.example/", "ftp://127.0.0.1/"}) {
        INFO(uri);
        ContainerCredentials evil(Environment{{"AWS_CONTAINER_CREDENTIALS_FULL_URI", uri}}, http);
        CHECK(Asked(evil).answers.at(0).error().code == Errc::invalid_argument);
    }
    ContainerCredentials relative(
        Environment{{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/"}}, http);
    CHECK(Asked(relative).answers.at(0).error().code == Errc::invalid_argument);
    CHECK(http.waiting.empty());

    for (const auto& [name, uri, url] :
         {std::tuple{"RELATIVE", "/v2/credentials/1", "http://169.254.170.2/v2/credentials/1"},
          std::tuple{"FULL", "http://169.254.170.23/v1", "http://169.254.170.23/v1"},
          std::tuple{"FULL", "http://[fd00:ec2::23]/v1", "http://[fd00:ec2::23]/v1"},
          std::tuple{"FULL", "http://localhost:9911/k", "http://localhost:9911/k"},
          std::tuple{"FULL", "https://keys.example/", "https://keys.example/"}}) {
        ContainerCredentials good(
            Environment{{"AWS_CONTAINER_CREDENTIALS_" + std::string(name) + "_URI", uri}}, http);
        const Asked asked(good);
        const auto sent = http.take();
        CHECK(sent.request.url == url);
        CHECK_FALSE(sent.request.through_proxy);
    }
}

TEST_CASE("a container's token is read anew, and its endpoint is tried three times",
          "[credentials]") {
    const test::TempDir dir;
    const auto file = dir.path() / "token";
    std::ofstream(file) << "first\n";
    test::FakeHttp http;
    ContainerCredentials pod(
        Environment{{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1"},
                    {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.string()}},
        http);
    const Asked first(pod);
    CHECK(http.waiting.at(0).request.headers.at(0) == HttpHeader{"Authorization", "first"});
    http.fail_with(Errc::unavailable);
    http.answer(500);
    CHECK(first.answers.empty());
    http.answer(200, keys_json("A1", WallTime{1h}));
    CHECK(first.answers.at(0)->expires == WallTime{1h});

    std::ofstream(file) << "second\n";
    const Asked second(pod);
    CHECK(http.waiting.at(0).request.headers.at(0).value == "second");
    for (int i = 0; i < 3; ++i)
        http.fail_with(Errc::unavailable);
    CHECK(second.answers.at(0).error().code == Errc::unavailable);

    std::filesystem::remove(file);
    CHECK(Asked(pod).answers.at(0).error().code == Errc::invalid_argument);
}

TEST_CASE("a metadata answer that is not keys is an error", "[credentials]") {
    for (const char* json :
         {"", "[]", "{}", "{\"Code\":\"Failed\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}",
          "{\"AccessKeyId\":1,\"SecretAccessKey\":\"S\"}",
          "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"S\"}",
          "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":\"soon\"}"}) {
        INFO(json);
        CHECK_FALSE(parse_metadata_credentials(json));
    }
}

TEST_CASE("secrets are overwritten when they go", "[credentials]") {
    std::string text = "a secret of more than fifteen bytes";
    const char* where = text.data();
    const std::size_t size = text.size();
    wipe(text);
    CHECK(text.empty());
    CHECK(text.capacity() >= size);  // the bytes are still the string's own
    CHECK(std::string(where, size) == std::string(size, '\0'));

    Secret one = "a secret of more than fifteen bytes";
    Secret other = std::move(one);
    CHECK(one.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
    one = other;
    CHECK(one == other);
}
