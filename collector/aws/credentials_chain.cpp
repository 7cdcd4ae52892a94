#include "collector/aws/credentials_chain.h"

#include <algorithm>
#include <utility>

#include "collector/aws/metadata_credentials.h"
#include "collector/aws/process_credentials.h"
#include "collector/aws/role_credentials.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// botocore's advisory and mandatory refresh, before the keys expire.
constexpr std::chrono::milliseconds kRefreshAdvised = 15min;
constexpr std::chrono::milliseconds kRefreshNeeded = 10min;
// How long to leave the providers alone that failed while the old keys are still good.
constexpr auto kRefreshPause = 1min;
// botocore's extension of keys that an instance's metadata hand out expired: the advised time and 2
// to 10 minutes more.
constexpr std::chrono::milliseconds kExtensionLeast = 2min;
constexpr std::chrono::milliseconds kExtensionMost = 10min;

// Stands in the chain where a configured profile takes the place of the environment's keys.
class IgnoredEnvironment final : public CredentialsProvider {
  public:
    explicit IgnoredEnvironment(std::string profile) : profile_(std::move(profile)) {}
    void fetch(CredentialsDone done) override {
        done(fail(Errc::not_found,
                  "left aside, since the configuration names the profile " + profile_));
    }
    std::string_view name() const override { return "environment"; }

  private:
    std::string profile_;
};

}  // namespace

// Shared with the callbacks under way, which may outlive the chain.
struct CredentialsChain::State : std::enable_shared_from_this<CredentialsChain::State> {
    State(const Clock& c, std::vector<std::unique_ptr<CredentialsProvider>> l, Jitter j)
        : clock(c), links(std::move(l)), jitter(std::move(j)) {
        forget_attempts();
    }

    const Clock& clock;
    std::vector<std::unique_ptr<CredentialsProvider>> links;
    Jitter jitter;
    std::vector<CredentialsAttempt> attempts;

    std::optional<AwsCredentials> cached;
    std::chrono::milliseconds life{0};  // of the cached keys, when they came
    bool outlive_expiry = false;        // their provider's usable_when_expired()
    WallTime next_refresh{};
    bool asking = false;
    bool closed = false;
    std::vector<CredentialsDone> waiting;

    void forget_attempts() {
        attempts.clear();
        for (const auto& link : links) {
            CredentialsAttempt& attempt = attempts.emplace_back();
            attempt.provider = link->name();
        }
    }

    bool expires_within(std::chrono::milliseconds ahead) const {
        return cached->expires && clock.wall_now() >= *cached->expires - ahead;
    }
    bool usable() const { return cached && !expires_within(0ms); }
    bool refresh_advised() const { return expires_within(std::min(kRefreshAdvised, life / 2)); }
    bool refresh_needed() const { return expires_within(std::min(kRefreshNeeded, life / 3)); }
    bool pausing() const { return clock.wall_now() < next_refresh; }

    void ask(std::size_t link, std::string tried) {
        if (link == 0) forget_attempts();
        if (link == links.size()) {
            finish(fail(Errc::not_found, "no AWS credentials:" + tried), false);
            return;
        }
        links[link]->fetch([self = shared_from_this(), link,
                            tried = std::move(tried)](Result<AwsCredentials> answer) mutable {
            if (!self->closed) self->answered(link, std::move(tried), std::move(answer));
        });
    }

    void answered(std::size_t link, std::string tried, Result<AwsCredentials> answer) {
        using Outcome = CredentialsAttempt::Outcome;
        CredentialsAttempt& attempt = attempts[link];
        attempt.detail = answer ? answer->origin : answer.error().context;
        if (answer) {
            attempt.outcome = Outcome::used;
        } else if (answer.error().code != Errc::not_found) {
            attempt.outcome = Outcome::failed;
        } else {
            attempt.outcome = Outcome::absent;
            ask(link + 1, tried + (link == 0 ? " " : "; ") + attempt.provider + ": " +
                              answer.error().context);
            return;
        }
        if (!answer) {
            Error error = std::move(answer).error();
            answer = fail(std::move(error).within(attempt.provider));
        }
        finish(std::move(answer), links[link]->usable_when_expired());
    }

    void finish(Result<AwsCredentials> answer, bool may_outlive) {
        asking = false;
        const WallTime now = clock.wall_now();
        next_refresh = now + kRefreshPause;
        if (answer && answer->expires && *answer->expires <= now && !may_outlive) {
            answer = fail(Errc::unavailable, answer->origin + ": keys that have expired");
        }
        if (answer) {
            cached = *answer;
            outlive_expiry = may_outlive;
            life =
                cached->expires
                    ? std::chrono::duration_cast<std::chrono::milliseconds>(*cached->expires - now)
                    : 0ms;
            if (cached->expires && *cached->expires <= now) extend();
        } else if (usable()) {
            answer = *cached;  // a failed refresh is nobody's business yet
        } else if (cached && outlive_expiry) {
            extend();
            answer = *cached;
        }
        for (CredentialsDone& done : std::exchange(waiting, {}))
            done(answer);
    }

    // Expired keys stay in use until AWS refuses them; new ones are asked for at the advised time
    // of the life that they are given.
    void extend() {
        const double chance = jitter ? jitter() : 0.5;
        const auto more = std::chrono::duration_cast<std::chrono::milliseconds>(
            chance * (kExtensionMost - kExtensionLeast));
        life = 2 * kRefreshAdvised;  // of those with a long life
        cached->expires = clock.wall_now() + kRefreshAdvised + kExtensionLeast + more;
        next_refresh = *cached->expires - kRefreshAdvised;
    }
};

CredentialsChain::CredentialsChain(const Clock& clock,
                                   std::vector<std::unique_ptr<CredentialsProvider>> links,
                                   Jitter jitter)
    : state_(std::make_shared<State>(clock, std::move(links), std::move(jitter))) {}

CredentialsChain::~CredentialsChain() {
    state_->closed = true;
}

void CredentialsChain::fetch(CredentialsDone done) {
    State& state = *state_;
    const bool usable = state.usable();
    const bool due = !usable || (state.refresh_advised() && !state.pausing());
    if (usable && !(due && state.refresh_needed())) {
        done(*state.cached);
    } else {
        state.waiting.push_back(std::move(done));
    }
    if (!due || std::exchange(state.asking, true)) return;
    state.ask(0, "");
}

void CredentialsChain::invalidate() {
    state_->cached.reset();
    for (auto& link : state_->links)
        link->invalidate();
}

std::vector<CredentialsAttempt> CredentialsChain::attempts() const {
    return state_->attempts;
}

std::unique_ptr<CredentialsChain> default_credentials_chain(const CredentialsContext& context) {
    const Environment& environment = context.environment;
    // Without what a configured profile takes the place of; `credential_source = Environment` asks
    // for it all the same.
    Environment of_profile = environment;
    std::vector<std::unique_ptr<CredentialsProvider>> links;
    if (context.profile_named) {
        for (const char* name :
             {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME"})
            of_profile.erase(name);
        links.push_back(std::make_unique<IgnoredEnvironment>(aws_profile_name(environment)));
    } else {
        links.push_back(std::make_unique<EnvironmentCredentials>(environment));
    }
    const auto sts = std::make_shared<StsClient>(
        context.http, context.clock, [environment, region = context.region] {
            return sts_target(environment, region ? region() : std::string());
        });
    links.push_back(
        std::make_unique<RoleCredentials>(environment, context.http, context.programs, sts));
    links.push_back(std::make_unique<WebIdentityCredentials>(of_profile, sts));
    links.push_back(
        std::make_unique<FileCredentials>(environment, FileCredentials::File::credentials));
    links.push_back(std::make_unique<ProcessCredentials>(environment, context.programs));
    links.push_back(std::make_unique<FileCredentials>(environment, FileCredentials::File::config));
    links.push_back(std::make_unique<ContainerCredentials>(environment, context.http));
    links.push_back(std::make_unique<InstanceCredentials>(environment, context.http));
    return std::make_unique<CredentialsChain>(context.clock, std::move(links), context.jitter);
}

}  // namespace ridgeline::collector
