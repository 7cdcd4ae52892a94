#include "agent/facts/imds.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "agent/facts/http_client.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr const char* kTokenPath = "/latest/api/token";
constexpr const char* kTokenLifetime = "X-aws-ec2-metadata-token-ttl-seconds: 300";
constexpr const char* kIdentityPath = "/latest/dynamic/instance-identity/document";
constexpr const char* kTagsPath = "/latest/meta-data/tags/instance/";
constexpr std::string_view kAutoScalingTag = "aws:autoscaling:groupName";
constexpr std::size_t kTokenBytesMax = 1024;

// The service answers on one address; what it said there last.
class Session {
  public:
    explicit Session(const ImdsSettings& settings) : settings_(settings) {}

    Result<void> open() {
        Error last{Errc::unavailable, 0, "no address of the instance metadata service is known"};
        for (const std::string& endpoint : settings_.endpoints) {
            auto answer = http_exchange(endpoint, {"PUT", kTokenPath, kTokenLifetime},
                                        settings_.call_timeout);
            if (!answer) {
                last = std::move(answer).error();
                if (last.sys_errno == ETIMEDOUT) {
                    // It was connected to: the answer's hop limit did not let it through.
                    last.context =
                        "the instance metadata service does not answer; in a container, raise its "
                        "hop limit to 2 (aws ec2 modify-instance-metadata-options "
                        "--http-put-response-hop-limit 2)";
                    return fail(std::move(last));
                }
                continue;
            }
            if (answer->status == 403)
                return fail(Errc::permission,
                            "the instance metadata service is turned off for this instance");
            const std::string_view token = trim(answer->body);
            if (answer->status != 200 || token.empty() || token.size() > kTokenBytesMax ||
                printable(token, kTokenBytesMax) != token) {
                return fail(Errc::corrupt, "the instance metadata service gives no token (HTTP " +
                                               std::to_string(answer->status) + ")");
            }
            endpoint_ = endpoint;
            token_ = token;
            return {};
        }
        last.context = "the instance metadata service cannot be reached: " + last.context;
        return fail(std::move(last));
    }

    // The body; Errc::not_found for 404.
    Result<std::string> get(const std::string& path) const {
        RL_ASSIGN_OR_RETURN(
            const HttpResponse answer,
            http_exchange(endpoint_, {"GET", path, "X-aws-ec2-metadata-token: " + token_},
                          settings_.call_timeout));
        if (answer.status == 404) return fail(Errc::not_found, path + ": not there");
        if (answer.status == 400) return fail(Errc::invalid_argument, path + ": HTTP 400");
        if (answer.status != 200)
            return fail(Errc::unavailable, path + ": HTTP " + std::to_string(answer.status));
        return answer.body;
    }

  private:
    const ImdsSettings& settings_;
    std::string endpoint_;
    std::string token_;
};

void put(Facts& facts, const std::string& key, std::string_view value) {
    const std::string shown_key = printable(key, kFactKeyBytesMax);
    if (!value.empty()) facts[shown_key] = printable(value, kFactValueBytesMax);
}

// A tag's key stands in a path; RFC 3986 §2.3 names what may stand there as it is.
std::string percent_encoded(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 ||
            std::string_view("-_.~:/").find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
        }
    }
    return out;
}

// Absent unless the instance's metadata options allow them; that is no error.
Result<void> add_tags(const Session& session, Facts& facts) {
    const auto list = session.get(kTagsPath);
    if (!list) {
        if (list.error().code == Errc::not_found) return {};
        return fail(list.error());
    }
    std::string_view rest = *list;
    for (std::size_t i = 0; i < kInstanceTagsMax && !rest.empty(); ++i) {
        const std::string key(trim(next_line(rest)));
        if (key.empty()) continue;
        const auto value = session.get(kTagsPath + percent_encoded(key));
        if (!value && value.error().code == Errc::unavailable) return fail(value.error());
        if (!value) continue;  // taken off meanwhile, or a key that it does not take back
        put(facts, "ec2.tag." + key, *value);
        if (key == kAutoScalingTag) put(facts, "aws.autoscaling.group", *value);
    }
    return {};
}

}  // namespace

ImdsSettings imds_settings_from_environment() {
    ImdsSettings settings;
    const char* endpoint = std::getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (endpoint == nullptr || *endpoint == '\0') return settings;
    std::string_view text = endpoint;
    if (text.starts_with("http://")) text.remove_prefix(7);
    text = text.substr(0, text.find('/'));
    const bool has_port = text.rfind(':') != std::string_view::npos && !text.ends_with(']');
    settings.endpoints = {std::string(text) + (has_port ? "" : ":80")};
    return settings;
}

Result<Facts> fetch_ec2_facts(const ImdsSettings& settings) {
    Session session(settings);
    RL_TRY(session.open());
    RL_ASSIGN_OR_RETURN(const std::string identity, session.get(kIdentityPath));
    Facts facts;
    put(facts, "cloud.provider", "aws");
    for (const auto& [key, name] :
         {std::pair{"host.id", "instanceId"}, std::pair{"host.type", "instanceType"},
          std::pair{"host.image.id", "imageId"}, std::pair{"cloud.region", "region"},
          std::pair{"cloud.availability_zone", "availabilityZone"},
          std::pair{"cloud.account.id", "accountId"}}) {
        put(facts, key, json_string(identity, name));
    }
    if (!facts.contains("host.id"))
        return fail(Errc::corrupt, "the instance identity document names no instance");
    RL_TRY(add_tags(session, facts));
    return facts;
}

}  // namespace ridgeline::agent
