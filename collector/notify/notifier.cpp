#include "collector/notify/notifier.h"

#include <optional>

#include "collector/aws/credentials_chain.h"
#include "collector/aws/curl_client.h"
#include "collector/aws/uv_program_runner.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kTakenAtOnce = 500;

}  // namespace

Notifier::Notifier(Outbox outbox, AlertBook& book, MessageSender& sender,
                   const Suppressor& suppressor, const Clock& clock, Outbox::TagsOf tags_of)
    : outbox_(std::move(outbox)),
      book_(book),
      sender_(sender),
      suppressor_(suppressor),
      clock_(clock),
      tags_of_(std::move(tags_of)) {}

bool Notifier::stored(const Result<void>& result) {
    if (result) return true;
    ++storage_errors_;
    static log::RateLimit limit(6);
    limit.write(log::Level::error,
                "the outbox of notifications cannot be read or written; it is tried again",
                {{"error", result.error().context}});
    return false;
}

void Notifier::take() {
    const auto fresh = book_.transitions_after(outbox_.cursor(), kTakenAtOnce);
    if (!fresh) {
        stored(fail(fresh.error()));
        return;
    }
    stored(outbox_.take(*fresh, tags_of_, to_unix_ms(clock_.wall_now())));
}

void Notifier::poll(bool may_send) {
    take();
    if (!may_send) return;
    for (const TargetConfig& target : outbox_.config().targets)
        send_due(target);
}

void Notifier::send_due(const TargetConfig& target) {
    if (busy_.contains(target.name)) return;
    const auto message = outbox_.due(target.name, suppressor_, to_unix_ms(clock_.wall_now()));
    if (!message) {
        stored(fail(message.error()));
        return;
    }
    if (!*message) return;
    busy_.insert(target.name);
    sender_.send(target, **message,
                 [this, sent = **message](const Outcome& outcome) { settle(sent, outcome); });
}

void Notifier::settle(const Message& message, const Outcome& outcome) {
    busy_.erase(message.target);
    if (outcome.kind == Outcome::Kind::accepted) {
        log::info("notified", {{"target", message.target},
                               {"group", message.group},
                               {"alerts", message.items.size()}});
    } else {
        static log::RateLimit limit(6);
        const bool refused = outcome.kind == Outcome::Kind::refused;
        limit.write(refused ? log::Level::error : log::Level::warning,
                    refused ? "a notification was refused"
                            : "a notification did not arrive; it is sent again",
                    {{"target", message.target}, {"error", outcome.detail}});
    }
    stored(outbox_.settle(message, outcome, to_unix_ms(clock_.wall_now())));
}

void Notifier::change(NotifyConfig config) {
    stored(outbox_.change(std::move(config)));
}

Outcome send_test_message(const TargetConfig& target, const AwsConfig& aws) {
    const SystemClock clock;
    net::Loop loop;
    CurlClient http(loop);
    const Environment environment = aws_environment(aws, process_environment());
    CurlClient aws_http(loop, CurlClientOptions{aws_ca_bundle(environment)});
    UvProgramRunner programs(loop);
    const auto credentials = default_credentials_chain({.environment = environment,
                                                        .profile_named = !aws.profile.empty(),
                                                        .region = {},
                                                        .http = aws_http,
                                                        .programs = programs,
                                                        .clock = clock});
    NetworkSender sender(loop, http, aws_http, *credentials, clock);
    Message message;
    message.target = target.name;
    message.group = "test";
    message.key = "test-" + std::to_string(to_unix_ms(clock.wall_now()));
    message.is_test = true;
    Alert alert;
    alert.rule = "ridgeline.test";
    alert.host = "collector";
    alert.since_ms = alert.fired_ms = alert.resolved_ms = to_unix_ms(clock.wall_now());
    alert.state = AlertState::resolved;
    alert.summary = "a test of the notifications to " + target.name + "; nothing is wrong";
    message.items = {{Telling::resolved, alert, 0}};
    std::optional<Outcome> outcome;
    sender.send(target, message, [&](const Outcome& result) {
        outcome = result;
        loop.stop();
    });
    if (!outcome) loop.run();
    return outcome.value_or(Outcome{Outcome::Kind::retry, "no answer", {}, {}});
}

}  // namespace ridgeline::collector
