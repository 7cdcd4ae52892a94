// credential_process of a profile: a program that prints temporary keys ("Process credential
// provider" in AWS's SDKs and Tools Reference Guide). Loop thread only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/program_runner.h"

namespace ridgeline::collector {

class ProcessCredentials final : public CredentialsProvider {
  public:
    // `profile`: empty for the one in use.
    ProcessCredentials(Environment environment, ProgramRunner& programs, std::string profile = {})
        : environment_(std::move(environment)), programs_(programs), profile_(std::move(profile)) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "credential_process"; }

  private:
    Environment environment_;
    ProgramRunner& programs_;
    std::string profile_;
};

// A command's words as a POSIX shell splits them, quotes and backslashes understood, nothing
// expanded. Errc::invalid_argument for a quote that does not end, or no word at all.
Result<std::vector<std::string>> split_command(std::string_view command);

// {"Version": 1, "AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …, "Expiration": …}
Result<AwsCredentials> parse_process_credentials(std::string_view json);

}  // namespace ridgeline::collector
