#include "collector/sink/error.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kCodeBytesMax = 128;
constexpr std::size_t kMessageBytesMax = 512;

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& codes, std::string_view code) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// botocore's and the JavaScript SDK's lists are the same.
constexpr std::array<std::string_view, 14> kThrottled = {"Throttling",
                                                         "ThrottlingException",
                                                         "ThrottledException",
                                                         "RequestThrottledException",
                                                         "RequestThrottled",
                                                         "TooManyRequestsException",
                                                         "ProvisionedThroughputExceededException",
                                                         "TransactionInProgressException",
                                                         "RequestLimitExceeded",
                                                         "BandwidthLimitExceeded",
                                                         "LimitExceededException",
                                                         "SlowDown",
                                                         "PriorRequestNotComplete",
                                                         "EC2ThrottledException"};
constexpr std::array<std::string_view, 7> kTransient = {
    "RequestTimeout",      "RequestTimeoutException", "InternalFailure",   "InternalServiceError",
    "InternalServerError", "InternalServiceFault",    "ServiceUnavailable"};
constexpr std::array<std::string_view, 2> kCredentials = {"ExpiredToken", "ExpiredTokenException"};
// A wrong clock and a wrong secret share some of these; the Date header tells which it is.
constexpr std::array<std::string_view, 6> kClockSkew = {
    "RequestExpired",        "RequestInTheFuture",
    "RequestTimeTooSkewed",  "InvalidSignatureException",
    "SignatureDoesNotMatch", "AuthFailure"};
constexpr std::array<std::string_view, 9> kDenied = {"AccessDenied",
                                                     "AccessDeniedException",
                                                     "UnauthorizedOperation",
                                                     "InvalidClientTokenId",
                                                     "UnrecognizedClientException",
                                                     "MissingAuthenticationToken",
                                                     "MissingAuthenticationTokenException",
                                                     "OptInRequired",
                                                     "IncompleteSignature"};
constexpr std::array<std::string_view, 3> kTooLarge = {
    "RequestEntityTooLarge", "RequestEntityTooLargeException", "PayloadTooLarge"};

// The text between <name> and </name>; the answers are flat enough for that.
std::string_view xml_text(std::string_view xml, std::string_view name) {
    const std::string open = "<" + std::string(name) + ">";
    const std::size_t begin = xml.find(open);
    if (begin == std::string_view::npos) return {};
    const std::string_view rest = xml.substr(begin + open.size());
    const std::size_t end = rest.find('<');
    return end == std::string_view::npos ? std::string_view{} : rest.substr(0, end);
}

// "com.amazonaws.monitoring#ThrottlingException:http://…" -> "ThrottlingException"
std::string_view bare_code(std::string_view type) {
    const std::size_t hash = type.find('#');
    if (hash != std::string_view::npos) type = type.substr(hash + 1);
    return type.substr(0, type.find(':'));
}

}  // namespace

std::string_view to_string(AnswerClass answer_class) {
    switch (answer_class) {
        case AnswerClass::ok:
            return "ok";
        case AnswerClass::throttled:
            return "throttled";
        case AnswerClass::transient:
            return "transient";
        case AnswerClass::credentials:
            return "credentials";
        case AnswerClass::denied:
            return "denied";
        case AnswerClass::clock_skew:
            return "clock_skew";
        case AnswerClass::too_large:
            return "too_large";
        case AnswerClass::permanent:
            return "permanent";
    }
    return "";
}

AnswerClass class_of_code(std::string_view code, int status) {
    if (contains(kThrottled, code)) return AnswerClass::throttled;
    if (contains(kTransient, code)) return AnswerClass::transient;
    if (contains(kCredentials, code)) return AnswerClass::credentials;
    if (contains(kClockSkew, code)) return AnswerClass::clock_skew;
    if (contains(kDenied, code)) return AnswerClass::denied;
    if (contains(kTooLarge, code)) return AnswerClass::too_large;
    if (status == 429 || status == 509) return AnswerClass::throttled;
    if (status == 408 || status >= 500) return AnswerClass::transient;
    if (status == 413) return AnswerClass::too_large;
    if (status == 400) return AnswerClass::permanent;
    // 401, 403, 404, 407, a redirect: not AWS's word on our data, but a proxy's or a wrong
    // endpoint's.
    return AnswerClass::denied;
}

Answer classify_answer(const HttpResponse& response) {
    Answer answer;
    answer.status = response.status;
    if (response.status >= 200 && response.status < 300) return answer;

    std::string_view code;
    std::string_view message;
    const auto document = nlohmann::json::parse(response.body, nullptr, false);
    const auto text = [&](const char* key) {
        if (!document.is_object()) return std::string_view{};
        const auto it = document.find(key);
        if (it == document.end() || !it->is_string()) return std::string_view{};
        return std::string_view(it->get_ref<const std::string&>());
    };
    code = bare_code(text("__type"));
    message = text("message").empty() ? text("Message") : text("message");
    if (code.empty()) code = xml_text(response.body, "Code");
    if (message.empty()) message = xml_text(response.body, "Message");
    answer.answer_class = class_of_code(code, response.status);
    // "Throttling;Sender": the query protocol's name of the same error, for awsQueryCompatible
    // services. It decides where the body says nothing that is known.
    if (const std::string* header = response.header("x-amzn-query-error")) {
        const std::string_view old = std::string_view(*header).substr(0, header->find(';'));
        if (code.empty()) code = old;
        if (answer.answer_class == AnswerClass::permanent ||
            answer.answer_class == AnswerClass::denied) {
            answer.answer_class = class_of_code(old, response.status);
        }
    }
    answer.code = printable(code, kCodeBytesMax);
    answer.message = printable(message, kMessageBytesMax);
    return answer;
}

bool may_have_been_done(const Answer& answer) {
    return answer.answer_class == AnswerClass::transient &&
           (answer.status == 500 || answer.status == 502 || answer.status == 504);
}

bool forbids_operation(const Answer& answer) {
    return answer.code.starts_with("AccessDenied") || answer.code == "UnauthorizedOperation" ||
           answer.code.starts_with("UnknownOperation") || answer.code == "InvalidAction";
}

std::optional<std::size_t> refused_member(const Answer& answer) {
    constexpr std::string_view kPrefix = "MetricData.member.";
    const std::string_view message = answer.message;
    const std::size_t at = message.find(kPrefix);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = message.substr(at + kPrefix.size());
    const auto number = to_u64(rest.substr(0, rest.find_first_not_of("0123456789")));
    if (!number || *number == 0) return std::nullopt;
    return static_cast<std::size_t>(*number);
}

}  // namespace ridgeline::collector
