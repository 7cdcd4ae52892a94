#include "collector/aws/metadata_credentials.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::size_t kMetadataBytesMax = std::size_t{64} << 10;
constexpr std::size_t kRoleNameBytesMax = 256;
constexpr auto kContainerTimeout = std::chrono::milliseconds{2'000};
constexpr unsigned kContainerTries = 3;
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

// The service's address, and the token that each request must show.
struct MetadataSession {
    HttpClient& http;
    std::string base;
    Secret token;

    void get(const std::string& path, HttpDone done) const {
        HttpRequest request = metadata_request("GET", base + path, kInstanceTimeout);
        request.headers.push_back({"x-aws-ec2-metadata-token", token.text()});
        http.send(std::move(request), std::move(done));
    }
};

void open_metadata(const Environment& environment, HttpClient& http,
                   std::function<void(Result<MetadataSession>)> done) {
    if (flag(environment, "AWS_EC2_METADATA_DISABLED")) {
        done(fail(Errc::not_found, "AWS_EC2_METADATA_DISABLED is set"));
        return;
    }
    const bool ipv6 =
        lower_ascii(variable(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("")) ==
        "ipv6";
    std::string base = variable(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
                           .value_or(ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254");
    while (base.ends_with('/'))
        base.pop_back();
    HttpRequest request = metadata_request("PUT", base + "/latest/api/token", kInstanceTimeout);
    request.headers.push_back({"x-aws-ec2-metadata-token-ttl-seconds", "21600"});
    http.send(std::move(request), [&http, base,
                                   done = std::move(done)](Result<HttpResponse> answer) {
        // Most machines are not EC2 instances, and there this is how one finds out.
        if (!answer) {
            done(fail(Errc::not_found,
                      base + " does not answer (" + answer.error().context +
                          "); in a container on EC2, the instance's hop limit must be 2 or more"));
        } else if (answer->status == 403) {
            done(fail(Errc::not_found, base + " is switched off for this instance"));
        } else if (answer->status != 200 || answer->body.empty() ||
                   has_control_characters(answer->body)) {
            done(fail(Errc::not_found,
                      base + " gives no token: HTTP status " + std::to_string(answer->status)));
        } else {
            done(MetadataSession{http, base, std::move(answer->body)});
        }
    });
}

// Tries the request again while no answer comes, or one that says the endpoint is not well.
void send_repeatedly(HttpClient& http, const HttpRequest& request, unsigned tries, HttpDone done) {
    http.send(request,
              [&http, request, tries, done = std::move(done)](Result<HttpResponse> answer) {
                  const bool passing = !answer || answer->status >= 500 || answer->status == 429;
                  if (passing && tries > 1) {
                      send_repeatedly(http, request, tries - 1, done);
                  } else {
                      done(std::move(answer));
                  }
              });
}

}  // namespace

Result<AwsCredentials> parse_metadata_credentials(std::string_view json) {
    auto document = nlohmann::json::parse(json, nullptr, false);
    if (!document.is_object()) {
        return fail(Errc::corrupt, "the metadata endpoint's answer is not a JSON object");
    }
    // Taken out of the document, so that no copy is left there.
    const auto text = [&](const char* key) {
        const auto it = document.find(key);
        return it != document.end() && it->is_string()
                   ? std::exchange(it->get_ref<std::string&>(), std::string())
                   : std::string();
    };
    if (document.contains("Code")) {
        if (const std::string code = text("Code"); code != "Success") {
            return fail(Errc::unavailable, "the metadata endpoint refused: " + printable(code, 64) +
                                               " " + printable(text("Message"), 256));
        }
    }
    AwsCredentials out{text("AccessKeyId"), text("SecretAccessKey"), text("Token"), {}};
    RL_TRY(check_credentials(out, "the metadata endpoint's answer"));
    if (const std::string expiration = text("Expiration"); !expiration.empty()) {
        RL_ASSIGN_OR_RETURN(out.expires, parse_expiration(expiration));
    }
    return out;
}

void ContainerCredentials::fetch(CredentialsDone done) {
    std::string url;
    if (const auto relative = variable(environment_, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
        // Without its slash it would go on with the host's name.
        if (!relative->starts_with('/') || has_control_characters(*relative)) {
            done(fail(Errc::invalid_argument,
                      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with '/'"));
            return;
        }
        url = "http://169.254.170.2" + *relative;
    } else if (const auto full = variable(environment_, "AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        url = *full;
    } else {
        done(fail(Errc::not_found,
                  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not "
                  "set"));
        return;
    }
    if (!allowed_container_uri(url)) {
        done(fail(Errc::invalid_argument,
                  "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to loopback or AWS's "
                  "own addresses"));
        return;
    }
    HttpRequest request = metadata_request("GET", url, kContainerTimeout);
    Secret token = variable(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
    if (const auto file = variable(environment_, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
        auto content = read_regular_file(*file, kMetadataBytesMax);
        if (!content) {
            // It was named, so that it is not there is an error.
            Error error = std::move(content).error();
            if (error.code == Errc::not_found) error.code = Errc::invalid_argument;
            done(fail(std::move(error)));
            return;
        }
        token = std::string(trim(*content));
        wipe(*content);
    }
    if (has_control_characters(token.text())) {
        done(fail(Errc::invalid_argument, "the container token holds control characters"));
        return;
    }
    if (!token.empty()) request.headers.push_back({"Authorization", token.text()});
    send_repeatedly(http_, request, kContainerTries,
                    [url, done = std::move(done)](Result<HttpResponse> answer) {
                        if (!answer) {
                            Error error = std::move(answer).error();
                            done(fail(std::move(error).within(url)));
                            return;
                        }
                        if (answer->status != 200) {
                            done(fail(answer_error(url, *answer)));
                            return;
                        }
                        auto credentials = parse_metadata_credentials(answer->body);
                        wipe(answer->body);
                        if (credentials) credentials->origin = url;
                        done(std::move(credentials));
                    });
}

void InstanceCredentials::fetch(CredentialsDone done) {
    open_metadata(environment_, http_, [done = std::move(done)](Result<MetadataSession> session) {
        if (!session) {
            done(fail(std::move(session).error()));
            return;
        }
        const std::string roles = "/latest/meta-data/iam/security-credentials/";
        session->get(roles, [roles, session = *session, done](Result<HttpResponse> list) {
            if (!list) {
                done(fail(std::move(list).error()));
                return;
            }
            std::string_view rest = list->body;
            const std::string role(rest.empty() ? rest : trim(next_line(rest)));
            if (list->status != 200 || role.empty() || role.size() > kRoleNameBytesMax ||
                role.find_first_of("/?# ") != std::string::npos || has_control_characters(role)) {
                done(fail(Errc::not_found, "the instance has no IAM role"));
                return;
            }
            session.get(roles + role, [role, done](Result<HttpResponse> keys) {
                if (!keys) {
                    done(fail(std::move(keys).error()));
                    return;
                }
                if (keys->status != 200) {
                    done(fail(answer_error("role " + printable(role, 128), *keys)));
                    return;
                }
                auto credentials = parse_metadata_credentials(keys->body);
                wipe(keys->body);
                if (credentials) credentials->origin = "role " + printable(role, 128);
                done(std::move(credentials));
            });
        });
    });
}

void fetch_instance_region(const Environment& environment, HttpClient& http,
                           std::function<void(Result<std::string>)> done) {
    open_metadata(environment, http, [done = std::move(done)](Result<MetadataSession> session) {
        if (!session) {
            done(fail(std::move(session).error()));
            return;
        }
        session->get("/latest/meta-data/placement/region", [done](Result<HttpResponse> answer) {
            if (!answer) {
                done(fail(std::move(answer).error()));
            } else if (answer->status != 200) {
                done(fail(answer_error("instance metadata", *answer)));
            } else {
                done(std::string(trim(answer->body)));
            }
        });
    });
}

}  // namespace ridgeline::collector
