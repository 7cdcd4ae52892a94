// AWS credentials, and the providers that are read at once: the environment and the shared files.
//
// Providers answer by callback, because others ask over HTTP (metadata_credentials.h,
// role_credentials.h) or run a program (process_credentials.h). Which is asked when, and how long
// an answer is kept: credentials_chain.h. Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "collector/aws/environment.h"
#include "collector/aws/profile.h"
#include "collector/aws/secret.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct AwsCredentials {
    std::string access_key_id;
    Secret secret_access_key;
    Secret session_token;             // empty: none
    std::optional<WallTime> expires;  // absent: for ever
    std::string origin = {};          // where they come from, for people: "profile ops of /etc/…"
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
    // For people: "environment".
    virtual std::string_view name() const { return "credentials"; }
    // Keys of this provider are used on when they have expired and it has no newer ones: where they
    // come from, AWS honours them during an outage of the service that renews them.
    virtual bool usable_when_expired() const { return false; }
};

// They become header values and lines of a form: no control characters, an id of a sane length.
// `what` begins the error's text.
Result<void> check_credentials(const AwsCredentials& credentials, std::string_view what);

// When credentials expire, as AWS's services and other people's programs write it: RFC 3339 with Z
// or an offset, and any number of digits of a second ("aws configure export-credentials" writes
// 2026-03-02T11:00:00+00:00). Errc::invalid_argument.
Result<WallTime> parse_expiration(std::string_view text);

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION.
class EnvironmentCredentials final : public CredentialsProvider {
  public:
    explicit EnvironmentCredentials(Environment environment)
        : environment_(std::move(environment)) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override { return "environment"; }

  private:
    Environment environment_;
};

// aws_access_key_id, aws_secret_access_key and aws_session_token of a profile: in the credentials
// file, or in the config file. Reads the files at every fetch, so that rotated keys are found.
class FileCredentials final : public CredentialsProvider {
  public:
    enum class File { credentials, config };
    // `profile`: empty for the one in use.
    explicit FileCredentials(Environment environment, File file = File::credentials,
                             std::string profile = {})
        : environment_(std::move(environment)), file_(file), profile_(std::move(profile)) {}
    void fetch(CredentialsDone done) override;
    std::string_view name() const override {
        return file_ == File::credentials ? "credentials file" : "config file";
    }

  private:
    Environment environment_;
    File file_;
    std::string profile_;
};

}  // namespace ridgeline::collector
