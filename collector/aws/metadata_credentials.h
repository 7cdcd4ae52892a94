// Temporary credentials over HTTP from where the process runs: a container's endpoint (ECS, EKS Pod
// Identity) or the EC2 instance metadata service, version 2 only (the unauthenticated version 1 is
// never used). See "Container credential provider" and "IMDS credential provider" in AWS's SDKs and
// Tools Reference Guide. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"

namespace ridgeline::collector {

// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or ..._FULL_URI; plain http only to loopback and AWS's
// link-local addresses. AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is read anew each time. Three tries
// of two seconds, as AWS's SDKs do.
class ContainerCredentials final : public CredentialsProvider {
  public:
    ContainerCredentials(Environment environment, HttpClient& http)
        : environment_(std::move(environment)), http_(http) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "container"; }

  private:
    Environment environment_;
    HttpClient& http_;
};

class InstanceCredentials final : public CredentialsProvider {
  public:
    InstanceCredentials(Environment environment, HttpClient& http)
        : environment_(std::move(environment)), http_(http) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "instance metadata"; }
    bool usable_when_expired() const override { return true; }

  private:
    Environment environment_;
    HttpClient& http_;
};

// The region this instance is in. Errc::not_found when there is no metadata service.
void fetch_instance_region(const Environment& environment, HttpClient& http,
                           std::function<void(Result<std::string>)> done);

// The JSON both endpoints answer with: AccessKeyId, SecretAccessKey, Token, Expiration, and a Code
// that must be "Success" where it is present.
Result<AwsCredentials> parse_metadata_credentials(std::string_view json);

}  // namespace ridgeline::collector
