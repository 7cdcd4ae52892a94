// AWS Signature Version 4, header form ("Signature Version 4 signing process" in the AWS General
// Reference). A pure function of its arguments.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

struct SigningScope {
    std::string region;   // "eu-central-1"
    std::string service;  // "monitoring"
};

// What signing makes, step by step, so that each step can be held against AWS's published vectors.
struct Signature {
    std::string canonical_request;
    std::string string_to_sign;
    std::string signed_headers;     // "host;x-amz-date"
    std::string authorization;      // the header's value
    std::vector<HttpHeader> added;  // Host, X-Amz-Date, X-Amz-Security-Token (if any),
                                    // Authorization
};

// Signs every header of `request`, its body as it is, and `at`. The request must not carry a header
// of `added` itself, except Host. Errc::invalid_argument when the URL has no host.
Result<Signature> sign_v4(const HttpRequest& request, const AwsCredentials& credentials,
                          const SigningScope& scope, WallTime at);

// sign_v4, with what it adds put into the request.
Result<void> sign_request(HttpRequest& request, const AwsCredentials& credentials,
                          const SigningScope& scope, WallTime at);

}  // namespace ridgeline::collector
