// Temporary keys of a role, from STS: by a profile's role_arn (AssumeRole, with the keys of another
// profile or of this machine), or by a web identity (IAM roles for service accounts, "IRSA"). See
// "Assume role credential provider" in AWS's SDKs and Tools Reference Guide. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/aws/program_runner.h"
#include "collector/aws/sts.h"

namespace ridgeline::collector {

// The role of the profile in use, if it has one. Its source_profile may have static keys, a
// credential_process, a web identity or a role of its own; roles that lead to each other are
// refused. A profile that was named and does not exist is an error here.
class RoleCredentials final : public CredentialsProvider {
  public:
    RoleCredentials(Environment environment, HttpClient& http, ProgramRunner& programs,
                    std::shared_ptr<StsClient> sts);
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "role of the profile"; }

  private:
    class Resolution;
    struct Peers;
    std::shared_ptr<const Peers> peers_;
};

// AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or web_identity_token_file and role_arn of the
// profile. The token's file is read anew each time: it is replaced before the token expires.
class WebIdentityCredentials final : public CredentialsProvider {
  public:
    // `profile`: empty for the environment's, and that in use.
    WebIdentityCredentials(Environment environment, std::shared_ptr<StsClient> sts,
                           std::string profile = {})
        : environment_(std::move(environment)),
          sts_(std::move(sts)),
          profile_(std::move(profile)) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "web identity"; }

  private:
    Environment environment_;
    std::shared_ptr<StsClient> sts_;
    std::string profile_;
};

}  // namespace ridgeline::collector
