#include "agent/source/endpoint.h"

#include <algorithm>
#include <array>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kHostBytesMax = 253;  // RFC 1035 §2.3.4, as text

struct Scheme {
    std::string_view name;
    std::uint16_t port;  // IANA's; 0: must be given
    StartTls start_tls;
};
constexpr std::array kSchemes = {
    Scheme{"https", 443, StartTls::none},
    Scheme{"tls", 0, StartTls::none},
    Scheme{"smtps", 465, StartTls::none},
    Scheme{"imaps", 993, StartTls::none},
    Scheme{"pop3s", 995, StartTls::none},
    Scheme{"ftps", 990, StartTls::none},
    Scheme{"ldaps", 636, StartTls::none},
    Scheme{"smtp", 25, StartTls::smtp},
    Scheme{"imap", 143, StartTls::imap},
    Scheme{"pop3", 110, StartTls::pop3},
    Scheme{"ftp", 21, StartTls::ftp},
    Scheme{"ldap", 389, StartTls::ldap},
    Scheme{"postgresql", 5432, StartTls::postgresql},
    Scheme{"postgres", 5432, StartTls::postgresql},
};

tl::unexpected<Error> bad(std::string_view text, const std::string& why) {
    return fail(Errc::invalid_argument, "\"" + printable(text, 200) + "\": " + why);
}

bool is_host(std::string_view host) {
    if (host.empty() || host.size() > kHostBytesMax) return false;
    return std::all_of(host.begin(), host.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
    });
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
    const Scheme* scheme = &kSchemes[1];
    std::string_view rest = text;
    if (const auto mark = text.find("://"); mark != std::string_view::npos) {
        const std::string_view name = text.substr(0, mark);
        scheme = std::find_if(kSchemes.begin(), kSchemes.end(),
                              [&](const Scheme& s) { return s.name == name; });
        if (scheme == kSchemes.end()) {
            std::string known;
            for (const Scheme& s : kSchemes)
                known += (known.empty() ? "" : ", ") + std::string(s.name);
            return bad(text, "unknown scheme; known are " + known);
        }
        rest.remove_prefix(mark + 3);
    }
    rest = rest.substr(0, rest.find('/'));
    std::string_view host = rest;
    std::string_view port;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) return bad(text, "no ] after the address");
        host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
        if (!port.empty() && !port.starts_with(':')) return bad(text, "a port begins with :");
    } else if (const auto colon = rest.rfind(':'); colon != std::string_view::npos) {
        host = rest.substr(0, colon);
        port = rest.substr(colon);
        if (host.find(':') != std::string_view::npos)
            return bad(text, "an IPv6 address stands in brackets: [::1]:443");
    }
    if (!is_host(host)) return bad(text, "no host name or address in it");
    Endpoint endpoint{"", std::string(host), scheme->port, scheme->start_tls};
    if (!port.empty()) {
        const auto number = to_u64(port.substr(1));
        if (!number || *number < 1 || *number > 65535) return bad(text, "a port is 1 to 65535");
        endpoint.port = static_cast<std::uint16_t>(*number);
    }
    if (endpoint.port == 0) return bad(text, "give a port (HOST:PORT) or a scheme (https://HOST)");
    const bool bracketed = host.find(':') != std::string_view::npos;
    endpoint.url = std::string(scheme->name) + "://" + (bracketed ? "[" : "") + endpoint.host +
                   (bracketed ? "]" : "") + ":" + std::to_string(endpoint.port);
    return endpoint;
}

}  // namespace ridgeline::agent
