#include "collector/aws/profile.h"

#include <fstream>

#include "collector/aws/aws_config.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("AWS's files are read as AWS's tools read them", "[profile]") {
    const AwsSections sections = parse_aws_ini(
        "stray = 1\n[default]\nRegion = eu-west-1 \n# x = 1\n; y = 1\nempty =\n"
        "[profile   ops]\ncredential_process = /opt/keys --name \"a = b\"\n"
        "[services dev]\ncloudwatch =\n  endpoint_url = http://127.0.0.1:1\nsts =\n\tendpoint_url "
        "= http://b\n"
        "[broken\nregion = x\n[]\nkey = 1\n");
    CHECK(sections.at("default").at("region").text() == "eu-west-1");
    CHECK(sections.at("default").at("empty").empty());
    CHECK(sections.at("profile ops").at("credential_process").text() ==
          "/opt/keys --name \"a = b\"");
    CHECK(sections.at("services dev").at("cloudwatch.endpoint_url").text() == "http://127.0.0.1:1");
    CHECK(sections.at("services dev").at("sts.endpoint_url").text() == "http://b");
    CHECK_FALSE(sections.at("default").contains("x"));
    CHECK_FALSE(sections.contains("broken"));
}

TEST_CASE("both files make one profile, and the credentials file goes first", "[profile]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "config")
        << "[default]\nregion = eu-west-1\n[profile default]\nregion = eu-west-2\n"
        << "[profile ops]\nregion = eu-west-3\nrole_arn = config\nservices = dev\n"
        << "[services dev]\ncloudwatch =\n  endpoint_url = http://127.0.0.1:1\n[ops]\nregion=no\n";
    std::ofstream(dir.path() / "credentials")
        << "[ops]\nrole_arn = credentials\n[only]\nregion=x\n";
    Environment environment{{"AWS_CONFIG_FILE", (dir.path() / "config").string()},
                            {"AWS_SHARED_CREDENTIALS_FILE", (dir.path() / "credentials").string()}};
    const auto profiles = AwsProfiles::load(environment);
    REQUIRE(profiles);
    CHECK(profiles->find("default")->value("region") == "eu-west-2");
    const AwsProfile* ops = profiles->find("ops");
    REQUIRE(ops != nullptr);
    CHECK(ops->value("region") == "eu-west-3");
    CHECK(ops->value("role_arn") == "credentials");
    CHECK(profiles->service_setting(*ops, "cloudwatch", "endpoint_url") == "http://127.0.0.1:1");
    CHECK_FALSE(profiles->service_setting(*ops, "sts", "endpoint_url"));
    CHECK(profiles->find("only") != nullptr);
    CHECK(profiles->find("nobody") == nullptr);

    environment["AWS_PROFILE"] = "ops";
    CHECK(profile_setting(environment, "region") == "eu-west-3");
    CHECK(AwsProfiles::load({})->find("default") == nullptr);
}

TEST_CASE("a file that was named must be readable, a home's need not", "[profile]") {
    const test::TempDir dir;
    CHECK(AwsProfiles::load({{"HOME", dir.path().string()}}));
    // A directory in its place.
    CHECK_FALSE(AwsProfiles::load({{"AWS_CONFIG_FILE", dir.path().string()}}));
    CHECK(AwsProfiles::load({{"AWS_CONFIG_FILE", (dir.path() / "absent").string()}}));
}

TEST_CASE("[aws] takes the place of the environment", "[profile]") {
    auto document = ConfigDocument::parse(R"([aws]
profile = "ops"
config_file = "/etc/ridgeline/aws/config"
credentials_file = "/etc/ridgeline/aws/credentials"
ca_bundle = "/etc/ssl/corporate.pem"
use_fips_endpoint = true
use_dualstack_endpoint = false
)",
                                          "t");
    ConfigTable root = document.root();
    ConfigTable table = root.table("aws");
    const AwsConfig config = read_aws_config(table);
    root.close();
    CHECK(document.ok());
    const Environment environment = aws_environment(
        config, {{"AWS_PROFILE", "other"}, {"AWS_USE_DUALSTACK_ENDPOINT", "true"}, {"X", "y"}});
    CHECK(aws_profile_name(environment) == "ops");
    CHECK(aws_config_file(environment) == "/etc/ridgeline/aws/config");
    CHECK(aws_credentials_file(environment) == "/etc/ridgeline/aws/credentials");
    CHECK(aws_ca_bundle(environment) == "/etc/ssl/corporate.pem");
    CHECK(flag(environment, "AWS_USE_FIPS_ENDPOINT"));
    CHECK_FALSE(flag(environment, "AWS_USE_DUALSTACK_ENDPOINT"));
    CHECK(variable(environment, "X") == "y");
    CHECK(aws_environment({}, {{"AWS_PROFILE", "other"}}).size() == 1);

    auto wrong =
        ConfigDocument::parse("[aws]\nconfig_file = \"aws/config\"\nprofil = \"x\"\n", "t");
    ConfigTable wrong_root = wrong.root();
    ConfigTable wrong_table = wrong_root.table("aws");
    static_cast<void>(read_aws_config(wrong_table));
    wrong_root.close();
    CHECK(wrong.errors().size() == 2);
}
