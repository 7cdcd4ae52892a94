#include "collector/aws/sigv4.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <utility>

#include <mbedtls/md.h>

#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using Digest = std::array<unsigned char, 32>;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

// mbedtls_md and mbedtls_md_hmac are the same in mbedTLS 2.28 and 3.6; with SHA-256 built in and
// these arguments they cannot fail.
Digest sha256(std::string_view data) {
    Digest digest{};
    mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes_of(data), data.size(),
               digest.data());
    return digest;
}

Digest hmac_sha256(std::span<const unsigned char> key, std::string_view data) {
    Digest digest{};
    mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key.data(), key.size(),
                    bytes_of(data), data.size(), digest.data());
    return digest;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

bool unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

std::string percent_encode(std::string_view text, bool keep_slash) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (unreserved(c) || (keep_slash && c == '/')) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += kHex[byte >> 4U];
            out += kHex[byte & 15U];
        }
    }
    return out;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string percent_decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            const int high = hex_digit(text[i + 1]);
            const int low = hex_digit(text[i + 2]);
            if (high >= 0 && low >= 0) {
                out += static_cast<char>(high * 16 + low);
                i += 2;
                continue;
            }
        }
        out += text[i];
    }
    return out;
}

// Decoded and encoded again, so that "%2f" and "%2F" sign alike; then by name, then by value.
std::string canonical_query(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> parameters;
    for (const std::string_view part : split(query, '&')) {
        if (part.empty()) continue;
        const std::size_t equals = part.find('=');
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
        parameters.emplace_back(percent_encode(percent_decode(part.substr(0, equals)), false),
                                percent_encode(percent_decode(value), false));
    }
    std::sort(parameters.begin(), parameters.end());
    std::string out;
    for (const auto& [name, value] : parameters) {
        if (!out.empty()) out += '&';
        out.append(name).append("=").append(value);
    }
    return out;
}

// Ends cut, runs of blanks inside made one.
std::string collapse_blanks(std::string_view value) {
    std::string out;
    for (std::string_view word = next_field(value); !word.empty(); word = next_field(value)) {
        if (!out.empty()) out += ' ';
        out += word;
    }
    return out;
}

struct UrlParts {
    std::string_view host;  // with the port
    std::string_view path;
    std::string_view query;
};

Result<UrlParts> parse_url(std::string_view url) {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string_view::npos) {
        return fail(Errc::invalid_argument, "sigv4: not a URL: " + printable(url, 256));
    }
    std::string_view rest = url.substr(scheme + 3);
    rest = rest.substr(0, rest.find('#'));
    UrlParts parts;
    const std::size_t host_end = rest.find_first_of("/?");
    parts.host = rest.substr(0, host_end);
    if (parts.host.empty()) {
        return fail(Errc::invalid_argument, "sigv4: a URL without a host: " + printable(url, 256));
    }
    rest = host_end == std::string_view::npos ? std::string_view{} : rest.substr(host_end);
    const std::size_t question = rest.find('?');
    parts.path = rest.substr(0, question);
    if (question != std::string_view::npos) parts.query = rest.substr(question + 1);
    return parts;
}

// "20150830T123600Z"
std::string basic_timestamp(WallTime at) {
    std::string out;
    for (const char c : format_rfc3339(at))
        if (c != '-' && c != ':') out += c;
    return out;
}

// The headers' canonical block, and their names: "host;x-amz-date".
std::pair<std::string, std::string> canonical_headers(const std::vector<HttpHeader>& headers) {
    std::map<std::string, std::string> merged;  // the same name twice: values joined by ','
    for (const HttpHeader& header : headers) {
        const auto [it, fresh] =
            merged.try_emplace(lower(header.name), collapse_blanks(header.value));
        if (!fresh) it->second += "," + collapse_blanks(header.value);
    }
    std::string block;
    std::string names;
    for (const auto& [name, value] : merged) {
        block.append(name).append(":").append(value).append("\n");
        if (!names.empty()) names += ';';
        names += name;
    }
    return {std::move(block), std::move(names)};
}

std::string sign_text(std::string_view text, std::string_view secret, std::string_view date,
                      const SigningScope& scope) {
    std::string first = "AWS4" + std::string(secret);
    const Digest of_date = hmac_sha256(std::span(bytes_of(first), first.size()), date);
    wipe(first);
    const Digest of_region = hmac_sha256(of_date, scope.region);
    const Digest of_service = hmac_sha256(of_region, scope.service);
    const Digest key = hmac_sha256(of_service, "aws4_request");
    return to_hex(hmac_sha256(key, text));
}

}  // namespace

Result<Signature> sign_v4(const HttpRequest& request, const AwsCredentials& credentials,
                          const SigningScope& scope, WallTime at) {
    RL_ASSIGN_OR_RETURN(const UrlParts url, parse_url(request.url));
    const std::string timestamp = basic_timestamp(at);
    const std::string date = timestamp.substr(0, 8);

    Signature out;
    const bool has_host =
        std::any_of(request.headers.begin(), request.headers.end(),
                    [](const HttpHeader& header) { return lower(header.name) == "host"; });
    if (!has_host) out.added.push_back({"Host", std::string(url.host)});
    out.added.push_back({"X-Amz-Date", timestamp});
    if (!credentials.session_token.empty()) {
        out.added.push_back({"X-Amz-Security-Token", credentials.session_token.text()});
    }
    std::vector<HttpHeader> headers = request.headers;
    headers.insert(headers.end(), out.added.begin(), out.added.end());
    auto [block, names] = canonical_headers(headers);
    out.signed_headers = std::move(names);

    const std::string path = url.path.empty() ? "/" : percent_encode(url.path, true);
    out.canonical_request = request.method + "\n" + path + "\n" + canonical_query(url.query) +
                            "\n" + block + "\n" + out.signed_headers + "\n" +
                            to_hex(sha256(request.body));
    const std::string scope_text =
        date + "/" + scope.region + "/" + scope.service + "/aws4_request";
    out.string_to_sign = "AWS4-HMAC-SHA256\n" + timestamp + "\n" + scope_text + "\n" +
                         to_hex(sha256(out.canonical_request));
    out.authorization =
        "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id + "/" + scope_text +
        ", SignedHeaders=" + out.signed_headers + ", Signature=" +
        sign_text(out.string_to_sign, credentials.secret_access_key.text(), date, scope);
    out.added.push_back({"Authorization", out.authorization});
    return out;
}

Result<void> sign_request(HttpRequest& request, const AwsCredentials& credentials,
                          const SigningScope& scope, WallTime at) {
    RL_ASSIGN_OR_RETURN(Signature signature, sign_v4(request, credentials, scope, at));
    request.headers.insert(request.headers.end(), std::make_move_iterator(signature.added.begin()),
                           std::make_move_iterator(signature.added.end()));
    return {};
}

}  // namespace ridgeline::collector
