#include "agent/certprobe/probe_protocol.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <mbedtls/base64.h>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::string_view kRequestTitle = "ridgeline-certprobe request 1";
constexpr std::string_view kAnswerTitle = "ridgeline-certprobe answer 1";
constexpr std::string_view kUnreadable = "-";  // in place of a certificate
constexpr std::size_t kTextBytesMax = 4096;
constexpr std::int64_t kTimeoutMsMax = 600'000;

constexpr std::array<std::string_view, 7> kStartTlsNames = {"none", "smtp", "imap",      "pop3",
                                                            "ftp",  "ldap", "postgresql"};

tl::unexpected<Error> odd(const char* what) {
    return fail(Errc::corrupt, std::string("certprobe: ") + what);
}

// A value is one line of printable text.
void put(std::string& out, std::string_view key, std::string_view value) {
    if (value.empty()) return;
    out.append(key).append(" ").append(printable(value, kTextBytesMax)).append("\n");
}

std::string to_base64(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
    std::size_t written = 0;
    if (mbedtls_base64_encode(reinterpret_cast<unsigned char*>(text.data()), text.size(), &written,
                              reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size()) != 0) {
        return {};
    }
    text.resize(written);
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    std::string bytes(text.size() / 4 * 3 + 3, '\0');
    std::size_t written = 0;
    if (mbedtls_base64_decode(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(),
                              &written, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size()) != 0) {
        return {};
    }
    bytes.resize(written);
    return bytes;
}

// Calls `take(key, value)` for each line between the title and "end"; false from it, or another
// frame, is an error.
template <class Take>
Result<void> read_lines(std::string_view text, std::string_view title, std::size_t bytes_max,
                        Take take) {
    if (text.size() > bytes_max) return odd("too long");
    if (next_line(text) != title) return odd("not of this version");
    while (!text.empty()) {
        std::string_view line = next_line(text);
        if (line == "end") {
            if (!text.empty()) return odd("something after the end");
            return {};
        }
        const std::size_t blank = line.find(' ');
        if (blank == std::string_view::npos) return odd("a line without a value");
        if (!take(line.substr(0, blank), line.substr(blank + 1))) return odd("an odd line");
    }
    return odd("cut short");
}

bool take_text(std::string_view value, std::string& out) {
    if (!out.empty() || value.size() > kTextBytesMax || printable(value, kTextBytesMax) != value)
        return false;
    out = value;
    return true;
}

}  // namespace

std::string_view to_string(StartTls start_tls) {
    return kStartTlsNames[static_cast<std::size_t>(start_tls)];
}

std::string encode(const ProbeRequest& request) {
    std::string out = std::string(kRequestTitle) + '\n';
    if (const auto* endpoint = std::get_if<EndpointProbe>(&request)) {
        put(out, "host", endpoint->host);
        put(out, "port", std::to_string(endpoint->port));
        put(out, "starttls", to_string(endpoint->start_tls));
        put(out, "server_name", endpoint->server_name);
        put(out, "timeout_ms", std::to_string(endpoint->timeout.count()));
    } else if (const auto* file = std::get_if<FileProbe>(&request)) {
        put(out, "path", file->path);
        put(out, "password_file", file->password_file);
        put(out, "key_file", file->key_file);
        put(out, "root", file->root);
    }
    return out + "end\n";
}

Result<ProbeRequest> parse_probe_request(std::string_view text) {
    EndpointProbe endpoint;
    FileProbe file;
    bool timeout_given = false;
    RL_TRY(read_lines(text, kRequestTitle, kProbeRequestBytesMax,
                      [&](std::string_view key, std::string_view value) {
                          if (key == "host") return take_text(value, endpoint.host);
                          if (key == "server_name") return take_text(value, endpoint.server_name);
                          if (key == "path") return take_text(value, file.path);
                          if (key == "password_file") return take_text(value, file.password_file);
                          if (key == "key_file") return take_text(value, file.key_file);
                          if (key == "root") return take_text(value, file.root);
                          const auto number = to_i64(value);
                          if (key == "port") {
                              endpoint.port = static_cast<std::uint16_t>(number.value_or(0));
                              return number && *number >= 1 && *number <= 65535;
                          }
                          if (key == "timeout_ms") {
                              endpoint.timeout = std::chrono::milliseconds{number.value_or(0)};
                              timeout_given = true;
                              return number && *number >= 1 && *number <= kTimeoutMsMax;
                          }
                          const auto* name =
                              std::find(kStartTlsNames.begin(), kStartTlsNames.end(), value);
                          endpoint.start_tls = static_cast<StartTls>(name - kStartTlsNames.begin());
                          return key == "starttls" && name != kStartTlsNames.end();
                      }));
    if (endpoint.host.empty() == file.path.empty()) return odd("neither an endpoint nor a file");
    if (!file.path.empty()) return ProbeRequest(std::move(file));
    if (!timeout_given) return odd("no time-out");
    return ProbeRequest(std::move(endpoint));
}

std::string encode(const ProbeAnswer& answer) {
    std::string out = std::string(kAnswerTitle) + '\n';
    put(out, "error", answer.error);
    put(out, "tls_version", answer.tls_version);
    put(out, "trust", answer.trust);
    put(out, "name", answer.name);
    put(out, "key", answer.key);
    for (const std::string& problem : answer.problems)
        put(out, "problem", problem);
    for (const std::string& der : answer.chain)
        out.append("certificate ")
            .append(der.empty() ? std::string(kUnreadable) : to_base64(der))
            .append("\n");
    return out + "end\n";
}

Result<ProbeAnswer> parse_probe_answer(std::string_view text) {
    ProbeAnswer answer;
    RL_TRY(read_lines(text, kAnswerTitle, kProbeAnswerBytesMax,
                      [&](std::string_view key, std::string_view value) {
                          if (key == "error") return take_text(value, answer.error);
                          if (key == "tls_version") return take_text(value, answer.tls_version);
                          if (key == "trust") return take_text(value, answer.trust);
                          if (key == "name") return take_text(value, answer.name);
                          if (key == "key") return take_text(value, answer.key);
                          if (key == "problem" && answer.problems.size() < kProbeProblemsMax)
                              return take_text(value, answer.problems.emplace_back());
                          if (key != "certificate" || answer.chain.size() == kProbeChainMax)
                              return false;
                          if (value == kUnreadable) {
                              answer.chain.emplace_back();
                              return true;
                          }
                          auto der = from_base64(value);
                          if (!der || der->empty()) return false;
                          answer.chain.push_back(std::move(*der));
                          return true;
                      }));
    const bool none = std::all_of(answer.chain.begin(), answer.chain.end(),
                                  [](const std::string& der) { return der.empty(); });
    if (answer.error.empty() == none || (none && !answer.chain.empty()))
        return odd("neither an error nor a certificate");
    return answer;
}

}  // namespace ridgeline::agent
