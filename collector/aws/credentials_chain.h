// Which provider has credentials, and until when its answer is good.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/aws/program_runner.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

// How a provider answered when the chain was last asked.
struct CredentialsAttempt {
    enum class Outcome {
        used,
        absent,     // has none here
        failed,     // should have some and does not
        not_asked,  // an earlier one has some, or has failed
    };
    std::string provider;
    Outcome outcome = Outcome::not_asked;
    std::string detail;  // where the keys come from, or why there are none; no secret
};

// Asks the providers in order and keeps the answer. Keys that expire are renewed ahead of time, by
// the times of AWS's own SDKs: from 15 minutes before (half the keys' life, if that is shorter) in
// the background of their use, from 10 minutes before (a third) those who ask wait for the answer.
// A renewal that fails leaves the old keys in use while they are good, and is tried again after a
// minute. Refused keys are asked for anew at once.
class CredentialsChain final : public CredentialsProvider {
  public:
    // In [0, 1); spreads what many collectors would ask for at the same time.
    using Jitter = std::function<double()>;

    CredentialsChain(const Clock& clock, std::vector<std::unique_ptr<CredentialsProvider>> links,
                     Jitter jitter = {});
    ~CredentialsChain() override;
    void fetch(CredentialsDone done) override;
    void invalidate() override;
    std::string_view name() const override { return "chain"; }

    // One for each provider, in order.
    std::vector<CredentialsAttempt> attempts() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

// What the providers work with. All that it refers to must outlive the chain.
struct CredentialsContext {
    Environment environment;
    // The configuration names the profile (and `environment` has it as AWS_PROFILE): then keys and
    // roles in the environment are left aside, as in botocore.
    bool profile_named = false;
    // Where STS is asked when the environment and the profile name no region; null or empty: the
    // global endpoint.
    std::function<std::string()> region;
    HttpClient& http;
    ProgramRunner& programs;
    const Clock& clock;
    CredentialsChain::Jitter jitter = {};
};

// botocore's order: environment, the profile's role, web identity, credentials file,
// credential_process, config file, container, instance metadata.
std::unique_ptr<CredentialsChain> default_credentials_chain(const CredentialsContext& context);

}  // namespace ridgeline::collector
