#include "collector/aws/credentials_chain.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/collector/aws/asked.h"
#include "tests/unit/collector/aws/fake_programs.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using test::Asked;
using Outcome = CredentialsAttempt::Outcome;

namespace {

// Answers when the test says so.
class Source final : public CredentialsProvider {
  public:
    explicit Source(bool stable = false) : stable_(stable) {}
    void fetch(CredentialsDone done) override { waiting.push_back(std::move(done)); }
    bool usable_when_expired() const override { return stable_; }
    std::string_view name() const override { return "source"; }

    void give(const std::string& id, std::optional<WallTime> expires) {
        take()(AwsCredentials{id, "secret", "token", expires, "a source"});
    }
    void refuse(Errc code = Errc::unavailable) { take()(fail(code, "it does not answer")); }
    CredentialsDone take() {
        CredentialsDone front = std::move(waiting.front());
        waiting.pop_front();
        return front;
    }
    std::deque<CredentialsDone> waiting;

  private:
    bool stable_;
};

struct Chain {
    explicit Chain(bool stable = false) {
        std::vector<std::unique_ptr<CredentialsProvider>> links;
        links.push_back(std::make_unique<Source>(stable));
        source = static_cast<Source*>(links.front().get());
        chain.emplace(clock, std::move(links));
    }
    // The key that is handed out now; empty when there is none yet.
    std::string now() {
        const Asked asked(*chain);
        if (asked.answers.empty()) {
            // `asked` goes: what still comes must not find it.
            FAIL("the chain waits");
        }
        return asked.answers[0] ? asked.answers[0]->access_key_id : "";
    }
    test::ManualClock clock;
    Source* source = nullptr;
    std::optional<CredentialsChain> chain;
};

}  // namespace

TEST_CASE("the chain takes the first that has keys and says what it tried", "[credentials]") {
    test::FakeHttp http;
    test::FakePrograms programs;
    const test::ManualClock clock;
    const auto chain =
        default_credentials_chain({.environment = {{"AWS_EC2_METADATA_DISABLED", "true"}},
                                   .region = {},
                                   .http = http,
                                   .programs = programs,
                                   .clock = clock});
    const Asked none(*chain);
    REQUIRE_FALSE(none.answers.at(0));
    CHECK(none.answers[0].error().context.find("AWS_ACCESS_KEY_ID is not set") !=
          std::string::npos);
    CHECK(none.answers[0].error().context.find("AWS_EC2_METADATA_DISABLED") != std::string::npos);
    std::vector<std::string> order;
    for (const CredentialsAttempt& attempt : chain->attempts()) {
        order.push_back(attempt.provider);
        CHECK(attempt.outcome == Outcome::absent);
        CHECK_FALSE(attempt.detail.empty());
    }
    CHECK(order == std::vector<std::string>{"environment", "role of the profile", "web identity",
                                            "credentials file", "credential_process", "config file",
                                            "container", "instance metadata"});
}

TEST_CASE("a profile that the configuration names comes before keys in the environment",
          "[credentials]") {
    const test::TempDir dir;
    const auto file = dir.path() / "credentials";
    std::ofstream(file) << "[ops]\naws_access_key_id=OPS\naws_secret_access_key=S\n";
    test::FakeHttp http;
    test::FakePrograms programs;
    const test::ManualClock clock;
    CredentialsContext context{
        .environment = {{"AWS_SHARED_CREDENTIALS_FILE", file.string()},
                        {"AWS_PROFILE", "ops"},
                        {"AWS_ACCESS_KEY_ID", "ENV"},
                        {"AWS_SECRET_ACCESS_KEY", "S"},
                        {"AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"},
                        {"AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"}},
        .profile_named = true,
        .region = {},
        .http = http,
        .programs = programs,
        .clock = clock};
    const auto named = default_credentials_chain(context);
    CHECK(Asked(*named).answers.at(0)->access_key_id == "OPS");
    CHECK(named->attempts().at(0).outcome == Outcome::absent);
    CHECK(named->attempts().at(3).outcome == Outcome::used);
    CHECK(named->attempts().at(4).outcome == Outcome::not_asked);

    context.profile_named = false;  // AWS_PROFILE alone leaves them
    CHECK(Asked(*default_credentials_chain(context)).answers.at(0)->access_key_id == "ENV");

    context.environment["AWS_PROFILE"] = "nobody";
    context.profile_named = true;
    const auto wrong = default_credentials_chain(context);
    const Asked asked(*wrong);
    CHECK(asked.answers.at(0).error().code == Errc::invalid_argument);
    CHECK(asked.answers[0].error().context.find("no profile \"nobody\"") != std::string::npos);
    CHECK(wrong->attempts().at(1).outcome == Outcome::failed);
}

TEST_CASE("all who ask share one answer", "[credentials]") {
    Chain rig;
    const Asked first(*rig.chain);
    const Asked second(*rig.chain);
    CHECK(rig.source->waiting.size() == 1);
    rig.source->give("A1", {});
    CHECK(first.answers.at(0)->access_key_id == "A1");
    CHECK(second.answers.at(0)->access_key_id == "A1");
    rig.clock.advance(24h * 365);  // without an expiry it is for ever
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.empty());
}

TEST_CASE("keys are renewed ahead of their expiry", "[credentials]") {
    Chain rig;
    const Asked first(*rig.chain);
    rig.source->give("A1", rig.clock.wall_now() + 1h);
    rig.clock.advance(44min);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.empty());

    rig.clock.advance(2min);  // 14 minutes are left: advised, nobody waits
    CHECK(rig.now() == "A1");
    REQUIRE(rig.source->waiting.size() == 1);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.size() == 1);
    rig.source->refuse();
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.empty());  // not again at once
    rig.clock.advance(61s);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.size() == 1);
    rig.source->refuse();

    rig.clock.advance(4min);  // 9 minutes are left: needed, who asks waits
    const Asked needed(*rig.chain);
    CHECK(needed.answers.empty());
    rig.source->refuse();
    CHECK(needed.answers.at(0)->access_key_id == "A1");  // they are still good
    CHECK(rig.now() == "A1");                            // and nobody waits until the next try
    rig.clock.advance(61s);
    const Asked again(*rig.chain);
    CHECK(again.answers.empty());
    rig.source->give("A2", rig.clock.wall_now() + 1h);
    CHECK(again.answers.at(0)->access_key_id == "A2");
    CHECK(rig.now() == "A2");

    rig.clock.advance(61min);  // slept through it
    const Asked late(*rig.chain);
    CHECK(late.answers.empty());
    rig.source->refuse();
    CHECK(late.answers.at(0).error().code == Errc::unavailable);
}

TEST_CASE("short-lived keys are not asked for all the time", "[credentials]") {
    Chain rig;
    const Asked first(*rig.chain);
    rig.source->give("A1", rig.clock.wall_now() + 15min);  // the least that STS gives
    rig.clock.advance(7min);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.empty());
    rig.clock.advance(1min);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.size() == 1);
    rig.source->give("A2", rig.clock.wall_now() + 15min);
}

TEST_CASE("an instance's keys are used on when there are no newer ones", "[credentials]") {
    Chain rig(/*stable=*/true);
    const Asked first(*rig.chain);
    rig.source->give("A1", rig.clock.wall_now() - 1s);  // all that the service has
    CHECK(first.answers.at(0)->access_key_id == "A1");
    rig.clock.advance(5min);
    CHECK(rig.now() == "A1");
    CHECK(rig.source->waiting.empty());
    rig.clock.advance(2min);  // 15 minutes before the end of the 21 they were given
    CHECK(rig.now() == "A1");
    REQUIRE(rig.source->waiting.size() == 1);
    rig.source->refuse();
    rig.clock.advance(1h);  // all this time no answer
    const Asked late(*rig.chain);
    rig.source->refuse();
    CHECK(late.answers.at(0)->access_key_id == "A1");

    rig.chain->invalidate();  // AWS does not take them any more
    const Asked refused(*rig.chain);
    rig.source->refuse();
    CHECK_FALSE(refused.answers.at(0));

    Chain role;
    const Asked expired(*role.chain);
    role.source->give("A1", role.clock.wall_now() - 1s);
    CHECK(expired.answers.at(0).error().code == Errc::unavailable);
}

TEST_CASE("keys that AWS refused are not handed out again", "[credentials]") {
    Chain rig;
    const Asked first(*rig.chain);
    rig.source->give("A1", {});
    rig.chain->invalidate();
    const Asked refused(*rig.chain);
    CHECK(refused.answers.empty());
    rig.source->give("A2", {});
    CHECK(refused.answers.at(0)->access_key_id == "A2");
}
