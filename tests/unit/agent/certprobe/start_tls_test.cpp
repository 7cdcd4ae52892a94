#include "agent/certprobe/start_tls.h"

#include <random>

#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

using State = StartTlsTalk::State;

// The state after these bytes, whatever the talk would send.
State after(StartTls protocol, std::string_view bytes) {
    StartTlsTalk talk(protocol);
    for (const char byte : bytes)
        talk.on_byte(byte);
    return talk.state();
}

TEST_CASE("what follows the go-ahead is not swallowed", "[start_tls]") {
    StartTlsTalk talk(StartTls::postgresql);
    talk.on_byte('S');
    REQUIRE(talk.state() == State::ready);
    talk.on_byte('N');  // it is TLS's now
    REQUIRE(talk.state() == State::ready);
}

TEST_CASE("a server that never comes to the point is left", "[start_tls]") {
    for (const StartTls protocol : {StartTls::smtp, StartTls::imap, StartTls::ftp}) {
        StartTlsTalk talk(protocol);
        for (int i = 0; i < 20'000 && talk.state() == State::talking; ++i)
            talk.on_byte('x');
        CHECK(talk.state() == State::refused);
        CHECK_FALSE(talk.error().empty());
    }
}

TEST_CASE("LDAP's answer may use any form of length, and must be an answer", "[start_tls]") {
    using namespace std::string_view_literals;
    CHECK(after(StartTls::ldap, "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"sv) ==
          State::ready);
    CHECK(after(StartTls::ldap,
                "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00"
                "\x04\x00"sv) == State::ready);
    CHECK(after(StartTls::ldap, "\x30\x0c\x02\x01\x01\x78\x07\x0a"sv) == State::talking);
    CHECK(after(StartTls::ldap, "\x30\x84\xff\xff\xff\xff"sv) == State::refused);
    CHECK(after(StartTls::ldap, "\x30\x05\x02\x01\x01\x78\x00"sv) == State::refused);
    CHECK(after(StartTls::ldap, "HTTP"sv) == State::refused);
}

TEST_CASE("random bytes never crash a talk", "[start_tls]") {
    std::mt19937 random(7);  // NOLINT: the same bytes every time
    for (int round = 0; round < 2000; ++round) {
        StartTlsTalk talk(static_cast<StartTls>(round % 7));
        for (int i = 0; i < 64; ++i)
            talk.on_byte(static_cast<char>(random()));
    }
}

}  // namespace
}  // namespace ridgeline::agent
