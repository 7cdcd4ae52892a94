#include "collector/aws/credentials.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kKeyIdBytesMax = 256;
// A session token of STS is about a thousand bytes; AWS names no limit.
constexpr std::size_t kTokenBytesMax = std::size_t{64} << 10;

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Secret value_of(const AwsSettingsMap& values, std::string_view key) {
    const auto it = values.find(key);
    return it == values.end() ? Secret() : it->second;
}

}  // namespace

Result<void> check_credentials(const AwsCredentials& credentials, std::string_view what) {
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
        return fail(Errc::corrupt, std::string(what) + " holds no keys");
    }
    if (has_control_characters(credentials.access_key_id) ||
        has_control_characters(credentials.session_token.text())) {
        return fail(Errc::corrupt, std::string(what) + " holds keys with control characters");
    }
    if (credentials.access_key_id.size() > kKeyIdBytesMax ||
        credentials.session_token.text().size() > kTokenBytesMax) {
        return fail(Errc::limit, std::string(what) + " holds keys that are too long");
    }
    return {};
}

Result<WallTime> parse_expiration(std::string_view text) {
    const auto bad = [&] {
        return fail(Errc::invalid_argument, "\"" + printable(text, 64) +
                                                "\" is not a time; it should be like \"" +
                                                "2026-11-23T13:05:09Z\"");
    };
    constexpr std::size_t kSeconds = 19;  // bytes up to the seconds
    if (text.size() <= kSeconds) return bad();
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    std::string in_utc(text.substr(0, kSeconds));
    std::string_view rest = text.substr(kSeconds);
    if (rest.front() == '.') {
        const std::string_view digits = rest.substr(
            1, static_cast<std::size_t>(std::find_if_not(rest.begin() + 1, rest.end(), digit) -
                                        rest.begin() - 1));
        if (digits.empty()) return bad();
        in_utc.append(".").append(digits.substr(0, 3));
        rest.remove_prefix(1 + digits.size());
    }
    std::chrono::minutes ahead{0};
    if (rest != "Z") {
        if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return bad();
        const auto hours = to_u64(rest.substr(1, 2));
        const auto minutes = to_u64(rest.substr(4, 2));
        if (!hours || !minutes || *hours > 23 || *minutes > 59) return bad();
        ahead = std::chrono::minutes{*hours * 60 + *minutes};
        if (rest[0] == '-') ahead = -ahead;
    }
    const auto time = parse_rfc3339(in_utc + "Z");
    if (!time) return bad();
    return *time - ahead;
}

void EnvironmentCredentials::fetch(CredentialsDone done) {
    const auto id = variable(environment_, "AWS_ACCESS_KEY_ID");
    const auto secret = variable(environment_, "AWS_SECRET_ACCESS_KEY");
    if (!id && !secret) {
        done(fail(Errc::not_found, "AWS_ACCESS_KEY_ID is not set"));
        return;
    }
    if (!id || !secret) {
        done(fail(Errc::invalid_argument,
                  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together"));
        return;
    }
    AwsCredentials out{*id,
                       *secret,
                       variable(environment_, "AWS_SESSION_TOKEN").value_or(""),
                       {},
                       "AWS_ACCESS_KEY_ID"};
    if (const auto expiration = variable(environment_, "AWS_CREDENTIAL_EXPIRATION")) {
        const auto expires = parse_expiration(*expiration);
        if (!expires) {
            done(fail(Errc::invalid_argument, "AWS_CREDENTIAL_EXPIRATION is not a time: \"" +
                                                  printable(*expiration, 64) + "\""));
            return;
        }
        out.expires = *expires;
    }
    done(std::move(out));
}

void FileCredentials::fetch(CredentialsDone done) {
    const bool shared = file_ == File::credentials;
    const std::filesystem::path path =
        shared ? aws_credentials_file(environment_) : aws_config_file(environment_);
    const std::string profile_name = profile_.empty() ? aws_profile_name(environment_) : profile_;
    if (path.empty()) {
        done(fail(Errc::not_found,
                  std::string("neither HOME nor ") +
                      (shared ? "AWS_SHARED_CREDENTIALS_FILE" : "AWS_CONFIG_FILE") + " is set"));
        return;
    }
    const std::string where = path.string() + ", profile " + printable(profile_name, 128);
    const auto profiles = AwsProfiles::load(environment_);
    if (!profiles) {
        done(fail(profiles.error()));
        return;
    }
    const AwsProfile* profile = profiles->find(profile_name);
    const AwsSettingsMap* values = nullptr;
    if (profile != nullptr) values = shared ? &profile->credentials : &profile->config;
    if (values == nullptr || values->empty()) {
        done(fail(Errc::not_found, where + ": not there"));
        return;
    }
    AwsCredentials out{value_of(*values, "aws_access_key_id").text(),
                       value_of(*values, "aws_secret_access_key"),
                       value_of(*values, "aws_session_token"),
                       {},
                       where};
    if (out.access_key_id.empty() && out.secret_access_key.empty()) {
        const bool sign_on = profile->value("sso_session") || profile->value("sso_start_url") ||
                             profile->value("login_session");
        done(fail(Errc::not_found,
                  where + (sign_on ? ": signs on in a browser, which nobody does here; use "
                                     "credential_process = aws configure export-credentials "
                                     "--profile NAME --format process"
                                   : ": holds no keys")));
    } else if (out.access_key_id.empty() || out.secret_access_key.empty()) {
        done(fail(Errc::invalid_argument,
                  where + ": needs both aws_access_key_id and aws_secret_access_key"));
    } else if (const auto usable = check_credentials(out, where); !usable) {
        done(fail(usable.error()));
    } else {
        done(std::move(out));
    }
}

}  // namespace ridgeline::collector
