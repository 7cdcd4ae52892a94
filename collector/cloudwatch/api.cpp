#include "collector/cloudwatch/api.h"

#include <utility>

#include "collector/aws/http_date.h"
#include "collector/aws/sigv4.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// Signatures are good for 5 minutes either way; below 4 the difference is left alone.
constexpr auto kSkewTolerated = std::chrono::milliseconds{240'000};
constexpr auto kTimeout = 20s;
// GetMetricData gives at most 100,800 points, each a time and a value.
constexpr std::size_t kResponseBytesMax = std::size_t{16} << 20;

}  // namespace

class CloudWatchApi::Impl : public std::enable_shared_from_this<CloudWatchApi::Impl> {
  public:
    Impl(std::string url, std::string where, HttpClient& http, CredentialsProvider& credentials,
         const Clock& clock)
        : endpoint(std::move(url)),
          region(std::move(where)),
          http_(http),
          credentials_(credentials),
          clock_(clock) {}

    struct Call {
        std::string operation;
        std::string json;
        CloudWatchDone done;
        bool repeated = false;
    };

    void start(std::shared_ptr<Call> call) {
        credentials_.fetch(
            [weak = weak_from_this(), call](const Result<AwsCredentials>& credentials) {
                const auto self = weak.lock();
                if (!self) return;
                if (credentials) return self->sign_and_send(call, *credentials);
                Error error = credentials.error();
                call->done(fail(std::move(error).within("no AWS credentials")));
            });
    }

    const std::string endpoint;
    const std::string region;

  private:
    void sign_and_send(const std::shared_ptr<Call>& call, const AwsCredentials& credentials) {
        HttpRequest request;
        request.method = "POST";
        request.url = endpoint + "/";
        request.headers = {{"Content-Type", "application/x-amz-json-1.0"},
                           {"X-Amz-Target", "GraniteServiceVersion20100801." + call->operation}};
        request.body = call->json;
        request.timeout = kTimeout;
        request.response_bytes_max = kResponseBytesMax;
        const auto offset = clock_offset_;
        const auto signed_ =
            sign_request(request, credentials, {region, "monitoring"}, clock_.wall_now() + offset);
        if (!signed_) return call->done(fail(signed_.error()));
        http_.send(std::move(request),
                   [weak = weak_from_this(), call, offset](Result<HttpResponse> response) {
                       if (const auto self = weak.lock())
                           self->answered(call, offset, std::move(response));
                   });
    }

    void answered(const std::shared_ptr<Call>& call, std::chrono::milliseconds offset,
                  Result<HttpResponse> response) {
        if (!response) return call->done(fail(std::move(response).error()));
        note_server_time(*response);
        CloudWatchReply reply{classify_answer(*response), std::move(response->body)};
        const AnswerClass c = reply.answer.answer_class;
        if (c == AnswerClass::credentials || c == AnswerClass::denied) credentials_.invalidate();
        const bool mended = c == AnswerClass::credentials ||
                            (c == AnswerClass::clock_skew && clock_offset_ != offset);
        if (mended && !std::exchange(call->repeated, true)) return start(call);
        call->done(std::move(reply));
    }

    void note_server_time(const HttpResponse& response) {
        const std::string* date = response.header("date");
        const auto server = date == nullptr ? std::nullopt : parse_http_date(*date);
        if (!server) return;
        const auto off =
            std::chrono::duration_cast<std::chrono::milliseconds>(*server - clock_.wall_now());
        clock_offset_ = std::chrono::abs(off) > kSkewTolerated ? off : 0ms;
    }

    HttpClient& http_;
    CredentialsProvider& credentials_;
    const Clock& clock_;
    std::chrono::milliseconds clock_offset_{0};
};

CloudWatchApi::CloudWatchApi(std::string endpoint, std::string region, HttpClient& http,
                             CredentialsProvider& credentials, const Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(endpoint), std::move(region), http, credentials,
                                   clock)) {}

CloudWatchApi::~CloudWatchApi() = default;

void CloudWatchApi::call(const std::string& operation, std::string json, CloudWatchDone done) {
    impl_->start(std::make_shared<Impl::Call>(
        Impl::Call{operation, std::move(json), std::move(done), false}));
}

const std::string& CloudWatchApi::region() const {
    return impl_->region;
}
const std::string& CloudWatchApi::endpoint() const {
    return impl_->endpoint;
}

std::string explain(const Answer& answer, const std::string& operation) {
    std::string text = answer.code.empty() ? "HTTP status " + std::to_string(answer.status)
                                           : answer.code + ": " + answer.message;
    switch (answer.answer_class) {
        case AnswerClass::denied:
            return text + ". Allow cloudwatch:" + operation + " in the IAM policy of its keys";
        case AnswerClass::throttled:
            return text + ". AWS's quota for " + operation + " is used up; it is tried again";
        case AnswerClass::clock_skew:
            return text + ". This machine's clock is off";
        default:
            return text;
    }
}

}  // namespace ridgeline::collector
