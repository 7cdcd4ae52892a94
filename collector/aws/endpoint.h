// Which AWS region, and which host name a service has there.
#pragma once

#include <string>
#include <string_view>

#include "collector/aws/credentials.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// `configured` unless that is "auto" or empty; then AWS_REGION, AWS_DEFAULT_REGION, the profile's
// `region`. Errc::not_found when none says; invalid_argument for a name that is not a region's.
Result<std::string> resolve_region(std::string_view configured, const Environment& environment);

// "aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", …; a region nobody knows is taken for
// "aws".
std::string_view partition_of(std::string_view region);

// "https://monitoring.eu-central-1.amazonaws.com"
std::string service_endpoint(std::string_view service, std::string_view region);

// `configured`, else AWS_ENDPOINT_URL_CLOUDWATCH, AWS_ENDPOINT_URL, else the region's. Without a
// final '/'. Errc::invalid_argument when an override is not an http(s) URL.
Result<std::string> cloudwatch_endpoint(std::string_view configured, std::string_view region,
                                        const Environment& environment);

}  // namespace ridgeline::collector
