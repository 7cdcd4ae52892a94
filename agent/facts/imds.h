// EC2's instance metadata service, version 2 (token) alone. Blocks; worker thread.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::agent {

// The host's facts as tags: "cloud.provider", "host.id", "ec2.tag.Name" …
using Facts = std::map<std::string, std::string>;

inline constexpr std::size_t kInstanceTagsMax = 50;  // EC2's own limit
inline constexpr std::size_t kFactKeyBytesMax = 140;
inline constexpr std::size_t kFactValueBytesMax = 256;

struct ImdsSettings {
    std::vector<std::string> endpoints = {"169.254.169.254:80", "[fd00:ec2::254]:80"};
    std::chrono::milliseconds call_timeout{1000};
};
// AWS_EC2_METADATA_SERVICE_ENDPOINT ("http://127.0.0.1:1338") in place of the two addresses.
ImdsSettings imds_settings_from_environment();

// Identity, placement, Auto Scaling group and, where the instance's metadata options allow them,
// its tags. Errors say what an administrator can do about them.
Result<Facts> fetch_ec2_facts(const ImdsSettings& settings);

}  // namespace ridgeline::agent
