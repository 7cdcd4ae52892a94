#include "collector/notify/receiver.h"

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

namespace ridgeline::collector {
namespace {

using Catch::Contains;
using nlohmann::json;
using namespace std::chrono_literals;

const WallTime kNow = from_unix_ms(1'772'445'600'000);  // 2026-03-02T10:00:00Z

Message message(Telling telling = Telling::firing, const std::string& summary = "web-1: CPU 93%") {
    Message made;
    made.target = "ops";
    made.thread = 7;
    made.group = "rule=cpu.sustained";
    made.key = "7-42";
    made.firing = 1;
    made.gravest = Severity::p2;
    MessageItem& item = made.items.emplace_back();
    item.telling = telling;
    item.incident = "ridgeline-1-12";
    item.alert.id = 12;
    item.alert.rule = "cpu.sustained";
    item.alert.host = "web-1";
    item.alert.severity = Severity::p2;
    item.alert.summary = summary;
    item.alert.value = 0.93;
    item.alert.threshold = 0.8;
    item.alert.attributes = {{"state", "used"}};
    item.alert.since_ms = item.alert.fired_ms = to_unix_ms(kNow);
    return made;
}

TargetConfig target(TargetType type, const std::string& secret = "") {
    TargetConfig made;
    made.name = "ops";
    made.type = type;
    made.url = "https://example.com/hook";
    made.secret = secret;
    made.channel = "C0123456789";
    made.from = "ridgeline@example.com";
    made.to = {"ops@example.com", "lead@example.com"};
    made.topic_arn = "arn:aws:sns:eu-central-1:123456789012:ops";
    return made;
}

std::string header(const HttpRequest& request, std::string_view name) {
    for (const HttpHeader& header : request.headers) {
        if (header.name == name) return header.value;
    }
    return "";
}

Result<HttpResponse> answer(int status, std::string body = "",
                            std::vector<HttpHeader> headers = {}) {
    return HttpResponse{status, std::move(headers), std::move(body)};
}

TEST_CASE("a webhook's signature covers time and body", "[receiver]") {
    const auto requests = requests_of(target(TargetType::webhook), "key", message(), kNow);
    REQUIRE(requests.size() == 1);
    REQUIRE(header(requests[0], "Idempotency-Key") == "7-42");
    // printf '1772445600.{}' | openssl dgst -sha256 -hmac key, of the body as it is: the form here,
    // the value against Python's hmac in the integration test.
    REQUIRE_THAT(header(requests[0], "X-Ridgeline-Signature"),
                 Catch::Matchers::StartsWith("t=1772445600,v1="));
    REQUIRE(header(requests[0], "X-Ridgeline-Signature").size() == 16 + 64);
    const json body = json::parse(requests[0].body);
    REQUIRE(body["alerts"][0]["summary"] == "web-1: CPU 93%");
    REQUIRE(body["alerts"][0]["change"] == "firing");
    REQUIRE(body["alerts"][0]["since"] == "2026-03-02T10:00:00Z");
    REQUIRE(body["truncated"] == 0);
    REQUIRE(header(requests_of(target(TargetType::webhook), "", message(), kNow)[0],
                   "X-Ridgeline-Signature")
                .empty());
}

TEST_CASE("nothing in a text mentions, links or breaks out in Slack", "[receiver]") {
    const auto requests =
        requests_of(target(TargetType::slack), "",
                    message(Telling::firing, "<!channel> @here & <http://evil|x>\n*b*"), kNow);
    const json body = json::parse(requests[0].body);
    const std::string text = body["blocks"][1]["text"]["text"];
    REQUIRE(text == "P2 FIRING &lt;!channel&gt; @here &amp; &lt;http://evil|x&gt; *b*");
    REQUIRE_FALSE(body.contains("channel"));
    Message large = message();
    for (int i = 0; i < 40; ++i)
        large.items.push_back(message(Telling::firing, std::string(600, '<')).items[0]);
    const json bounded =
        json::parse(requests_of(target(TargetType::slack), "", large, kNow)[0].body);
    REQUIRE(bounded["blocks"][1]["text"]["text"].get<std::string>().size() <= 3'000);
}

TEST_CASE("with a token Slack's message is posted once, then edited, with the news in its thread",
          "[receiver]") {
    const TargetConfig slack = target(TargetType::slack, "xoxb-1");
    auto requests = requests_of(slack, "xoxb-1", message(), kNow);
    REQUIRE(requests.size() == 1);
    REQUIRE(requests[0].url == "https://example.com/hook/chat.postMessage");
    REQUIRE(header(requests[0], "Authorization") == "Bearer xoxb-1");
    REQUIRE(json::parse(requests[0].body)["channel"] == "C0123456789");
    const Outcome posted =
        outcome_of(slack, answer(200, R"({"ok":true,"channel":"C9","ts":"1503435956.000247"})"));
    REQUIRE(posted.kind == Outcome::Kind::accepted);
    REQUIRE(posted.remote == "C9:1503435956.000247");
    Message later = message(Telling::resolved);
    later.remote = posted.remote;
    requests = requests_of(slack, "xoxb-1", later, kNow);
    REQUIRE(requests.size() == 2);
    REQUIRE(requests[0].url == "https://example.com/hook/chat.update");
    REQUIRE(json::parse(requests[0].body)["ts"] == "1503435956.000247");
    REQUIRE(json::parse(requests[1].body)["thread_ts"] == "1503435956.000247");
    REQUIRE_FALSE(json::parse(requests[1].body).contains("reply_broadcast"));
}

TEST_CASE("Slack's 200 is not always a yes", "[receiver]") {
    const TargetConfig slack = target(TargetType::slack, "xoxb-1");
    const auto kind = [&](const char* body) { return outcome_of(slack, answer(200, body)).kind; };
    REQUIRE(kind(R"({"ok":false,"error":"channel_not_found"})") == Outcome::Kind::refused);
    REQUIRE(kind(R"({"ok":false,"error":"is_archived"})") == Outcome::Kind::refused);
    REQUIRE(kind(R"({"ok":false,"error":"ratelimited"})") == Outcome::Kind::retry);
    REQUIRE(kind("<html>") == Outcome::Kind::retry);
    REQUIRE(kind(R"({"ok":"yes"})") == Outcome::Kind::retry);
    REQUIRE(outcome_of(slack, answer(200, R"({"ok":false,"error":"edit_window_closed"})"))
                .forget_remote);
    REQUIRE(outcome_of(target(TargetType::slack), answer(200, "ok")).kind ==
            Outcome::Kind::accepted);
}

TEST_CASE("PagerDuty gets one event an alert, always with the same key", "[receiver]") {
    Message two = message();
    two.items.push_back(message(Telling::resolved).items[0]);
    const auto requests = requests_of(target(TargetType::pagerduty), "routing", two, kNow);
    REQUIRE(requests.size() == 2);
    const json trigger = json::parse(requests[0].body);
    REQUIRE(trigger["event_action"] == "trigger");
    const std::string key = trigger["dedup_key"];
    REQUIRE(key == "ridgeline-1-12");
    REQUIRE(trigger["payload"]["severity"] == "error");
    REQUIRE(trigger["payload"]["summary"] == "web-1: CPU 93%");
    const json resolve = json::parse(requests[1].body);
    REQUIRE(resolve["event_action"] == "resolve");
    REQUIRE(resolve["dedup_key"] == key);
    REQUIRE_FALSE(resolve.contains("payload"));
    const auto event = [](const Message& of) {
        return json::parse(requests_of(target(TargetType::pagerduty), "routing", of, kNow)[0].body);
    };
    const json acknowledge = event(message(Telling::acknowledged));
    REQUIRE(acknowledge["event_action"] == "acknowledge");
    REQUIRE(acknowledge["dedup_key"] == key);
    REQUIRE_FALSE(acknowledge.contains("payload"));
    // As the outbox names it, whatever its rule is called by now.
    Message renamed = message();
    renamed.items[0].alert.key = "other.rule{host=\"web-1\"}";
    REQUIRE(event(renamed)["dedup_key"] == key);
    // Of a fleet or the collector itself: a source is required all the same.
    Message fleet = message();
    fleet.items[0].alert.host = "";
    REQUIRE(event(fleet)["payload"]["source"] == fleet.items[0].alert.rule);
}

TEST_CASE("an answer is taken, tried again, or given up", "[receiver]") {
    const TargetConfig hook = target(TargetType::webhook);
    for (const int status : {200, 202, 204})
        REQUIRE(outcome_of(hook, answer(status)).kind == Outcome::Kind::accepted);
    for (const int status : {408, 425, 429, 500, 502, 503, 504})
        REQUIRE(outcome_of(hook, answer(status)).kind == Outcome::Kind::retry);
    for (const int status : {301, 400, 401, 403, 404, 410, 413, 422})
        REQUIRE(outcome_of(hook, answer(status)).kind == Outcome::Kind::refused);
    REQUIRE(outcome_of(hook, answer(429, "", {{"retry-after", "30"}})).retry_after == 30s);
    REQUIRE(outcome_of(hook, answer(429, "", {{"retry-after", "999999999"}})).retry_after == 1h);
    for (const char* odd : {"-1", "soon", "", "30 "})
        REQUIRE_FALSE(outcome_of(hook, answer(429, "", {{"retry-after", odd}})).retry_after);
    REQUIRE(outcome_of(hook, fail(Errc::unavailable, "timed out")).kind == Outcome::Kind::retry);
    REQUIRE(outcome_of(hook, fail(Errc::invalid_argument, "no host")).kind ==
            Outcome::Kind::refused);
    REQUIRE(outcome_of(hook, answer(400, "no\nsuch \x1b[31mthing")).detail ==
            "status 400: no such ?[31mthing");
}

TEST_CASE("a mail cannot be talked into other headers", "[receiver]") {
    Message nasty = message(Telling::firing, "x\r\nBcc: evil@example.com");
    nasty.items[0].alert.host = "a\r\nBcc: evil@example.com\r\n\r\n<b>";
    const std::string mail = mail_of(target(TargetType::email), nasty, kNow);
    const std::string head = mail.substr(0, mail.find("\r\n\r\n"));
    REQUIRE_THAT(head, !Contains("\r\nBcc:"));
    REQUIRE_THAT(head, Contains("To: ops@example.com, lead@example.com\r\n"));
    REQUIRE_THAT(head, Contains("Date: Mon, 02 Mar 2026 10:00:00 +0000\r\n"));
    REQUIRE_THAT(head, Contains("Message-ID: <7-42.ops@example.com>\r\n"));
    REQUIRE_THAT(head, Contains("References: <thread-7.ops@example.com>\r\n"));
    nasty.items[0].alert.host = "büro-1";
    REQUIRE_THAT(mail_of(target(TargetType::email), nasty, kNow), Contains("Subject: =?UTF-8?B?"));
}

TEST_CASE("what SNS is told is cut to its limit, between characters", "[receiver]") {
    const AwsCredentials keys{"AKID", "secret", "", {}};
    Message large = message();
    large.items.assign(20, large.items[0]);
    for (MessageItem& item : large.items) {
        for (int i = 0; i < 64; ++i) {
            std::string umlauts;
            for (int j = 0; j < 150; ++j)
                umlauts += "\xC3\xBC";
            item.alert.attributes.push_back({"k" + std::to_string(i), umlauts});
        }
    }
    for (std::size_t shift = 0; shift < 2; ++shift) {
        large.items[0].alert.summary = std::string(shift + 1, 'x');
        const auto request = sns_request(target(TargetType::sns), large, keys, kNow);
        REQUIRE(request);
        const std::string& body = request->body;
        const std::size_t begin = body.find("&Message=") + std::string("&Message=").size();
        const std::string text = body.substr(begin, body.find('&', begin) - begin);
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < text.size(); i += text[i] == '%' ? 3 : 1)
            ++bytes;
        CHECK(bytes <= 262'144);
        CHECK(bytes > 200'000);
        CHECK(text.ends_with("%BC"));
    }
}

TEST_CASE("SNS is asked at its region, signed", "[receiver]") {
    const AwsCredentials keys{"AKID", "secret", "", {}};
    auto request = sns_request(
        [] {
            TargetConfig sns = target(TargetType::sns);
            sns.url.clear();
            return sns;
        }(),
        message(), keys, kNow);
    REQUIRE(request);
    REQUIRE(request->url == "https://sns.eu-central-1.amazonaws.com/");
    REQUIRE_THAT(header(*request, "Authorization"), Contains("/eu-central-1/sns/aws4_request"));
    REQUIRE_THAT(request->body,
                 Catch::Matchers::StartsWith(
                     "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3A"));
    REQUIRE_THAT(request->body, !Contains("MessageGroupId"));
    TargetConfig fifo = target(TargetType::sns);
    fifo.topic_arn += ".fifo";
    REQUIRE_THAT(sns_request(fifo, message(), keys, kNow)->body,
                 Contains("MessageDeduplicationId=7-42"));
    fifo.topic_arn = "arn:aws:sns";
    REQUIRE(sns_request(fifo, message(), keys, kNow).error().code == Errc::invalid_argument);
}

}  // namespace
}  // namespace ridgeline::collector
