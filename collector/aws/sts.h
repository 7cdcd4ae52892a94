// AWS Security Token Service: a role's temporary keys, and whose keys these are.
//
// Query protocol and its XML ("AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity" in the
// AWS STS API Reference). Building requests and reading answers is pure; StsClient sends. A clock
// that is off is corrected by the answer's Date and the request repeated once. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct StsTarget {
    std::string endpoint;  // without a final '/'
    std::string region;    // of the signature's scope
};

// Of the environment's or the profile's region, else `fallback_region`; the global endpoint without
// any. AWS_ENDPOINT_URL_STS and its like go first. Errc::invalid_argument for one that is no URL,
// or a region that has no endpoint with the flags that are set.
Result<StsTarget> sts_target(const Environment& environment, std::string_view fallback_region);

struct AssumeRole {
    std::string role_arn;
    std::string session_name;      // "ridgeline-collector" if empty
    std::string external_id;       // empty: none
    std::string duration_seconds;  // 900…43200, as it is written in the profile; empty: STS's hour
    // AssumeRoleWithWebIdentity, unsigned, if not empty.
    Secret web_identity_token;
};

struct CallerIdentity {
    std::string account;
    std::string arn;
    std::string user_id;
};

// Errc::invalid_argument for what STS would refuse: an ARN that is none, a session's name or a
// duration out of bounds.
Result<void> check_assume_role(const AssumeRole& role);
std::string assume_role_form(const AssumeRole& role);
Result<AwsCredentials> parse_assumed_role(std::string_view xml);
Result<CallerIdentity> parse_caller_identity(std::string_view xml);
// The text between <tag> and </tag>, entities decoded; empty if it is not there.
std::string xml_text(std::string_view xml, std::string_view tag);

class StsClient : public std::enable_shared_from_this<StsClient> {
  public:
    using Target = std::function<Result<StsTarget>()>;  // asked for with every request
    using IdentityDone = std::function<void(Result<CallerIdentity>)>;

    StsClient(HttpClient& http, const Clock& clock, Target target)
        : http_(http), clock_(clock), target_(std::move(target)) {}

    // Signed with `source`, or not at all for a web identity. Errors: permission when STS refuses
    // the keys or the role, unavailable when it does not answer, invalid_argument (check).
    void assume_role(const AssumeRole& role, const std::optional<AwsCredentials>& source,
                     CredentialsDone done);
    void get_caller_identity(const AwsCredentials& credentials, IdentityDone done);

  private:
    struct Call;
    void send(const std::shared_ptr<Call>& call);
    void answered(const std::shared_ptr<Call>& call, Result<HttpResponse> response);

    HttpClient& http_;
    const Clock& clock_;
    Target target_;
    std::chrono::milliseconds clock_offset_{0};  // STS's clock minus ours
};

}  // namespace ridgeline::collector
