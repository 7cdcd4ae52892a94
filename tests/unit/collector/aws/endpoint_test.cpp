#include "collector/aws/endpoint.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("each partition has its own endpoint", "[endpoint]") {
    CHECK(service_endpoint("monitoring", "eu-central-1") ==
          "https://monitoring.eu-central-1.amazonaws.com");
    CHECK(service_endpoint("monitoring", "cn-north-1") ==
          "https://monitoring.cn-north-1.amazonaws.com.cn");
    CHECK(service_endpoint("monitoring", "us-gov-west-1") ==
          "https://monitoring.us-gov-west-1.amazonaws.com");
    CHECK(service_endpoint("monitoring", "eusc-de-east-1") ==
          "https://monitoring.eusc-de-east-1.amazonaws.eu");
    CHECK(partition_of("us-gov-west-1") == "aws-us-gov");
    CHECK(partition_of("us-isob-east-1") == "aws-iso-b");
    CHECK(partition_of("mars-north-1") == "aws");
}

TEST_CASE("the region comes from the setting, the environment, the profile, in that order",
          "[endpoint]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "config") << "[default]\nregion = eu-west-3\n"
                                         << "[profile ops]\nregion=ap-south-1\n";
    Environment environment{{"AWS_CONFIG_FILE", (dir.path() / "config").string()}};
    CHECK(*resolve_region("auto", environment) == "eu-west-3");
    environment["AWS_PROFILE"] = "ops";
    CHECK(*resolve_region("auto", environment) == "ap-south-1");
    environment["AWS_DEFAULT_REGION"] = "us-west-2";
    CHECK(*resolve_region("auto", environment) == "us-west-2");
    environment["AWS_REGION"] = "us-east-2";
    CHECK(*resolve_region("", environment) == "us-east-2");
    CHECK(*resolve_region("sa-east-1", environment) == "sa-east-1");

    CHECK(resolve_region("auto", {}).error().code == Errc::not_found);
    CHECK(resolve_region("evil.example/", {}).error().code == Errc::invalid_argument);
}

TEST_CASE("an endpoint override must be a plain URL", "[endpoint]") {
    CHECK(*cloudwatch_endpoint("", "eu-central-1", {}) ==
          "https://monitoring.eu-central-1.amazonaws.com");
    CHECK(*cloudwatch_endpoint("http://127.0.0.1:4566/", "eu-central-1", {}) ==
          "http://127.0.0.1:4566");
    CHECK(*cloudwatch_endpoint("", "eu-central-1",
                               {{"AWS_ENDPOINT_URL", "http://a"},
                                {"AWS_ENDPOINT_URL_CLOUDWATCH", "http://b"}}) == "http://b");
    for (const char* url :
         {"ftp://a", "a", "https://", "http://a b", "http://user@a", "http://a?b"})
        CHECK(cloudwatch_endpoint(url, "eu-central-1", {}).error().code == Errc::invalid_argument);
}
