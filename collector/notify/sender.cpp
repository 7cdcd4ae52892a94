#include "collector/notify/sender.h"

#include <utility>

#include "collector/notify/receiver.h"
#include "collector/notify/smtp.h"

namespace ridgeline::collector {

// Requests that make up one message.
struct NetworkSender::Series {
    TargetConfig target;
    std::vector<HttpRequest> requests;
    std::size_t next = 0;
    Outcome first;
    SentDone done;
};

void NetworkSender::send(const TargetConfig& target, const Message& message, SentDone done) {
    const auto secret = resolve_secret(target.secret);
    if (!secret) {
        done(
            {Outcome::Kind::retry, "its secret cannot be read: " + secret.error().context, {}, {}});
        return;
    }
    if (target.type == TargetType::email)
        return send_email(target, *secret, message, std::move(done));
    if (target.type == TargetType::sns) return send_sns(target, message, std::move(done));
    auto series = std::make_shared<Series>();
    series->target = target;
    series->requests = requests_of(target, *secret, message, clock_.wall_now());
    series->done = std::move(done);
    send_next(series);
}

void NetworkSender::send_next(const std::shared_ptr<Series>& series) {
    if (series->next == series->requests.size()) {
        series->done(series->first);
        return;
    }
    http_.send(
        std::move(series->requests[series->next]),
        [this, series, alive = std::weak_ptr<char>(alive_)](const Result<HttpResponse>& answer) {
            if (alive.expired()) return;
            const Outcome outcome = outcome_of(series->target, answer);
            if (outcome.kind != Outcome::Kind::accepted) {
                series->done(outcome);
                return;
            }
            if (series->next == 0) series->first = outcome;
            ++series->next;
            send_next(series);
        });
}

void NetworkSender::send_email(const TargetConfig& target, const std::string& password,
                               const Message& message, SentDone done) {
    struct Work {
        SmtpRequest request;
        Outcome outcome;
    };
    auto work = std::make_shared<Work>();
    work->request = {target.smtp,        target.from,
                     target.to,          target.user,
                     password,           target.ca_file,
                     target.require_tls, mail_of(target, message, clock_.wall_now())};
    net::run_in_worker(
        loop_, [work] { work->outcome = send_mail(work->request); },
        [work, done = std::move(done), alive = std::weak_ptr<char>(alive_)] {
            if (!alive.expired()) done(work->outcome);
        });
}

void NetworkSender::send_sns(const TargetConfig& target, const Message& message, SentDone done) {
    credentials_.fetch(
        [this, target, message, done = std::move(done),
         alive = std::weak_ptr<char>(alive_)](const Result<AwsCredentials>& credentials) {
            if (alive.expired()) return;
            if (!credentials) {
                done({Outcome::Kind::retry,
                      "no AWS credentials: " + credentials.error().context,
                      {},
                      {}});
                return;
            }
            auto request = sns_request(target, message, *credentials, clock_.wall_now());
            if (!request) {
                done({Outcome::Kind::refused, request.error().context, {}, {}});
                return;
            }
            aws_http_.send(std::move(*request),
                           [this, target, done, alive](const Result<HttpResponse>& answer) {
                               if (alive.expired()) return;
                               // 403: keys that have been replaced, perhaps; the next try has fresh
                               // ones.
                               const bool denied = answer && answer->status == 403;
                               if (denied) credentials_.invalidate();
                               Outcome outcome = outcome_of(target, answer);
                               if (denied) outcome.kind = Outcome::Kind::retry;
                               done(outcome);
                           });
        });
}

}  // namespace ridgeline::collector
