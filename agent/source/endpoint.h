// The address of a TLS server as people write it: "https://www.example.com", "smtp://mail:587",
// "example.com:8443", "[::1]:443". Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/certprobe/probe_protocol.h"
#include "common/base/result.h"

namespace ridgeline::agent {

struct Endpoint {
    std::string url;  // as it is shown: scheme and port always, "https://www.example.com:443"
    std::string host;
    std::uint16_t port = 0;
    StartTls start_tls = StartTls::none;
};

// Schemes: https, tls, smtps, imaps, pop3s, ftps, ldaps (TLS from the first byte), smtp, imap,
// pop3, ftp, ldap, postgresql (STARTTLS); without one: tls, and the port must be given. A path is
// left out.
Result<Endpoint> parse_endpoint(std::string_view text);

}  // namespace ridgeline::agent
