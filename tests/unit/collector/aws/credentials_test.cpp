#include "collector/aws/credentials.h"

#include <fstream>

#include "collector/aws/metadata_credentials.h"
#include "common/base/units.h"
#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// The answer of a provider that answers at once, or after the fake HTTP client was served.
struct Asked {
    explicit Asked(CredentialsProvider& provider) {
        provider.fetch([this](Result<AwsCredentials> answer) { answers.push_back(answer); });
    }
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;
    std::vector<Result<AwsCredentials>> answers;
};

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
    CHECK(asked.answers[0]->session_token.empty());

    EnvironmentCredentials half(Environment{{"AWS_ACCESS_KEY_ID", "AKID"}});
    CHECK(Asked(half).answers.at(0).error().code == Errc::invalid_argument);
    EnvironmentCredentials none(Environment{});
    CHECK(Asked(none).answers.at(0).error().code == Errc::not_found);
}

TEST_CASE("the credentials file is read by profile", "[credentials]") {
    const test::TempDir dir;
    const auto file = dir.path() / "credentials";
    std::ofstream(file) << "# keys\n[default]\naws_access_key_id = A1\n"
                        << "aws_secret_access_key = S1=/+\n s3 =\n  aws_access_key_id = nested\n"
                        << "[ops]\nAWS_ACCESS_KEY_ID=A2\naws_secret_access_key=S2\n"
                        << "aws_session_token=T2\n[half]\naws_access_key_id=A3\n";
    Environment environment{{"AWS_SHARED_CREDENTIALS_FILE", file.string()}};
    FileCredentials plain(environment);
    const Asked first(plain);
    REQUIRE(first.answers.at(0));
    CHECK(first.answers[0]->access_key_id == "A1");
    CHECK(first.answers[0]->secret_access_key == "S1=/+");

    environment["AWS_PROFILE"] = "ops";
    FileCredentials ops(environment);
    CHECK(Asked(ops).answers.at(0)->session_token == "T2");
    environment["AWS_PROFILE"] = "half";
    FileCredentials half(environment);
    CHECK(Asked(half).answers.at(0).error().code == Errc::invalid_argument);
    environment["AWS_PROFILE"] = "nobody";
    FileCredentials nobody(environment);
    CHECK(Asked(nobody).answers.at(0).error().code == Errc::not_found);
}

TEST_CASE("the chain takes the first that has keys and says what it tried", "[credentials]") {
    test::FakeHttp http;
    const test::ManualClock clock;
    const auto chain =
        default_credentials_chain({{"AWS_EC2_METADATA_DISABLED", "true"}}, http, clock);
    const Asked none(*chain);
    REQUIRE_FALSE(none.answers.at(0));
    CHECK(none.answers[0].error().context.find("AWS_ACCESS_KEY_ID is not set") !=
          std::string::npos);
    CHECK(none.answers[0].error().context.find("disabled") != std::string::npos);
}

TEST_CASE("instance keys need a token, and are refreshed ahead of their expiry", "[credentials]") {
    test::FakeHttp http;
    test::ManualClock clock;
    std::vector<std::unique_ptr<CredentialsProvider>> links;
    links.push_back(std::make_unique<InstanceCredentials>(Environment{}, http));
    CredentialsChain chain(clock, std::move(links));

    const Asked first(chain);
    const Asked second(chain);  // waits for the same answer
    REQUIRE(http.waiting.size() == 1);
    CHECK(http.waiting[0].request.method == "PUT");
    CHECK(http.waiting[0].request.url == "http://169.254.169.254/latest/api/token");
    CHECK_FALSE(http.waiting[0].request.through_proxy);
    http.answer(200, "TOKEN");
    CHECK(http.waiting[0].request.headers.at(0).value == "TOKEN");
    http.answer(200, "my-role\n");
    CHECK(http.waiting[0].request.url.ends_with("/iam/security-credentials/my-role"));
    http.answer(200, keys_json("A1", clock.wall_now() + 1h));
    CHECK(first.answers.at(0)->access_key_id == "A1");
    CHECK(second.answers.at(0)->access_key_id == "A1");

    clock.advance(46min);  // old keys are handed out while new ones are asked for
    CHECK(Asked(chain).answers.at(0)->access_key_id == "A1");
    REQUIRE(http.waiting.size() == 1);
    http.fail_with(Errc::unavailable);
    CHECK(Asked(chain).answers.at(0)->access_key_id == "A1");
    CHECK(http.waiting.empty());  // not again at once

    clock.advance(20min);  // expired
    const Asked late(chain);
    CHECK(late.answers.empty());
    http.answer(200, "TOKEN");
    http.answer(200, "my-role");
    http.answer(200, keys_json("A2", clock.wall_now() + 1h));
    CHECK(late.answers.at(0)->access_key_id == "A2");

    chain.invalidate();  // refused by AWS
    const Asked refused(chain);
    CHECK(refused.answers.empty());
    CHECK(http.waiting.size() == 1);
}

TEST_CASE("container keys come over plain http only from AWS's own addresses", "[credentials]") {
    test::FakeHttp http;
    ContainerCredentials evil({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/"}},
                              http);
    CHECK(Asked(evil).answers.at(0).error().code == Errc::invalid_argument);
    ContainerCredentials trick(
        {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1@evil.example/"}}, http);
    CHECK(Asked(trick).answers.at(0).error().code == Errc::invalid_argument);
    CHECK(http.waiting.empty());

    ContainerCredentials pod({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1"},
                              {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "abc"}},
                             http);
    const Asked asked(pod);
    CHECK(http.waiting.at(0).request.headers.at(0) == HttpHeader{"Authorization", "abc"});
    http.answer(200, keys_json("A1", WallTime{1h}));
    CHECK(asked.answers.at(0)->expires == WallTime{1h});
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
