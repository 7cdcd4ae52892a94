#include "collector/aws/sts.h"

#include <algorithm>
#include <array>
#include <utility>

#include "collector/aws/endpoint.h"
#include "collector/aws/http_date.h"
#include "collector/aws/sigv4.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view kVersion = "2011-06-15";
constexpr std::string_view kSessionName = "ridgeline-collector";
constexpr auto kTimeout = 10s;
constexpr std::size_t kAnswerBytesMax = std::size_t{256} << 10;
// Signatures are good for 5 minutes either way; below 4 the difference is left alone.
constexpr std::chrono::milliseconds kSkewTolerated{240'000};
constexpr std::uint64_t kDurationLeast = 900;
constexpr std::uint64_t kDurationMost = 43'200;

std::string form_encode(std::string_view text) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size() * 3);
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += kHex[byte >> 4U];
            out += kHex[byte & 15U];
        }
    }
    return out;
}

// RoleSessionName in the API Reference.
bool valid_session_name(std::string_view name) {
    return name.size() >= 2 && name.size() <= 64 &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("_+=,.@-").find(c) != std::string_view::npos;
           });
}

bool is_skew(std::string_view code) {
    constexpr std::array<std::string_view, 5> kCodes = {
        "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed",
        "InvalidSignatureException", "RequestInTheFuture"};
    return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

Error answer_error(const HttpResponse& response) {
    const std::string code = printable(xml_text(response.body, "Code"), 128);
    const std::string message = printable(xml_text(response.body, "Message"), 512);
    const bool passing = response.status >= 500 || response.status == 429 || code == "Throttling" ||
                         code == "ThrottlingException";
    std::string text = code.empty() ? "HTTP status " + std::to_string(response.status) : code;
    if (!message.empty()) text += ": " + message;
    return Error{passing ? Errc::unavailable : Errc::permission, 0, "STS: " + text};
}

}  // namespace

Result<StsTarget> sts_target(const Environment& environment, std::string_view fallback_region) {
    auto region = resolve_region("auto", environment);
    if (!region && region.error().code != Errc::not_found) return fail(region.error());
    std::string name(region ? *region : std::string(fallback_region));
    StsTarget target;
    if (name.empty()) {
        RL_ASSIGN_OR_RETURN(const auto url, endpoint_override("sts", "", environment));
        return StsTarget{url.value_or("https://sts.amazonaws.com"), "us-east-1"};
    }
    RL_ASSIGN_OR_RETURN(target.endpoint, aws_endpoint("sts", "", name, environment));
    target.region = std::move(name);
    return target;
}

Result<void> check_assume_role(const AssumeRole& role) {
    if (!role.role_arn.starts_with("arn:aws") || role.role_arn.size() > 2048 ||
        role.role_arn.find(":role/") == std::string::npos) {
        return fail(Errc::invalid_argument,
                    "role_arn is not a role's ARN: \"" + printable(role.role_arn, 256) + "\"");
    }
    if (!role.session_name.empty() && !valid_session_name(role.session_name)) {
        return fail(Errc::invalid_argument,
                    "role_session_name must be 2 to 64 letters, digits and _+=,.@-, not \"" +
                        printable(role.session_name, 128) + "\"");
    }
    if (!role.duration_seconds.empty()) {
        const auto seconds = to_u64(role.duration_seconds);
        if (!seconds || *seconds < kDurationLeast || *seconds > kDurationMost) {
            return fail(Errc::invalid_argument, "duration_seconds must be 900 to 43200, not \"" +
                                                    printable(role.duration_seconds, 64) + "\"");
        }
    }
    return {};
}

std::string assume_role_form(const AssumeRole& role) {
    const bool web = !role.web_identity_token.empty();
    std::string form = web ? "Action=AssumeRoleWithWebIdentity" : "Action=AssumeRole";
    const auto add = [&](std::string_view key, std::string_view value) {
        if (!value.empty()) form.append("&").append(key).append("=").append(form_encode(value));
    };
    add("Version", kVersion);
    add("RoleArn", role.role_arn);
    add("RoleSessionName", role.session_name.empty() ? kSessionName : role.session_name);
    add("DurationSeconds", role.duration_seconds);
    add("ExternalId", role.external_id);
    add("WebIdentityToken", role.web_identity_token.text());
    return form;
}

std::string xml_text(std::string_view xml, std::string_view tag) {
    const std::string open = "<" + std::string(tag) + ">";
    const std::string close = "</" + std::string(tag) + ">";
    const std::size_t begin = xml.find(open);
    if (begin == std::string_view::npos) return {};
    std::string_view text = xml.substr(begin + open.size());
    const std::size_t end = text.find(close);
    if (end == std::string_view::npos) return {};
    text = text.substr(0, end);
    constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
        {{"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}}};
    std::string out;
    while (!text.empty()) {
        const auto entity =
            std::find_if(kEntities.begin(), kEntities.end(),
                         [&](const auto& known) { return text.starts_with(known.first); });
        if (entity == kEntities.end()) {
            out += text.front();
            text.remove_prefix(1);
        } else {
            out += entity->second;
            text.remove_prefix(entity->first.size());
        }
    }
    return out;
}

Result<AwsCredentials> parse_assumed_role(std::string_view xml) {
    AwsCredentials out{xml_text(xml, "AccessKeyId"),
                       xml_text(xml, "SecretAccessKey"),
                       xml_text(xml, "SessionToken"),
                       {}};
    RL_TRY(check_credentials(out, "STS's answer"));
    RL_ASSIGN_OR_RETURN(out.expires, parse_expiration(xml_text(xml, "Expiration")));
    return out;
}

Result<CallerIdentity> parse_caller_identity(std::string_view xml) {
    CallerIdentity out{printable(xml_text(xml, "Account"), 64),
                       printable(xml_text(xml, "Arn"), 2048),
                       printable(xml_text(xml, "UserId"), 256)};
    if (out.account.empty() || out.arn.empty()) {
        return fail(Errc::corrupt, "STS's answer names no account");
    }
    return out;
}

struct StsClient::Call {
    Secret form;
    std::optional<AwsCredentials> source;
    HttpDone done;  // gets only answers with status 200
    std::chrono::milliseconds offset{0};
    bool repeated = false;
};

void StsClient::assume_role(const AssumeRole& role, const std::optional<AwsCredentials>& source,
                            CredentialsDone done) {
    if (const auto good = check_assume_role(role); !good) {
        done(fail(good.error()));
        return;
    }
    auto call = std::make_shared<Call>();
    call->form = assume_role_form(role);
    call->source = source;
    call->done = [done = std::move(done)](Result<HttpResponse> response) {
        if (!response) {
            done(fail(std::move(response).error()));
            return;
        }
        auto credentials = parse_assumed_role(response->body);
        wipe(response->body);
        done(std::move(credentials));
    };
    send(call);
}

void StsClient::get_caller_identity(const AwsCredentials& credentials, IdentityDone done) {
    auto call = std::make_shared<Call>();
    call->form = "Action=GetCallerIdentity&Version=" + std::string(kVersion);
    call->source = credentials;
    call->done = [done = std::move(done)](Result<HttpResponse> response) {
        if (response) {
            done(parse_caller_identity(response->body));
        } else {
            done(fail(std::move(response).error()));
        }
    };
    send(call);
}

void StsClient::send(const std::shared_ptr<Call>& call) {
    auto target = target_();
    if (!target) {
        call->done(fail(std::move(target).error()));
        return;
    }
    HttpRequest request;
    request.method = "POST";
    request.url = target->endpoint + "/";
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
    request.body = call->form.text();
    request.timeout = kTimeout;
    request.response_bytes_max = kAnswerBytesMax;
    call->offset = clock_offset_;
    if (call->source) {
        const auto signed_ = sign_request(request, *call->source, {target->region, "sts"},
                                          clock_.wall_now() + clock_offset_);
        if (!signed_) {
            call->done(fail(signed_.error()));
            return;
        }
    }
    http_.send(std::move(request), [weak = weak_from_this(), call](Result<HttpResponse> response) {
        if (const auto self = weak.lock()) self->answered(call, std::move(response));
    });
}

void StsClient::answered(const std::shared_ptr<Call>& call, Result<HttpResponse> response) {
    if (!response) {
        Error error = std::move(response).error();
        call->done(fail(std::move(error).within("STS")));
        return;
    }
    if (const std::string* date = response->header("date")) {
        if (const auto server = parse_http_date(*date)) {
            const auto off =
                std::chrono::duration_cast<std::chrono::milliseconds>(*server - clock_.wall_now());
            clock_offset_ = std::chrono::abs(off) > kSkewTolerated ? off : 0ms;
        }
    }
    if (response->status == 200) {
        call->done(std::move(response));
        return;
    }
    const bool skewed = is_skew(xml_text(response->body, "Code")) &&
                        std::chrono::abs(clock_offset_ - call->offset) > kSkewTolerated / 2;
    if (skewed && !std::exchange(call->repeated, true)) {
        send(call);
    } else {
        call->done(fail(answer_error(*response)));
    }
}

}  // namespace ridgeline::collector
