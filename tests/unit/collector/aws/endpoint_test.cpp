#include "collector/aws/endpoint.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;

TEST_CASE("each partition has its own endpoint", "[endpoint]") {
    const auto url = [](const char* region, EndpointFlags flags = {}) {
        return service_endpoint("monitoring", region, flags).value_or("none");
    };
    CHECK(url("eu-central-1") == "https://monitoring.eu-central-1.amazonaws.com");
    CHECK(url("cn-north-1") == "https://monitoring.cn-north-1.amazonaws.com.cn");
    CHECK(url("us-gov-west-1") == "https://monitoring.us-gov-west-1.amazonaws.com");
    CHECK(url("eusc-de-east-1") == "https://monitoring.eusc-de-east-1.amazonaws.eu");
    CHECK(url("eu-isoe-west-1") == "https://monitoring.eu-isoe-west-1.cloud.adc-e.uk");
    const EndpointFlags fips{true, false};
    const EndpointFlags dual{false, true};
    const EndpointFlags both{true, true};
    CHECK(url("us-east-1", fips) == "https://monitoring-fips.us-east-1.amazonaws.com");
    CHECK(url("us-east-1", dual) == "https://monitoring.us-east-1.api.aws");
    CHECK(url("us-east-1", both) == "https://monitoring-fips.us-east-1.api.aws");
    CHECK(url("us-gov-west-1", fips) == "https://monitoring.us-gov-west-1.amazonaws.com");
    CHECK(url("us-gov-west-1", both) == "https://monitoring.us-gov-west-1.api.aws");
    CHECK(url("cn-north-1", dual) == "https://monitoring.cn-north-1.api.amazonwebservices.com.cn");
    CHECK(url("us-iso-east-1", fips) == "https://monitoring-fips.us-iso-east-1.c2s.ic.gov");
    CHECK(service_endpoint("monitoring", "us-iso-east-1", dual).error().code == Errc::unsupported);
    CHECK(partition_of("us-gov-west-1") == "aws-us-gov");
    CHECK(partition_of("us-isob-east-1") == "aws-iso-b");
    CHECK(partition_of("mars-north-1") == "aws");
}

TEST_CASE("FIPS and dual-stack come from the environment or the profile", "[endpoint]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "config")
        << "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = True\n";
    Environment environment{{"AWS_CONFIG_FILE", (dir.path() / "config").string()}};
    CHECK(endpoint_flags({}) == EndpointFlags{});
    CHECK(endpoint_flags(environment) == EndpointFlags{true, true});
    environment["AWS_USE_FIPS_ENDPOINT"] = "false";
    CHECK(endpoint_flags(environment) == EndpointFlags{false, true});
    CHECK(*cloudwatch_endpoint("", "eu-west-1", environment) ==
          "https://monitoring.eu-west-1.api.aws");
    const auto refused = cloudwatch_endpoint("http://127.0.0.1:1", "eu-west-1", environment);
    CHECK(refused.error().code == Errc::invalid_argument);
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

TEST_CASE("where nobody names the region, the instance's metadata do", "[endpoint]") {
    test::FakeHttp http;
    std::vector<Result<std::string>> found;
    const auto ask = [&](const char* configured, const Environment& environment) {
        find_region(configured, environment, http,
                    [&](Result<std::string> region) { found.push_back(std::move(region)); });
    };
    ask("eu-west-1", {});
    ask("auto", {{"AWS_REGION", "eu-west-2"}});
    REQUIRE(found.size() == 2);
    CHECK(*found[1] == "eu-west-2");
    ask("auto", {});
    CHECK(http.waiting.at(0).request.method == "PUT");
    http.answer(200, "TOKEN");
    CHECK(http.waiting.at(0).request.url ==
          "http://169.254.169.254/latest/meta-data/placement/region");
    http.answer(200, "ap-south-1\n");
    CHECK(*found.at(2) == "ap-south-1");
    ask("auto", {});
    http.answer(200, "TOKEN");
    http.answer(200, "<html>");
    CHECK(found.at(3).error().code == Errc::corrupt);
    ask("auto", {});
    http.fail_with(Errc::unavailable);
    CHECK(found.at(4).error().code == Errc::not_found);
    CHECK(found[4].error().context.find("no AWS region") != std::string::npos);
    ask("evil.example/", {});
    CHECK(found.at(5).error().code == Errc::invalid_argument);
    CHECK(http.waiting.empty());
}

TEST_CASE("an endpoint of AWS must be in the region that requests are signed for", "[endpoint]") {
    for (const char* url :
         {"https://monitoring.eu-west-1.amazonaws.com", "https://monitoring-fips.eu-west-1.api.aws",
          "https://vpce-0a1-b2.monitoring.eu-west-1.vpce.amazonaws.com",
          "https://monitoring.eu-west-1.amazonaws.com:443/x"}) {
        INFO(url);
        CHECK(cloudwatch_endpoint(url, "eu-west-1", {}));
        const auto elsewhere = cloudwatch_endpoint(url, "us-east-1", {});
        REQUIRE_FALSE(elsewhere);
        CHECK(elsewhere.error().context.find("set region = \"eu-west-1\"") != std::string::npos);
    }
    // Names of other people say nothing.
    for (const char* url :
         {"https://monitoring.eu-west-1.example.com", "http://127.0.0.1:4566",
          "https://proxy.monitoring.internal.amazonaws.com", "https://evilamazonaws.com"})
        CHECK(cloudwatch_endpoint(url, "us-east-1", {}));
}

TEST_CASE("an override is looked for in the order of AWS's tools", "[endpoint]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "config")
        << "[default]\nendpoint_url = http://profile\nservices = s\n"
        << "[services s]\ncloudwatch =\n  endpoint_url = http://service\n";
    Environment environment{{"AWS_CONFIG_FILE", (dir.path() / "config").string()}};
    const auto url = [&](const char* service = "cloudwatch") {
        return endpoint_override(service, "", environment)->value_or("none");
    };
    CHECK(url() == "http://service");
    CHECK(url("sts") == "http://profile");
    environment["AWS_ENDPOINT_URL"] = "http://all";
    CHECK(url() == "http://service");
    CHECK(url("sts") == "http://all");
    environment["AWS_ENDPOINT_URL_CLOUDWATCH"] = "http://one";
    CHECK(url() == "http://one");
    environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
    CHECK(url() == "none");
    CHECK(**endpoint_override("cloudwatch", "http://configured/", environment) ==
          "http://configured");
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
