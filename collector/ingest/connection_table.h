// Who is connected to the port agents use, and who has to go: connections that are open, by
// descriptor, from their acceptance over their first message to their end.
//
// libzmq accepts everybody and tells afterwards. A connection on which no host has spoken in time
// is cut, as are a host's oldest ones when it has too many; when there are more than there may be,
// the stranger who has been there longest makes room, and without one the newcomer goes. Who speaks
// with a token stays a stranger: to enrol takes one message and its answer, and whoever has the
// token could hold every connection there may be. Pure: time is given, and cutting is the caller's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"

namespace ridgeline::collector {

enum class CutReason : std::uint8_t {
    silent,       // no message in time: half open, enrolled and mute, or a token's and done
    room,         // more connections than there may be
    descriptors,  // the process has no descriptor left
    host,         // more connections of one host than it may have
    key,          // it authenticated with a key that is valid no more
    flood,        // its host sends on although it was told to wait
};
inline constexpr std::size_t kCutReasons = 6;
std::string_view to_string(CutReason reason);

struct Cut {
    int fd = -1;
    CutReason reason = CutReason::silent;
    bool operator==(const Cut&) const = default;
};

struct ConnectionLimits {
    std::size_t connections = 20'000;
    std::size_t per_host = 4;
    // From acceptance to the first message: the handshake and a Hello that waits its turn.
    std::chrono::milliseconds silent_max = std::chrono::seconds{20};
};

class ConnectionTable {
  public:
    explicit ConnectionTable(const ConnectionLimits& limits) : limits_(limits) {}

    // What is returned is to be closed; it stays in the table until on_closed() says that it is.
    std::vector<Cut> on_accepted(int fd, MonoTime now);
    // `host` is empty for who is none and speaks with a token.
    std::vector<Cut> on_message(int fd, std::string_view connection, std::string_view key,
                                std::string_view host);
    void on_closed(int fd);
    std::vector<Cut> on_tick(MonoTime now);
    // Those whose key may not speak any more.
    std::vector<Cut> recheck(const std::function<bool(std::string_view key)>& may_speak);
    // No descriptor was left for the next one: strangers make room, up to `count` of them.
    std::vector<Cut> on_exhausted(std::size_t count);
    // The descriptor of a peer that has said something.
    std::optional<int> find(std::string_view connection) const;

    void change(const ConnectionLimits& limits) { limits_ = limits; }
    std::size_t size() const { return by_fd_.size(); }
    // Those on which no host has spoken yet.
    std::size_t strangers() const { return strangers_.size() + leaving_.size(); }

  private:
    struct Stranger {
        int fd;
        MonoTime since;
    };
    using Strangers = std::list<Stranger>;
    struct Connection {
        std::optional<Strangers::iterator> stranger;  // until a host has spoken
        std::string connection;
        std::string key;
        std::string host;
        bool cut = false;
    };
    std::optional<Cut> cut_oldest_stranger(CutReason reason, MonoTime since_latest);
    void forget_stranger(Connection& connection);

    ConnectionLimits limits_;
    std::unordered_map<int, Connection> by_fd_;
    Strangers strangers_;  // the oldest first
    Strangers leaving_;    // were cut, and are not closed yet
    std::map<std::string, int, std::less<>> by_connection_;
    std::map<std::string, std::vector<int>, std::less<>> by_host_;  // the oldest first
};

}  // namespace ridgeline::collector
