#include "agent/certprobe/start_tls.h"

#include <utility>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

constexpr std::size_t kBytesMax = 16U << 10;  // banners are long at times, talk is not
constexpr std::size_t kLdapMessageMax = 4096;

// RFC 4511 §4.14.1: [APPLICATION 23] ExtendedRequest with [0] 1.3.6.1.4.1.1466.20037, message 1.
constexpr std::string_view kLdapStartTls{
    "\x30\x1d\x02\x01\x01\x77\x18\x80\x16"
    "1.3.6.1.4.1.1466.20037",
    31};
constexpr char kSequence = '\x30';
constexpr char kExtendedResponse = '\x78';  // [APPLICATION 24]
constexpr char kEnumerated = '\x0a';

// PostgreSQL, Message Formats: SSLRequest, length 8, code 80877103.
constexpr std::string_view kPostgresSslRequest{"\0\0\0\x08\x04\xd2\x16\x2f", 8};

// A BER length at `at`, which is moved behind it. False: more bytes are needed or it is too long.
bool take_length(std::string_view bytes, std::size_t& at, std::size_t& length) {
    if (at >= bytes.size()) return false;
    const auto first = static_cast<unsigned char>(bytes[at++]);
    length = first & 0x7FU;
    if (first < 0x80) return true;
    const std::size_t count = length;
    if (count < 1 || count > 4 || at + count > bytes.size()) return false;
    length = 0;
    for (std::size_t i = 0; i < count; ++i)
        length = (length << 8) | static_cast<unsigned char>(bytes[at++]);
    return true;
}

}  // namespace

StartTlsTalk::StartTlsTalk(StartTls protocol) : protocol_(protocol) {
    if (protocol == StartTls::none) state_ = State::ready;
    if (protocol == StartTls::ldap) output_ = kLdapStartTls;
    if (protocol == StartTls::postgresql) output_ = kPostgresSslRequest;
}

std::string StartTlsTalk::take_output() {
    return std::exchange(output_, {});
}

void StartTlsTalk::refuse(std::string why) {
    state_ = State::refused;
    error_ = std::move(why);
}

void StartTlsTalk::on_byte(char byte) {
    if (state_ != State::talking) return;
    if (++bytes_ > kBytesMax) {
        refuse("the server talks on and on and does not come to TLS");
    } else if (protocol_ == StartTls::postgresql) {
        if (byte == 'S') {
            go();
        } else {
            refuse(byte == 'N' ? "the server has SSL turned off"
                               : "not a PostgreSQL server, or it refuses connections");
        }
    } else if (protocol_ == StartTls::ldap) {
        received_ += byte;
        on_ldap_bytes();
    } else if (byte == '\n') {
        std::string_view line = received_;
        if (line.ends_with('\r')) line.remove_suffix(1);
        on_line(line);
        received_.clear();
    } else {
        received_ += byte;
    }
}

void StartTlsTalk::on_line(std::string_view line) {
    switch (protocol_) {
        case StartTls::smtp:
        case StartTls::ftp:
            on_numbered_reply(line);
            return;
        case StartTls::imap:
        case StartTls::pop3:
            on_tagged_line(line);
            return;
        case StartTls::none:
        case StartTls::ldap:
        case StartTls::postgresql:
            return;  // not spoken in lines
    }
}

void StartTlsTalk::on_numbered_reply(std::string_view line) {
    const auto code = to_u64(line.substr(0, 3));
    const bool goes_on = line.size() > 3 && line[3] == '-';
    // FTP's long replies may have lines of any form between the first and the last.
    if (protocol_ == StartTls::ftp && (!code || goes_on)) return;
    if (!code || *code < 100) {
        refuse("not understood: " + printable(line, 100));
        return;
    }
    if (!goes_on) on_reply(static_cast<int>(*code), line);
}

void StartTlsTalk::on_reply(int code, std::string_view line) {
    const bool smtp = protocol_ == StartTls::smtp;
    const int wanted = step_ == 0 ? 220 : !smtp ? 234 : step_ == 1 ? 250 : 220;
    if (code != wanted) {
        refuse(std::string(step_ == 0 ? "the server does not greet: " : "no STARTTLS: ") +
               printable(line, 100));
        return;
    }
    ++step_;
    if (step_ == 1) {
        output_ = smtp ? "EHLO certprobe.invalid\r\n" : "AUTH TLS\r\n";
    } else if (smtp && step_ == 2) {
        output_ = "STARTTLS\r\n";
    } else {
        go();
    }
}

void StartTlsTalk::on_tagged_line(std::string_view line) {
    const bool imap = protocol_ == StartTls::imap;
    if (step_ == 0) {
        if (!line.starts_with(imap ? "* OK" : "+OK")) {
            refuse("the server does not greet: " + printable(line, 100));
            return;
        }
        ++step_;
        output_ = imap ? "a1 STARTTLS\r\n" : "STLS\r\n";
        return;
    }
    if (imap && line.starts_with("* ")) return;  // untagged, about something else
    if (line.starts_with(imap ? "a1 OK" : "+OK")) {
        go();
    } else {
        refuse("no STARTTLS: " + printable(line, 100));
    }
}

// LDAPMessage { messageID, ExtendedResponse { resultCode ENUMERATED, … } } (RFC 4511 §4.1.1,
// §4.12).
void StartTlsTalk::on_ldap_bytes() {
    const std::string_view bytes = received_;
    const auto odd = [&] { refuse("not an LDAP server"); };
    if (bytes[0] != kSequence || bytes.size() > kLdapMessageMax) return odd();
    std::size_t at = 1;
    std::size_t length = 0;
    if (!take_length(bytes, at, length)) return;
    if (length > kLdapMessageMax) return odd();
    if (bytes.size() < at + length) return;
    if (bytes.substr(at, 3) != std::string_view("\x02\x01\x01", 3)) return odd();
    at += 3;
    if (at >= bytes.size() || bytes[at++] != kExtendedResponse) return odd();
    if (!take_length(bytes, at, length) || at + 3 > bytes.size()) return odd();
    if (bytes[at] != kEnumerated || bytes[at + 1] != '\x01') return odd();
    const int code = static_cast<unsigned char>(bytes[at + 2]);
    if (code == 0) {
        go();
    } else {
        refuse("no STARTTLS: LDAP result " + std::to_string(code));
    }
}

}  // namespace ridgeline::agent
