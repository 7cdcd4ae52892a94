// Which AWS region, and which host name a service has there.
//
// The rules are those of the "aws.partition" function and the endpoint rule sets of CloudWatch and
// STS, as botocore publishes them; tests/integration/aws_endpoint_test.py holds these against them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "collector/aws/environment.h"
#include "collector/aws/http_client.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// `configured` unless that is "auto" or empty; then AWS_REGION, AWS_DEFAULT_REGION, the profile's
// `region`. Errc::not_found when none says; invalid_argument for a name that is not a region's.
Result<std::string> resolve_region(std::string_view configured, const Environment& environment);

// resolve_region(), and where none says, the region the EC2 instance is in. `done` may run before
// this returns.
void find_region(std::string_view configured, const Environment& environment, HttpClient& http,
                 std::function<void(Result<std::string>)> done);

// "aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", …; a region nobody knows is taken for
// "aws".
std::string_view partition_of(std::string_view region);

struct EndpointFlags {
    bool fips = false;
    bool dual_stack = false;
    bool operator==(const EndpointFlags&) const = default;
};
// AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, else the profile's settings of these names.
EndpointFlags endpoint_flags(const Environment& environment);

// `service` is the host name's first label: "monitoring", "sts".
// "https://monitoring.eu-central-1.amazonaws.com". Errc::unsupported where the partition has no
// such endpoints.
Result<std::string> service_endpoint(std::string_view service, std::string_view region,
                                     EndpointFlags flags = {});

// The URL that takes the endpoint's place: `configured`, else AWS_ENDPOINT_URL_<SERVICE>, the
// profile's [services] entry, AWS_ENDPOINT_URL, the profile's endpoint_url (unless
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS). `service_id` as in "AWS_ENDPOINT_URL_CLOUDWATCH", in lower
// case. Without a final '/'. Errc::invalid_argument when it is not an http(s) URL.
Result<std::optional<std::string>> endpoint_override(std::string_view service_id,
                                                     std::string_view configured,
                                                     const Environment& environment);

// endpoint_override(), else the region's endpoint. `service_id`: "cloudwatch" or "sts".
// Errc::invalid_argument for an override together with FIPS or dual-stack, or one of AWS's own
// endpoints in another region, where no signature for this one is good.
Result<std::string> aws_endpoint(std::string_view service_id, std::string_view configured,
                                 std::string_view region, const Environment& environment);

// aws_endpoint() of CloudWatch.
Result<std::string> cloudwatch_endpoint(std::string_view configured, std::string_view region,
                                        const Environment& environment);

}  // namespace ridgeline::collector
