#include "collector/aws/metadata_credentials.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kMetadataBytesMax = std::size_t{64} << 10;
constexpr std::size_t kRoleNameBytesMax = 256;
constexpr auto kContainerTimeout = std::chrono::milliseconds{2'000};
// A hop limit of 1 makes the token's answer vanish inside a container: better to give up soon.
constexpr auto kInstanceTimeout = std::chrono::milliseconds{1'000};

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Plain http is only good where nobody can listen in between.
bool allowed_container_uri(std::string_view uri) {
    if (has_control_characters(uri)) return false;
    if (uri.starts_with("https://")) return true;
    if (!uri.starts_with("http://")) return false;
    std::string_view host = uri.substr(7);
    host = host.substr(0, host.find_first_of("/?#"));
    if (host.find('@') != std::string_view::npos) return false;
    if (host.starts_with('[')) {
        host = host.substr(0, host.find(']') + 1);
    } else {
        host = host.substr(0, host.find(':'));
    }
    constexpr std::array<std::string_view, 6> kHosts = {
        "localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    return std::find(kHosts.begin(), kHosts.end(), host) != kHosts.end();
}

Error answer_error(std::string_view what, const HttpResponse& response) {
    return Error{Errc::unavailable, 0,
                 std::string(what) + ": HTTP status " + std::to_string(response.status)};
}

HttpRequest metadata_request(std::string method, std::string url,
                             std::chrono::milliseconds timeout) {
    HttpRequest request;
    request.method = std::move(method);
    request.url = std::move(url);
    request.timeout = timeout;
    request.response_bytes_max = kMetadataBytesMax;
    request.through_proxy = false;
    return request;
}

}  // namespace

Result<AwsCredentials> parse_metadata_credentials(std::string_view json) {
    const auto document = nlohmann::json::parse(json, nullptr, false);
    if (!document.is_object()) {
        return fail(Errc::corrupt, "the metadata endpoint's answer is not a JSON object");
    }
    const auto text = [&](const char* key) {
        const auto it = document.find(key);
        return it != document.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    if (document.contains("Code") && text("Code") != "Success") {
        return fail(Errc::unavailable,
                    "the metadata endpoint refused: " + printable(text("Code"), 64) + " " +
                        printable(text("Message"), 256));
    }
    AwsCredentials out{text("AccessKeyId"), text("SecretAccessKey"), text("Token"), {}};
    if (out.access_key_id.empty() || out.secret_access_key.empty()) {
        return fail(Errc::corrupt, "the metadata endpoint's answer holds no keys");
    }
    // They become header values.
    if (has_control_characters(out.access_key_id) || has_control_characters(out.session_token)) {
        return fail(Errc::corrupt, "the metadata endpoint's keys hold control characters");
    }
    if (const std::string expiration = text("Expiration"); !expiration.empty()) {
        RL_ASSIGN_OR_RETURN(out.expires, parse_rfc3339(expiration));
    }
    return out;
}

void ContainerCredentials::fetch(CredentialsDone done) {
    std::string url;
    if (const auto relative = variable(environment_, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
        url = "http://169.254.170.2" + *relative;
    } else if (const auto full = variable(environment_, "AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        url = *full;
    } else {
        done(fail(Errc::not_found, "no container endpoint in the environment"));
        return;
    }
    if (!allowed_container_uri(url)) {
        done(fail(Errc::invalid_argument,
                  "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to loopback or AWS's "
                  "own addresses"));
        return;
    }
    HttpRequest request = metadata_request("GET", url, kContainerTimeout);
    std::string token = variable(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
    if (const auto file = variable(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
        auto content = read_file(*file, kMetadataBytesMax);
        if (!content) {
            done(fail(std::move(content).error()));
            return;
        }
        token = trim(*content);
    }
    if (has_control_characters(token)) {
        done(fail(Errc::invalid_argument, "the container token holds control characters"));
        return;
    }
    if (!token.empty()) request.headers.push_back({"Authorization", token});
    http_.send(std::move(request), [done = std::move(done)](Result<HttpResponse> answer) {
        if (!answer) {
            done(fail(std::move(answer).error().within("container credentials")));
        } else if (answer->status != 200) {
            done(fail(answer_error("container credentials", *answer)));
        } else {
            done(parse_metadata_credentials(answer->body));
        }
    });
}

void InstanceCredentials::fetch(CredentialsDone done) {
    if (variable(environment_, "AWS_EC2_METADATA_DISABLED").value_or("") == "true") {
        done(fail(Errc::not_found, "instance metadata is disabled"));
        return;
    }
    const bool ipv6 =
        variable(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("") == "IPv6";
    std::string base = variable(environment_, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
                           .value_or(ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
    while (base.ends_with('/'))
        base.pop_back();

    const auto get = [&http = http_](const std::string& url, const std::string& token,
                                     HttpDone then) {
        HttpRequest request = metadata_request("GET", url, kInstanceTimeout);
        request.headers.push_back({"x-aws-ec2-metadata-token", token});
        http.send(std::move(request), std::move(then));
    };
    HttpRequest request = metadata_request("PUT", base + "/latest/api/token", kInstanceTimeout);
    request.headers.push_back({"x-aws-ec2-metadata-token-ttl-seconds", "21600"});
    http_.send(std::move(request), [get, base,
                                    done = std::move(done)](Result<HttpResponse> answer) {
        if (!answer || answer->status != 200 || has_control_characters(answer->body)) {
            // Most machines are not EC2 instances, and there this is how one finds out.
            done(fail(Errc::not_found, "no instance metadata service"));
            return;
        }
        const std::string token = answer->body;
        const std::string roles = base + "/latest/meta-data/iam/security-credentials/";
        get(roles, token, [get, roles, token, done](Result<HttpResponse> list) {
            if (!list) {
                done(fail(std::move(list).error().within("instance credentials")));
                return;
            }
            std::string_view rest = list->body;
            const std::string role(rest.empty() ? rest : trim(next_line(rest)));
            if (list->status != 200 || role.empty() || role.size() > kRoleNameBytesMax ||
                role.find_first_of("/?# ") != std::string::npos || has_control_characters(role)) {
                done(fail(Errc::not_found, "the instance has no IAM role"));
                return;
            }
            get(roles + role, token, [done](Result<HttpResponse> keys) {
                if (!keys) {
                    done(fail(std::move(keys).error().within("instance credentials")));
                } else if (keys->status != 200) {
                    done(fail(answer_error("instance credentials", *keys)));
                } else {
                    done(parse_metadata_credentials(keys->body));
                }
            });
        });
    });
}

}  // namespace ridgeline::collector
