#include "collector/notify/receiver.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <random>

#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <nlohmann/json.hpp>

#include "collector/aws/sigv4.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kWebhookItemsMax = 1'000;
// docs.slack.dev/reference/block-kit/blocks: header 150 characters, section text 3,000.
constexpr std::size_t kSlackTitleBytesMax = 150;
constexpr std::size_t kSlackSectionBytesMax = 3'000;
// Events API v2: summary 1,024 characters, dedup_key 255, the whole event 512 KB.
constexpr std::size_t kPagerDutySummaryMax = 1'024;
constexpr std::size_t kSnsSubjectMax = 99;          // "less than 100 characters"
constexpr std::size_t kSnsMessageMax = 200 * 1024;  // of 256 KB
constexpr std::size_t kDetailMax = 300;
constexpr std::chrono::hours kRetryAfterMax{1};

std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hex(const unsigned char* bytes, std::size_t count) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
        out += kDigits[bytes[i] >> 4U];
        out += kDigits[bytes[i] & 15U];
    }
    return out;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
    const auto bytes = [](std::string_view view) {
        return reinterpret_cast<const unsigned char*>(view.data());
    };
    std::array<unsigned char, 32> digest{};
    mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes(key), key.size(),
                    bytes(text), text.size(), digest.data());
    return hex(digest.data(), digest.size());
}

std::string rfc3339(std::int64_t unix_ms) {
    const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 32> text{};
    const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return {text.data(), n};
}

bool fires(const MessageItem& item) {
    return item.telling != Telling::resolved && item.telling != Telling::was_firing;
}

bool any_fires(const Message& message) {
    return std::any_of(message.items.begin(), message.items.end(), fires);
}

Json attributes_of(const Alert& alert) {
    Json json = Json::object();
    for (const Attribute& attribute : alert.attributes)
        json[attribute.key] = attribute.value;
    return json;
}

Json alert_json(const MessageItem& item) {
    const Alert& alert = item.alert;
    Json json = {{"id", alert.id},
                 {"change", to_string(item.telling)},
                 {"status", fires(item) ? "firing" : "resolved"},
                 {"severity", to_string(alert.severity)},
                 {"rule", alert.rule},
                 {"host", alert.host},
                 {"attributes", attributes_of(alert)},
                 {"summary", alert.summary},
                 {"value", alert.value},
                 {"threshold", alert.threshold},
                 {"unit", alert.unit},
                 {"since", rfc3339(alert.since_ms)},
                 {"fired_at", rfc3339(alert.fired_ms)}};
    if (!fires(item)) json["resolved_at"] = rfc3339(alert.resolved_ms);
    if (!alert.runbook.empty()) json["runbook"] = alert.runbook;
    if (!alert.reason.empty()) json["reason"] = alert.reason;
    return json;
}

HttpRequest post(const std::string& url, std::string body, const char* type = "application/json") {
    HttpRequest request;
    request.method = "POST";
    request.url = url;
    request.headers = {{"Content-Type", type}};
    request.body = std::move(body);
    return request;
}

HttpRequest webhook(const TargetConfig& target, const std::string& secret, const Message& message,
                    WallTime now) {
    Json alerts = Json::array();
    for (const MessageItem& item : message.items) {
        if (alerts.size() == kWebhookItemsMax) break;
        alerts.push_back(alert_json(item));
    }
    const Json body = {{"version", 1},
                       {"key", message.key},
                       {"target", message.target},
                       {"group", message.group},
                       {"test", message.is_test},
                       {"status", any_fires(message) ? "firing" : "resolved"},
                       {"severity", to_string(message.gravest)},
                       {"title", title_of(message)},
                       {"firing", message.firing},
                       {"truncated", message.items.size() - alerts.size()},
                       {"alerts", alerts}};
    HttpRequest request = post(target.url, dump(body));
    request.headers.push_back({"Idempotency-Key", message.key});
    if (!secret.empty()) {
        const std::string at = std::to_string(to_unix_ms(now) / 1000);
        request.headers.push_back(
            {"X-Ridgeline-Signature",
             "t=" + at + ",v1=" + hmac_sha256(secret, at + "." + request.body)});
    }
    return request;
}

// The three characters that Slack's markup is made of
// (docs.slack.dev/messaging/formatting-message-text); without them nothing in the text can mention
// or link.
std::string slack_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else
            out += c;
    }
    return out;
}

std::string slack_lines(const Message& message) {
    std::string text;
    std::vector<std::string> lines = lines_of(message);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        std::string line = slack_text(lines[i]);
        if (i < message.items.size() && i < kItemsSpelledOut) {
            const std::string& runbook = message.items[i].alert.runbook;
            const bool safe = runbook.starts_with("https://") &&
                              runbook.find_first_of("<>|& \n") == std::string::npos &&
                              runbook.size() < 500;
            if (safe) line += " <" + runbook + "|runbook>";
        }
        if (text.size() + line.size() + 1 > kSlackSectionBytesMax) break;
        text += (text.empty() ? "" : "\n") + line;
    }
    return text;
}

Json slack_message(const Message& message) {
    const std::string title = clean(title_of(message), kSlackTitleBytesMax);
    const char* mark = !any_fires(message)               ? ":white_check_mark: "
                       : message.gravest <= Severity::p2 ? ":red_circle: "
                                                         : ":warning: ";
    std::string text = slack_lines(message);
    Json blocks = Json::array();
    blocks.push_back(
        {{"type", "section"},
         {"text", {{"type", "mrkdwn"}, {"text", mark + ("*" + slack_text(title) + "*")}}}});
    blocks.push_back(
        {{"type", "section"}, {"text", {{"type", "mrkdwn"}, {"text", std::move(text)}}}});
    if (message.firing > 0) {
        blocks.push_back({{"type", "context"},
                          {"elements",
                           {{{"type", "mrkdwn"},
                             {"text", std::to_string(message.firing) + " firing in " +
                                          slack_text(clean(message.group, 200))}}}}});
    }
    return {{"text", slack_text(title)}, {"blocks", blocks}, {"unfurl_links", false}};
}

// "channel:ts" of the first message; empty when there is none yet.
std::pair<std::string, std::string> slack_place(const std::string& remote) {
    const std::size_t colon = remote.find(':');
    if (colon == std::string::npos) return {};
    return {remote.substr(0, colon), remote.substr(colon + 1)};
}

std::vector<HttpRequest> slack(const TargetConfig& target, const std::string& secret,
                               const Message& message) {
    Json body = slack_message(message);
    if (secret.empty()) {
        body.erase("unfurl_links");  // of chat.postMessage alone
        return {post(target.url, dump(body))};
    }
    const auto call = [&](const char* method, const Json& arguments) {
        HttpRequest request =
            post(target.url + "/" + method, dump(arguments), "application/json; charset=utf-8");
        request.headers.push_back({"Authorization", "Bearer " + secret});
        return request;
    };
    const auto [channel, ts] = slack_place(message.remote);
    if (ts.empty()) {
        body["channel"] = target.channel;
        return {call("chat.postMessage", body)};
    }
    Json update = body;
    update.erase("unfurl_links");
    update["channel"] = channel;
    update["ts"] = ts;
    Json reply = {{"channel", channel},
                  {"thread_ts", ts},
                  {"text", slack_lines(message)},
                  {"unfurl_links", false}};
    // What wakes somebody is seen in the channel too.
    const bool loud =
        std::any_of(message.items.begin(), message.items.end(), [](const MessageItem& item) {
            return item.telling == Telling::firing || item.telling == Telling::raised;
        });
    if (loud) reply["reply_broadcast"] = true;
    return {call("chat.update", update), call("chat.postMessage", reply)};
}

const char* pagerduty_severity(Severity severity) {
    switch (severity) {
        case Severity::p1:
            return "critical";
        case Severity::p2:
            return "error";
        case Severity::p3:
            return "warning";
        case Severity::p4:
            return "info";
    }
    return "error";
}

const char* pagerduty_action(const MessageItem& item) {
    if (item.telling == Telling::acknowledged) return "acknowledge";
    return fires(item) ? "trigger" : "resolve";
}

std::vector<HttpRequest> pagerduty(const TargetConfig& target, const std::string& secret,
                                   const Message& message) {
    std::vector<HttpRequest> requests;
    for (const MessageItem& item : message.items) {
        const Alert& alert = item.alert;
        Json event = {{"routing_key", secret},
                      {"event_action", pagerduty_action(item)},
                      {"dedup_key", message.is_test ? "ridgeline-test" : item.incident}};
        if (fires(item) && item.telling != Telling::acknowledged) {
            const std::string what =
                alert.summary.empty() ? alert.rule + " on " + alert.host : alert.summary;
            event["client"] = "Ridgeline";
            event["payload"] = {
                {"summary", clean(what, kPagerDutySummaryMax)},
                // Required: what is about no single host comes from its rule.
                {"source", clean(alert.host.empty() ? alert.rule : alert.host, 255)},
                {"severity", pagerduty_severity(alert.severity)},
                {"timestamp", rfc3339(alert.since_ms)},
                {"component", clean(alert.rule, 255)},
                {"custom_details",
                 {{"rule", alert.rule},
                  {"attributes", attributes_of(alert)},
                  {"value", alert.value},
                  {"threshold", alert.threshold},
                  {"unit", alert.unit}}}};
            if (alert.runbook.starts_with("https://"))
                event["links"] = Json::array({{{"href", alert.runbook}, {"text", "runbook"}}});
        }
        requests.push_back(post(target.url, dump(event)));
    }
    return requests;
}

// "Retry-After: 30"; a date is not used by any of these services.
std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& answer) {
    const std::string* header = answer.header("retry-after");
    if (header == nullptr) return std::nullopt;
    std::int64_t seconds = 0;
    const auto [end, error] =
        std::from_chars(header->data(), header->data() + header->size(), seconds);
    if (error != std::errc{} || end != header->data() + header->size() || seconds < 0)
        return std::nullopt;
    return std::min<std::chrono::milliseconds>(
        std::chrono::seconds{std::min<std::int64_t>(seconds, 86'400)}, kRetryAfterMax);
}

// Slack answers 200 to most mistakes. (docs.slack.dev/reference/methods/chat.postMessage,
// "Errors".)
Outcome slack_outcome(const HttpResponse& answer) {
    const Json json = Json::parse(answer.body, nullptr, false);
    if (!json.is_object() || !json.contains("ok") || !json["ok"].is_boolean())
        return {Outcome::Kind::retry, "Slack's answer cannot be read", {}, {}};
    const auto text = [&](const char* key) {
        return json.contains(key) && json[key].is_string() ? json[key].get<std::string>()
                                                           : std::string();
    };
    if (json["ok"].get<bool>()) {
        const std::string channel = text("channel");
        const std::string ts = text("ts");
        return {Outcome::Kind::accepted,
                "",
                {},
                channel.empty() || ts.empty() ? "" : channel + ":" + ts};
    }
    const std::string error = text("error");
    static const std::array<std::string_view, 6> kPassing = {
        "ratelimited", "rate_limited",        "internal_error",
        "fatal_error", "service_unavailable", "request_timeout"};
    // Of chat.update alone: removed by somebody, or too old to be changed.
    static const std::array<std::string_view, 3> kGone = {
        "message_not_found", "cant_update_message", "edit_window_closed"};
    if (std::find(kGone.begin(), kGone.end(), error) != kGone.end())
        return {Outcome::Kind::retry, "Slack says " + error, {}, {}, true};
    const bool passing = std::find(kPassing.begin(), kPassing.end(), error) != kPassing.end();
    return {passing ? Outcome::Kind::retry : Outcome::Kind::refused,
            "Slack says " + clean(error, 100),
            retry_after(answer),
            {}};
}

std::string form(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string out;
    for (const auto& [key, value] : fields) {
        out += (out.empty() ? "" : "&") + key + "=";
        for (const char c : value) {
            const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
                               c == '~';
            if (plain) {
                out += c;
            } else {
                const auto byte = static_cast<unsigned char>(c);
                out += '%';
                out += "0123456789ABCDEF"[byte >> 4U];
                out += "0123456789ABCDEF"[byte & 15U];
            }
        }
    }
    return out;
}

std::string text_of(const Message& message) {
    std::string text;
    for (const std::string& line : lines_of(message))
        text += line + "\n";
    for (std::size_t i = 0; i < std::min(message.items.size(), kItemsSpelledOut); ++i) {
        const Alert& alert = message.items[i].alert;
        text += "\n" + clean(alert.rule + " on " + alert.host, 300) + "\n";
        for (const Attribute& attribute : alert.attributes)
            text += "  " + clean(attribute.key + ": " + attribute.value, 300) + "\n";
        text += "  since: " + rfc3339(alert.since_ms) + "\n";
        if (!alert.runbook.empty()) text += "  runbook: " + clean(alert.runbook, 500) + "\n";
    }
    return text;
}

// At most so many bytes, and no part of a UTF-8 character.
std::string cut(std::string text, std::size_t bytes_max) {
    if (text.size() <= bytes_max) return text;
    std::size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80)
        --end;
    text.resize(end);
    return text;
}

std::string html_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else
            out += c;
    }
    return out;
}

std::string html_of(const Message& message) {
    std::string html =
        "<html><body><h3>" + html_text(title_of(message)) +
        "</h3><table cellpadding=\"4\" border=\"1\" style=\"border-collapse:collapse\">"
        "<tr><th>Severity</th><th>State</th><th>Host</th><th>What</th><th>Since</th></tr>";
    for (std::size_t i = 0; i < std::min(message.items.size(), kItemsSpelledOut); ++i) {
        const MessageItem& item = message.items[i];
        const Alert& alert = item.alert;
        html += "<tr><td>" + std::string(to_string(alert.severity)) + "</td><td>" +
                std::string(to_string(item.telling)) + "</td><td>" +
                html_text(clean(alert.host, 255)) + "</td><td>" +
                html_text(clean(alert.summary.empty() ? alert.rule : alert.summary, 500));
        if (alert.runbook.starts_with("https://"))
            html += " <a href=\"" + html_text(clean(alert.runbook, 500)) + "\">runbook</a>";
        html += "</td><td>" + rfc3339(alert.since_ms) + "</td></tr>";
    }
    html += "</table>";
    if (message.items.size() > kItemsSpelledOut)
        html += "<p>… and " + std::to_string(message.items.size() - kItemsSpelledOut) + " more</p>";
    return html + "</body></html>";
}

// RFC 2045 base64, lines of 76.
std::string base64_lines(std::string_view text) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    mbedtls_base64_encode(nullptr, 0, &size, bytes, text.size());
    std::string encoded(size, '\0');
    mbedtls_base64_encode(reinterpret_cast<unsigned char*>(encoded.data()), encoded.size(), &size,
                          bytes, text.size());
    encoded.resize(size);
    std::string out;
    for (std::size_t at = 0; at < encoded.size(); at += 76)
        out += encoded.substr(at, 76) + "\r\n";
    return out;
}

// An encoded word for each piece of at most 45 bytes, cut between characters (RFC 2047).
std::string header_text(std::string_view text) {
    const bool ascii =
        std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7F; });
    if (ascii) return std::string(text);
    std::string out;
    while (!text.empty()) {
        const std::string piece = clean(text, 45);
        std::string encoded = base64_lines(piece);
        while (!encoded.empty() && (encoded.back() == '\n' || encoded.back() == '\r'))
            encoded.pop_back();
        out += (out.empty() ? "" : "\r\n ") + ("=?UTF-8?B?" + encoded + "?=");
        text.remove_prefix(std::max<std::size_t>(piece.size(), 1));
    }
    return out;
}

std::string mail_date(WallTime now) {
    const auto seconds = static_cast<std::time_t>(to_unix_ms(now) / 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 64> text{};
    const std::size_t n =
        std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S +0000", &utc);
    return {text.data(), n};
}

}  // namespace

std::vector<HttpRequest> requests_of(const TargetConfig& target, const std::string& secret,
                                     const Message& message, WallTime now) {
    switch (target.type) {
        case TargetType::webhook:
            return {webhook(target, secret, message, now)};
        case TargetType::slack:
            return slack(target, secret, message);
        case TargetType::pagerduty:
            return pagerduty(target, secret, message);
        case TargetType::email:
        case TargetType::sns:
            break;
    }
    return {};
}

Outcome outcome_of(const TargetConfig& target, const Result<HttpResponse>& answer) {
    if (!answer) {
        // No whole answer: it may have arrived, and goes again under its key.
        const bool unusable = answer.error().code == Errc::invalid_argument;
        return {unusable ? Outcome::Kind::refused : Outcome::Kind::retry,
                answer.error().context,
                {},
                {}};
    }
    const int status = answer->status;
    if (status >= 200 && status < 300) {
        if (target.type == TargetType::slack && !target.secret.empty())
            return slack_outcome(*answer);
        return {};
    }
    const bool passing = status == 408 || status == 425 || status == 429 || status >= 500;
    std::string detail = "status " + std::to_string(status);
    if (!answer->body.empty()) detail += ": " + clean(answer->body, kDetailMax);
    return {passing ? Outcome::Kind::retry : Outcome::Kind::refused,
            std::move(detail),
            retry_after(*answer),
            {}};
}

Result<HttpRequest> sns_request(const TargetConfig& target, const Message& message,
                                const AwsCredentials& credentials, WallTime now) {
    // arn:aws:sns:<region>:<account>:<topic>
    std::vector<std::string> parts;
    for (std::size_t from = 0; from <= target.topic_arn.size();) {
        const std::size_t to = std::min(target.topic_arn.find(':', from), target.topic_arn.size());
        parts.push_back(target.topic_arn.substr(from, to - from));
        from = to + 1;
    }
    if (parts.size() < 6 || parts[3].empty())
        return fail(Errc::invalid_argument, "topic_arn has no region: " + target.topic_arn);
    const bool china = parts[1] == "aws-cn";
    const std::string url = target.url.empty() ? "https://sns." + parts[3] + ".amazonaws.com" +
                                                     (china ? ".cn" : "") + "/"
                                               : target.url;
    // A subject is ASCII, on one line, and begins with a letter, number or punctuation mark.
    std::string subject;
    for (const char c : clean(title_of(message), kSnsSubjectMax))
        subject += c >= ' ' && c < 0x7F ? c : '?';
    std::vector<std::pair<std::string, std::string>> fields = {
        {"Action", "Publish"},
        {"Version", "2010-03-31"},
        {"TopicArn", target.topic_arn},
        {"Subject", subject},
        {"Message", cut(text_of(message), kSnsMessageMax)},
    };
    if (target.topic_arn.ends_with(".fifo")) {
        fields.push_back({"MessageGroupId", "ridgeline"});
        fields.push_back({"MessageDeduplicationId", message.key});
    }
    HttpRequest request =
        post(url, form(fields), "application/x-www-form-urlencoded; charset=utf-8");
    RL_TRY(sign_request(request, credentials, {parts[3], "sns"}, now));
    return request;
}

std::string mail_of(const TargetConfig& target, const Message& message, WallTime now) {
    const std::string domain = target.from.substr(target.from.find('@') + 1);
    const std::string boundary = "ridgeline-" + message.key;
    std::string to;
    for (const std::string& address : target.to)
        to += (to.empty() ? "" : ", ") + address;
    const std::string thread =
        "<thread-" + std::to_string(message.thread) + "." + target.name + "@" + domain + ">";
    std::string mail;
    mail += "From: Ridgeline <" + target.from + ">\r\n";
    mail += "To: " + to + "\r\n";
    mail += "Subject: " + header_text(title_of(message)) + "\r\n";
    mail += "Date: " + mail_date(now) + "\r\n";
    mail += "Message-ID: <" + message.key + "." + target.name + "@" + domain + ">\r\n";
    // Of a message that is never sent: mail programs put its answers together all the same.
    mail += "In-Reply-To: " + thread + "\r\nReferences: " + thread + "\r\n";
    mail += "Auto-Submitted: auto-generated\r\n";
    mail += "MIME-Version: 1.0\r\n";
    mail += "Content-Type: multipart/alternative; boundary=\"" + boundary + "\"\r\n\r\n";
    const auto part = [&](const char* type, const std::string& body) {
        mail += "--" + boundary + "\r\nContent-Type: " + type +
                "; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                base64_lines(body) + "\r\n";
    };
    part("text/plain", text_of(message));
    part("text/html", html_of(message));
    mail += "--" + boundary + "--\r\n";
    return mail;
}

}  // namespace ridgeline::collector
