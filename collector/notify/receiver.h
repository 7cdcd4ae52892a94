// From a message to what goes over the wire, and from the answer to what it means: one pair of pure
// functions for each type of target.
//
//   webhook    POST of JSON (README, "Webhooks"); with a key, X-Ridgeline-Signature:
//              t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">
//   slack      an incoming webhook
//   (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), or with a token
//              chat.postMessage, then chat.update of the same message, and what is new in its
//              thread
//   pagerduty  Events API v2 (developer.pagerduty.com/docs/events-api-v2), one event for each alert
//   sns        Publish, Query API of 2010-03-31
//   email      see mail.h
#pragma once

#include <string>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/notify/config.h"
#include "collector/notify/message.h"
#include "collector/notify/outbox.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// `secret`: resolved. For all types but email and sns; sent one after the other, each accepted
// before the next.
std::vector<HttpRequest> requests_of(const TargetConfig& target, const std::string& secret,
                                     const Message& message, WallTime now);
Outcome outcome_of(const TargetConfig& target, const Result<HttpResponse>& answer);

// With `credentials`, signed. Errc::invalid_argument for an ARN without a region.
Result<HttpRequest> sns_request(const TargetConfig& target, const Message& message,
                                const AwsCredentials& credentials, WallTime now);

// The message of a mail, RFC 5322 with a text and an HTML part (RFC 2046); CRLF line ends.
std::string mail_of(const TargetConfig& target, const Message& message, WallTime now);

}  // namespace ridgeline::collector
