// [aws] of collector.toml: how the collector gets at AWS, for all that it has to do there.
//
// A service has no home directory and nobody's environment; what AWS's tools take from there can be
// said here. It comes before the environment's variables, which work as well.
#pragma once

#include <string>

#include "collector/aws/environment.h"
#include "common/config/toml_reader.h"

namespace ridgeline::collector {

struct AwsConfig {
    std::string profile;            // empty: AWS_PROFILE, else "default"
    std::string config_file;        // empty: AWS_CONFIG_FILE, else ~/.aws/config
    std::string credentials_file;   // empty: AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials
    std::string ca_bundle;          // PEM; empty: AWS_CA_BUNDLE, the profile's, else the system's
    std::string use_fips_endpoint;  // "true", "false"; empty: the environment's, the profile's
    std::string use_dualstack_endpoint;  // likewise
    bool operator==(const AwsConfig&) const = default;
};

// Mistakes are recorded in the table's document.
AwsConfig read_aws_config(ConfigTable& table);

// `process` with what the configuration says in its place.
Environment aws_environment(const AwsConfig& config, Environment process);

// The CA certificates that AWS's endpoints are held against instead of the system's; empty: none.
std::string aws_ca_bundle(const Environment& environment);

}  // namespace ridgeline::collector
