#include "collector/notify/notifier.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>

#include "collector/aws/credentials_chain.h"
#include "collector/aws/curl_client.h"
#include "collector/aws/uv_program_runner.h"
#include "common/base/crc32c.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kTakenAtOnce = 500;
// Past the outbox; what is beyond is told by the outbox in its turn.
constexpr std::size_t kDirectMax = 1000;

Alert alert_of(const Transition& transition) {
    Alert alert;
    alert.key = transition.key;
    alert.rule = transition.rule;
    alert.host = transition.host;
    alert.attributes = transition.attributes;
    alert.severity = transition.severity;
    alert.since_ms = transition.since_ms;
    alert.fired_ms = transition.time_ms;
    alert.value = transition.value;
    alert.threshold = transition.threshold;
    alert.unit = transition.unit;
    alert.summary = transition.summary;
    alert.runbook = transition.runbook;
    alert.tags = transition.tags;
    return alert;
}

bool fires(const MessageItem& item) {
    return item.alert.state == AlertState::firing;
}

// Not yet numbered, so after what it is about; another one than the outbox's of the same alert.
std::string incident_of(const Outbox& outbox, const Alert& alert) {
    std::array<char, 9> about{};
    std::snprintf(about.data(), about.size(), "%08x", crc32c(std::as_bytes(std::span(alert.key))));
    return outbox.incident(std::string("unstored-") + about.data());
}

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
    stored(outbox_.notice_acknowledged(suppressor_, to_unix_ms(clock_.wall_now())));
    for (const TargetConfig& target : outbox_.config().targets) {
        send_direct(target);
        send_due(target);
    }
}

void Notifier::tell_unstored(const Transition& transition) {
    if (transition.change == Change::resolved) {
        for (auto& [name, direct] : direct_) {
            std::erase_if(direct.waiting, [&](const MessageItem& item) {
                return fires(item) && item.alert.key == transition.key;
            });
            if (auto told = direct.told.extract(transition.key))
                end_incident(direct, std::move(told.mapped()));
        }
        return;
    }
    if (transition.change != Change::fired && transition.change != Change::raised) return;
    const Alert alert = alert_of(transition);
    const std::string incident = incident_of(outbox_, alert);
    if (suppressor_.suppressed(alert, clock_.wall_now())) return;
    const Telling telling = transition.change == Change::raised ? Telling::raised : Telling::firing;
    for (const std::string& name : outbox_.route(alert, tags_of_(alert.host))) {
        Direct& direct = direct_[name];
        // It goes on: what was to be ended is not.
        std::erase_if(direct.waiting, [&](const MessageItem& item) {
            return !fires(item) && item.alert.key == alert.key;
        });
        if (direct.waiting.size() < kDirectMax)
            direct.waiting.push_back({telling, alert, 0, incident});
        else
            ++unstored_left_;
    }
}

void Notifier::stored_again() {
    for (auto& [name, direct] : direct_) {
        std::erase_if(direct.waiting, fires);
        if (direct.in_flight)
            direct.over = true;
        else if (direct.under_way)
            withdraw(name, direct);
        for (auto& [key, alert] : std::exchange(direct.told, {}))
            end_incident(direct, std::move(alert));
    }
}

bool Notifier::keeps_incidents(const std::string& target) const {
    const TargetConfig* config = outbox_.config().target(target);
    return config != nullptr && config->type == TargetType::pagerduty;
}

void Notifier::end_incident(Direct& direct, Alert alert) const {
    // Once is enough; and one that fires anew is ended in its turn.
    const bool known =
        std::any_of(direct.waiting.begin(), direct.waiting.end(),
                    [&](const MessageItem& item) { return item.alert.key == alert.key; });
    if (known) return;
    alert.state = AlertState::resolved;
    alert.resolved_ms = to_unix_ms(clock_.wall_now());
    const std::string incident = incident_of(outbox_, alert);
    direct.waiting.push_back({Telling::resolved, std::move(alert), 0, incident});
}

void Notifier::withdraw(const std::string& target, Direct& direct) {
    const Message message = std::move(*direct.under_way);
    direct.under_way.reset();
    if (!keeps_incidents(target)) return;
    for (const MessageItem& item : message.items)
        end_incident(direct, item.alert);
}

void Notifier::send_direct(const TargetConfig& target) {
    const auto found = direct_.find(target.name);
    if (found == direct_.end() || busy_.contains(target.name)) return;
    Direct& direct = found->second;
    const std::int64_t now = to_unix_ms(clock_.wall_now());
    if (now < direct.not_before_ms) return;
    if (!direct.under_way) {
        if (direct.waiting.empty()) return;
        Message message;
        message.target = target.name;
        message.group = "not stored";
        message.key = "direct-" + target.name + "-" + std::to_string(now);
        message.items = std::exchange(direct.waiting, {});
        std::stable_sort(message.items.begin(), message.items.end(),
                         [&](const MessageItem& a, const MessageItem& b) {
                             return std::pair(!fires(a), a.alert.severity) <
                                    std::pair(!fires(b), b.alert.severity);
                         });
        message.firing = static_cast<std::size_t>(
            std::count_if(message.items.begin(), message.items.end(), fires));
        message.gravest = message.items.front().alert.severity;
        direct.under_way = std::move(message);
    }
    busy_.insert(target.name);
    direct.in_flight = true;
    sender_.send(target, *direct.under_way, [this, name = target.name](const Outcome& outcome) {
        settle_direct(name, outcome);
    });
}

void Notifier::settle_direct(const std::string& target, const Outcome& outcome) {
    busy_.erase(target);
    Direct& direct = direct_[target];
    direct.in_flight = false;
    const bool over = std::exchange(direct.over, false);
    const std::int64_t now = to_unix_ms(clock_.wall_now());
    if (outcome.kind == Outcome::Kind::retry) {
        direct.not_before_ms =
            now + std::max(retry_delay(++direct.attempts, 0),
                           outcome.retry_after.value_or(std::chrono::milliseconds{0}))
                      .count();
        if (over) withdraw(target, direct);
        return;
    }
    if (outcome.kind == Outcome::Kind::refused)
        log::error("a notification was refused", {{"target", target}, {"error", outcome.detail}});
    const Message message = std::move(*direct.under_way);
    direct.under_way.reset();
    if (keeps_incidents(target)) {
        for (const MessageItem& item : message.items) {
            if (!fires(item)) continue;
            if (over)
                end_incident(direct, item.alert);
            else
                direct.told[item.alert.key] = item.alert;
        }
    }
    const TargetConfig* config = outbox_.config().target(target);
    direct.attempts = 0;
    direct.not_before_ms = now + (config == nullptr ? 0 : config->min_gap.count());
}

void Notifier::send_due(const TargetConfig& target) {
    if (busy_.contains(target.name) || !settled(target.name)) return;
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
    unsettled_[message.target] = {message, outcome, to_unix_ms(clock_.wall_now())};
    settled(message.target);
}

bool Notifier::settled(const std::string& target) {
    const auto found = unsettled_.find(target);
    if (found == unsettled_.end()) return true;
    const Unsettled& last = found->second;
    if (!stored(outbox_.settle(last.message, last.outcome, last.time_ms))) return false;
    unsettled_.erase(found);
    return true;
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
