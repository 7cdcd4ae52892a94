// `ridgeline-collector aws whoami`: with which keys, from where, the collector would go to AWS, and
// who AWS says that is.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "collector/aws/aws_config.h"
#include "collector/aws/credentials_chain.h"
#include "collector/aws/sts.h"

namespace ridgeline::collector {

struct WhoamiReport {
    std::string region;  // empty: see `region_error`
    std::string region_error;
    std::string endpoint;  // CloudWatch's
    std::string endpoint_error;
    std::string sts_endpoint;
    std::vector<CredentialsAttempt> attempts;
    std::string access_key_id;  // empty: there are no credentials
    std::optional<WallTime> expires;
    std::optional<CallerIdentity> identity;
    std::string error;  // why there is no identity

    bool ok() const { return identity && !region.empty() && !endpoint.empty(); }
};

std::string to_text(const WhoamiReport& report);
std::string to_json(const WhoamiReport& report);

struct WhoamiOptions {
    AwsConfig aws;
    std::string region;        // of [cloudwatch]
    std::string endpoint_url;  // of [cloudwatch]
    bool json = false;
};

// Asks for real, on a loop of its own. 0: AWS knows who this is; 1: it does not, or there are no
// credentials, or no region.
int run_whoami(const WhoamiOptions& options, std::ostream& out);

}  // namespace ridgeline::collector
