#include "collector/aws/role_credentials.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/collector/aws/asked.h"
#include "tests/unit/collector/aws/fake_programs.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using test::Asked;

namespace {

constexpr const char* kAnswer =
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
    "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>"
    "<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>S&amp;1</SecretAccessKey>"
    "<SessionToken>T1</SessionToken><Expiration>2026-03-02T11:00:00Z</Expiration></Credentials>"
    "</AssumeRoleResult></AssumeRoleResponse>";

std::string answer_for(const std::string& id) {
    std::string text = kAnswer;
    return text.replace(text.find("ASIA1"), 5, id);
}

struct Rig {
    explicit Rig(const std::string& config, const std::string& credentials = "") {
        std::ofstream(dir.path() / "config") << config;
        std::ofstream(dir.path() / "credentials") << credentials;
        environment = {{"AWS_CONFIG_FILE", (dir.path() / "config").string()},
                       {"AWS_SHARED_CREDENTIALS_FILE", (dir.path() / "credentials").string()},
                       {"AWS_REGION", "eu-central-1"}};
    }
    std::shared_ptr<StsClient> sts() {
        return std::make_shared<StsClient>(http, clock,
                                           [this] { return sts_target(environment, ""); });
    }
    RoleCredentials role() { return {environment, http, programs, sts()}; }
    std::string refusal(const std::string& profile) {
        environment["AWS_PROFILE"] = profile;
        RoleCredentials provider = role();
        const Asked asked(provider);
        if (asked.answers.empty()) return "it asks";
        REQUIRE_FALSE(asked.answers.at(0));
        CHECK(asked.answers[0].error().code == Errc::invalid_argument);
        return asked.answers[0].error().context;
    }
    std::string header(std::string_view name) {
        for (const HttpHeader& header : http.waiting.at(0).request.headers)
            if (header.name == name) return header.value;
        return "";
    }

    test::TempDir dir;
    Environment environment;
    test::FakeHttp http;
    test::FakePrograms programs;
    test::ManualClock clock;
};

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a role is assumed with the keys of its source profile", "[role]") {
    Rig rig(
        "[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/metrics\nsource_profile = base\n"
        "external_id = a/b+c\nrole_session_name = web-1\nduration_seconds = 900\n",
        "[base]\naws_access_key_id = BASE\naws_secret_access_key = S\n");
    rig.environment["AWS_PROFILE"] = "ops";
    RoleCredentials provider = rig.role();
    const Asked asked(provider);
    REQUIRE(rig.http.waiting.size() == 1);
    const HttpRequest& request = rig.http.waiting[0].request;
    CHECK(request.url == "https://sts.eu-central-1.amazonaws.com/");
    CHECK(request.method == "POST");
    CHECK(request.body ==
          "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%"
          "2Fmetrics&RoleSessionName=web-1&DurationSeconds=900&ExternalId=a%2Fb%2Bc");
    CHECK(has(rig.header("Authorization"), "Credential=BASE/20260302/eu-central-1/sts/"));
    rig.http.answer(200, kAnswer);
    REQUIRE(asked.answers.at(0));
    const AwsCredentials& keys = *asked.answers[0];
    CHECK(keys.access_key_id == "ASIA1");
    CHECK(keys.secret_access_key.text() == "S&1");
    CHECK(keys.session_token.text() == "T1");
    CHECK(keys.expires == from_unix_ms(1'772'449'200'000));
    CHECK(has(keys.origin, "role/metrics by the keys of "));
    CHECK(has(keys.origin, "profile base"));
}

TEST_CASE("roles may be assumed one after the other", "[role]") {
    Rig rig(
        "[profile a]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=b\n"
        "[profile b]\nrole_arn=arn:aws:iam::1:role/b\nsource_profile=c\n"
        "[profile c]\ncredential_process=/opt/keys\n");
    rig.environment["AWS_PROFILE"] = "a";
    RoleCredentials provider = rig.role();
    const Asked asked(provider);
    REQUIRE(rig.programs.waiting.size() == 1);
    CHECK(rig.programs.waiting[0].first.arguments == std::vector<std::string>{"/opt/keys"});
    rig.programs.print(R"({"Version":1,"AccessKeyId":"PROC","SecretAccessKey":"S"})");
    CHECK(has(rig.http.waiting.at(0).request.body, "role%2Fb"));
    CHECK(has(rig.header("Authorization"), "Credential=PROC/"));
    rig.http.answer(200, answer_for("ASIAB"));
    CHECK(has(rig.http.waiting.at(0).request.body, "role%2Fa"));
    CHECK(has(rig.header("Authorization"), "Credential=ASIAB/"));
    CHECK(rig.header("X-Amz-Security-Token") == "T1");
    rig.http.answer(200, answer_for("ASIAA"));
    CHECK(asked.answers.at(0)->access_key_id == "ASIAA");
}

TEST_CASE("a role's keys may come from the environment, a container or the instance", "[role]") {
    Rig rig(
        "[profile env]\nrole_arn=arn:aws:iam::1:role/a\ncredential_source=Environment\n"
        "[profile ecs]\nrole_arn=arn:aws:iam::1:role/a\ncredential_source=EcsContainer\n"
        "[profile ec2]\nrole_arn=arn:aws:iam::1:role/a\ncredential_source=Ec2InstanceMetadata\n"
        "[profile bad]\nrole_arn=arn:aws:iam::1:role/a\ncredential_source=Thin air\n");
    rig.environment["AWS_ACCESS_KEY_ID"] = "ENV";
    rig.environment["AWS_SECRET_ACCESS_KEY"] = "S";
    rig.environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/x";
    for (const auto& [profile, url] :
         {std::pair{"env", "https://sts.eu-central-1.amazonaws.com/"},
          std::pair{"ecs", "http://169.254.170.2/x"},
          std::pair{"ec2", "http://169.254.169.254/latest/api/token"}}) {
        rig.environment["AWS_PROFILE"] = profile;
        RoleCredentials provider = rig.role();
        const Asked asked(provider);
        REQUIRE(rig.http.waiting.size() == 1);
        CHECK(rig.http.take().request.url == url);
    }
    CHECK(has(rig.refusal("bad"), "credential_source must be"));
    rig.environment.erase("AWS_ACCESS_KEY_ID");
    rig.environment.erase("AWS_SECRET_ACCESS_KEY");
    // What the profile names must be there: nothing else is asked in its place.
    CHECK(has(rig.refusal("env"), "AWS_ACCESS_KEY_ID is not set"));
}

TEST_CASE("a role that cannot be assumed is refused, and says why", "[role]") {
    Rig rig(
        "[profile loop]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=back\n"
        "[profile back]\nrole_arn=arn:aws:iam::1:role/b\nsource_profile=loop\n"
        "[profile self]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=self\n"
        "[profile own]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=own\n"
        "aws_access_key_id=OWN\naws_secret_access_key=S\n"
        "[profile none]\nrole_arn=arn:aws:iam::1:role/a\n"
        "[profile both]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=own\n"
        "credential_source=Environment\n"
        "[profile gone]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=nobody\n"
        "[profile empty]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=bare\n"
        "[profile bare]\nregion=eu-west-1\n"
        "[profile mfa]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=own\nmfa_serial=x\n"
        "[profile arn]\nrole_arn=role/a\nsource_profile=own\n"
        "[profile long]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=own\nduration_seconds=1h\n"
        "[profile "
        "name]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=own\nrole_session_name=x\n");
    CHECK(has(rig.refusal("loop"), "leads back here"));
    CHECK(has(rig.refusal("self"), "leads back here"));
    CHECK(has(rig.refusal("none"), "needs either source_profile or credential_source"));
    CHECK(has(rig.refusal("both"), "needs either source_profile or credential_source"));
    CHECK(has(rig.refusal("gone"), "source_profile \"nobody\" does not exist"));
    CHECK(has(rig.refusal("empty"), "source_profile \"bare\" has no credentials"));
    CHECK(has(rig.refusal("mfa"), "mfa_serial"));
    CHECK(has(rig.refusal("arn"), "not a role's ARN"));
    CHECK(has(rig.refusal("long"), "duration_seconds"));
    CHECK(has(rig.refusal("name"), "role_session_name"));
    CHECK(has(rig.refusal("nobody"), "there is no profile"));
    CHECK(rig.http.waiting.empty());
    CHECK(rig.refusal("own") == "it asks");  // its own static keys
    CHECK(has(rig.header("Authorization"), "Credential=OWN/"));
}

TEST_CASE("what STS says is passed on", "[role]") {
    Rig rig("[default]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=default\n",
            "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    RoleCredentials provider = rig.role();
    const Asked denied(provider);
    rig.http.answer(403,
                    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                    "<Message>User: x is not authorized to perform: sts:AssumeRole</Message>"
                    "</Error></ErrorResponse>");
    CHECK(denied.answers.at(0).error().code == Errc::permission);
    CHECK(has(denied.answers[0].error().context, "not authorized to perform: sts:AssumeRole"));
    const Asked busy(provider);
    rig.http.answer(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>");
    CHECK(busy.answers.at(0).error().code == Errc::unavailable);
    const Asked silent(provider);
    rig.http.fail_with(Errc::unavailable);
    CHECK(silent.answers.at(0).error().code == Errc::unavailable);
    for (const char* body : {"", "<a>", "<AccessKeyId>A</AccessKeyId>",
                             "<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"}) {
        const Asked broken(provider);
        rig.http.answer(200, body);
        CHECK_FALSE(broken.answers.at(0));
    }
}

TEST_CASE("a clock that is off is corrected, once", "[role]") {
    Rig rig("[default]\nrole_arn=arn:aws:iam::1:role/a\nsource_profile=default\n",
            "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    RoleCredentials provider = rig.role();
    const Asked asked(provider);
    CHECK(rig.header("X-Amz-Date") == "20260302T100000Z");
    const std::string skew =
        "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>";
    rig.http.answer(403, skew, {{"date", "Mon, 02 Mar 2026 12:00:00 GMT"}});
    REQUIRE(rig.http.waiting.size() == 1);
    CHECK(rig.header("X-Amz-Date") == "20260302T120000Z");
    rig.http.answer(403, skew, {{"date", "Mon, 02 Mar 2026 15:00:00 GMT"}});
    CHECK(asked.answers.at(0).error().code == Errc::permission);
    CHECK(rig.http.waiting.empty());
}

TEST_CASE("a web identity goes unsigned, with the token of the moment", "[role]") {
    Rig rig("");
    const auto file = rig.dir.path() / "token";
    std::ofstream(file) << "eyJ.first\n";
    rig.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = file.string();
    rig.environment["AWS_ROLE_ARN"] = "arn:aws-cn:iam::123456789012:role/pod";
    rig.environment["AWS_REGION"] = "cn-north-1";
    WebIdentityCredentials provider(rig.environment, rig.sts());
    const Asked asked(provider);
    const HttpRequest& request = rig.http.waiting.at(0).request;
    CHECK(request.url == "https://sts.cn-north-1.amazonaws.com.cn/");
    CHECK(rig.header("Authorization").empty());
    CHECK(request.body ==
          "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws-cn%3Aiam%3A%"
          "3A123456789012%3Arole%2Fpod&RoleSessionName=ridgeline-collector&"
          "WebIdentityToken=eyJ.first");
    rig.http.answer(200, kAnswer);
    CHECK(asked.answers.at(0)->access_key_id == "ASIA1");

    // Kubernetes replaces the file by a link to another one.
    std::ofstream(rig.dir.path() / "other") << "eyJ.second";
    std::filesystem::remove(file);
    std::filesystem::create_symlink("other", file);
    const Asked again(provider);
    CHECK(has(rig.http.waiting.at(0).request.body, "eyJ.second"));
    rig.http.answer(200, kAnswer);

    std::filesystem::remove(file);
    CHECK(Asked(provider).answers.at(0).error().code == Errc::invalid_argument);
    std::ofstream(file) << " \n";
    CHECK(has(Asked(provider).answers.at(0).error().context, "is empty"));
    rig.environment.erase("AWS_ROLE_ARN");
    WebIdentityCredentials no_role(rig.environment, rig.sts());
    CHECK(Asked(no_role).answers.at(0).error().code == Errc::invalid_argument);
    WebIdentityCredentials none(Environment{}, rig.sts());
    CHECK(Asked(none).answers.at(0).error().code == Errc::not_found);
}

TEST_CASE("a profile's web identity is not taken for a role of its source", "[role]") {
    Rig rig("");
    const auto file = rig.dir.path() / "token";
    std::ofstream(file) << "eyJ";
    std::ofstream(rig.dir.path() / "config")
        << "[profile pod]\nrole_arn=arn:aws:iam::1:role/pod\nweb_identity_token_file="
        << file.string() << "\n[profile ops]\nrole_arn=arn:aws:iam::1:role/ops\n"
        << "source_profile=pod\n";
    rig.environment["AWS_PROFILE"] = "pod";
    RoleCredentials direct = rig.role();
    CHECK(Asked(direct).answers.at(0).error().code == Errc::not_found);
    rig.environment["AWS_PROFILE"] = "ops";
    RoleCredentials provider = rig.role();
    const Asked asked(provider);
    CHECK(has(rig.http.waiting.at(0).request.body, "AssumeRoleWithWebIdentity"));
    rig.http.answer(200, answer_for("ASIAPOD"));
    CHECK(has(rig.header("Authorization"), "Credential=ASIAPOD/"));
}

TEST_CASE("STS is asked in the region, and elsewhere where that is said", "[role]") {
    CHECK(sts_target({}, "")->endpoint == "https://sts.amazonaws.com");
    CHECK(sts_target({}, "")->region == "us-east-1");
    CHECK(sts_target({}, "eu-west-1")->endpoint == "https://sts.eu-west-1.amazonaws.com");
    CHECK(sts_target({{"AWS_REGION", "ap-south-1"}}, "eu-west-1")->region == "ap-south-1");
    CHECK(sts_target({{"AWS_REGION", "us-east-1"}, {"AWS_USE_FIPS_ENDPOINT", "true"}}, "")
              ->endpoint == "https://sts-fips.us-east-1.amazonaws.com");
    CHECK(sts_target({{"AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1/"}}, "eu-west-1")->endpoint ==
          "http://127.0.0.1:1");
    CHECK(sts_target({{"AWS_ENDPOINT_URL", "http://127.0.0.1:2"}}, "")->endpoint ==
          "http://127.0.0.1:2");
    CHECK_FALSE(sts_target({{"AWS_REGION", "evil.example/"}}, ""));
}
