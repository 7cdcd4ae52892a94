// What the agent asks of its helper `certprobe`, and what it is answered: one request on stdin, one
// answer on stdout.
//
// Both are lines of text, "key value", ended by a line "end"; certificates are base64 of their DER.
// The helper has met hostile bytes, so the agent takes its answer for hostile too: everything is
// bounded, and an answer that is odd in any way is refused whole. Pure; shared by both programs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"

namespace ridgeline::agent {

inline constexpr std::size_t kProbeAnswerBytesMax = 8U << 20;  // 4 MiB of DER, as base64
inline constexpr std::size_t kProbeRequestBytesMax = 16U << 10;
inline constexpr std::size_t kProbeChainMax = 2000;
inline constexpr std::size_t kProbeProblemsMax = 20;

// What is said before TLS begins; `none`: TLS from the first byte.
enum class StartTls : std::uint8_t { none, smtp, imap, pop3, ftp, ldap, postgresql };
std::string_view to_string(StartTls start_tls);

struct EndpointProbe {
    std::string host;  // a name or an address
    std::uint16_t port = 443;
    StartTls start_tls = StartTls::none;
    // The name that is asked for (SNI) and verified. An address is verified as one and not asked
    // for.
    std::string server_name;
    std::chrono::milliseconds timeout{10'000};  // in all
};
struct FileProbe {
    std::string path;
    std::string password_file;  // of a PKCS#12 file: its first line; empty: no password
    std::string key_file;       // to be compared with the leaf's key; empty: not asked
    std::string root{};         // where the three are; empty: "/"
};
using ProbeRequest = std::variant<EndpointProbe, FileProbe>;

struct ProbeAnswer {
    std::string error;  // why there is no chain; empty when there is one
    // DER; leaf first as served, or in the file's order. Empty where one is that cannot be read, so
    // that no other takes its place.
    std::vector<std::string> chain;
    std::string tls_version;  // "TLSv1.3"; empty for files
    std::string trust;  // "ok", or why the chain is not trusted, its dates aside; empty for files
    std::string name;   // "ok" or "mismatch"; empty for files
    std::string key;    // "match", "mismatch" or why it cannot be told; empty when not asked
    std::vector<std::string> problems{};  // with what else is, or should be, in the file
};

std::string encode(const ProbeRequest& request);
Result<ProbeRequest> parse_probe_request(std::string_view text);
std::string encode(const ProbeAnswer& answer);
Result<ProbeAnswer> parse_probe_answer(std::string_view text);

}  // namespace ridgeline::agent
