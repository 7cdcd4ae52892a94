// Carries messages to their targets, over HTTP and SMTP.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/notify/config.h"
#include "collector/notify/message.h"
#include "collector/notify/outbox.h"
#include "common/base/clock.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

using SentDone = std::function<void(const Outcome&)>;

class MessageSender {
  public:
    virtual ~MessageSender() = default;
    // `done` runs once, perhaps before send() has returned; not after the sender is gone.
    virtual void send(const TargetConfig& target, const Message& message, SentDone done) = 0;
};

// Secrets are read anew for each message, so that they can be replaced. Loop thread.
class NetworkSender final : public MessageSender {
  public:
    // All must outlive it. `aws_http` is for what goes to AWS.
    NetworkSender(net::Loop& loop, HttpClient& http, HttpClient& aws_http,
                  CredentialsProvider& credentials, const Clock& clock)
        : loop_(loop), http_(http), aws_http_(aws_http), credentials_(credentials), clock_(clock) {}

    void send(const TargetConfig& target, const Message& message, SentDone done) override;

  private:
    struct Series;
    void send_next(const std::shared_ptr<Series>& series);
    void send_email(const TargetConfig& target, const std::string& password, const Message& message,
                    SentDone done);
    void send_sns(const TargetConfig& target, const Message& message, SentDone done);

    net::Loop& loop_;
    HttpClient& http_;
    HttpClient& aws_http_;
    CredentialsProvider& credentials_;
    const Clock& clock_;
    std::shared_ptr<char> alive_ =
        std::make_shared<char>('\0');  // held weakly by what is under way
};

}  // namespace ridgeline::collector
