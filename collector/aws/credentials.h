// AWS credentials: where they come from, and when they must be fetched anew.
//
// The order is that of AWS's own SDKs: environment, shared credentials file, container endpoint,
// EC2 instance metadata (IMDSv2 only). Providers answer by callback because the last two are HTTP.
// Loop thread only.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/aws/http_client.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct AwsCredentials {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token;        // empty: none
    std::optional<WallTime> expires;  // absent: for ever
};

using CredentialsDone = std::function<void(Result<AwsCredentials>)>;

class CredentialsProvider {
  public:
    virtual ~CredentialsProvider() = default;
    // Errc::not_found: this provider has none here (the chain asks the next one); any other error
    // means it should have some and does not. `done` may run before fetch() returns.
    virtual void fetch(CredentialsDone done) = 0;
    // AWS refused the keys: whatever is cached must not be handed out again.
    virtual void invalidate() {}
};

// The process environment, taken once, so that tests bring their own.
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();
// The variable's value, or nothing when it is unset or empty.
std::optional<std::string> variable(const Environment& environment, std::string_view name);

// One section of an AWS ini file: [default] or [name] in `credentials`, [profile name] in `config`.
// Keys in lower case. Errc::not_found when the file or the section is missing.
Result<std::map<std::string, std::string>> read_aws_profile(const std::filesystem::path& file,
                                                            std::string_view section);
// AWS_PROFILE or "default".
std::string aws_profile_name(const Environment& environment);
// AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials; AWS_CONFIG_FILE, else ~/.aws/config. Empty
// without HOME.
std::filesystem::path aws_credentials_file(const Environment& environment);
std::filesystem::path aws_config_file(const Environment& environment);

class EnvironmentCredentials final : public CredentialsProvider {
  public:
    explicit EnvironmentCredentials(Environment environment)
        : environment_(std::move(environment)) {}
    void fetch(CredentialsDone done) override;

  private:
    Environment environment_;
};

// Reads the file at every fetch, so that rotated keys are found.
class FileCredentials final : public CredentialsProvider {
  public:
    explicit FileCredentials(Environment environment) : environment_(std::move(environment)) {}
    void fetch(CredentialsDone done) override;

  private:
    Environment environment_;
};

// Asks the providers in order, keeps the answer, and asks again before it expires: from 15 minutes
// ahead in the background of use (an error then leaves the old keys in use), and at once when they
// were refused or have expired.
class CredentialsChain final : public CredentialsProvider {
  public:
    CredentialsChain(const Clock& clock, std::vector<std::unique_ptr<CredentialsProvider>> links);
    ~CredentialsChain() override;
    void fetch(CredentialsDone done) override;
    void invalidate() override;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

// Environment, file, container, instance metadata.
std::unique_ptr<CredentialsProvider> default_credentials_chain(const Environment& environment,
                                                               HttpClient& http,
                                                               const Clock& clock);

}  // namespace ridgeline::collector
