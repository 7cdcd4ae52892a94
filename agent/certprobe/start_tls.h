// What is said to a server in its own protocol until TLS may begin. No sockets: bytes go in one at
// a time, so that nothing that follows the go-ahead is swallowed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/certprobe/probe_protocol.h"

namespace ridgeline::agent {

class StartTlsTalk {
  public:
    enum class State : std::uint8_t { talking, ready, refused };

    explicit StartTlsTalk(StartTls protocol);

    State state() const { return state_; }
    // Why it was refused.
    const std::string& error() const { return error_; }
    // What is to be sent now; empty when it is the server's turn.
    std::string take_output();
    void on_byte(char byte);

  private:
    void on_line(std::string_view line);
    // Three digits; "220-" goes on, "220 " ends the reply.
    void on_numbered_reply(std::string_view line);
    void on_reply(int code, std::string_view line);
    void on_tagged_line(std::string_view line);
    void on_ldap_bytes();
    void refuse(std::string why);
    void go() { state_ = State::ready; }

    StartTls protocol_;
    State state_ = State::talking;
    std::string error_;
    std::string output_;
    std::string received_;  // the line, or LDAP's message, so far
    std::size_t bytes_ = 0;
    unsigned step_ = 0;  // replies taken
};

}  // namespace ridgeline::agent
