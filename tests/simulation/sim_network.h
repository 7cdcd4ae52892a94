// The network between agents and one collector, as ZeroMQ over TCP shows it: on one connection
// messages arrive in order or not at all, and a connection that dies takes what is under way with
// it, or lets what was in buffers arrive late. The collector never hears of a connection's end.
//
// Worse than TCP on request: a batch comes twice, or later than those behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/world.h"

namespace ridgeline::sim {

class Network {
  public:
    struct Faults {
        Millis delay_max = 5;
        unsigned duplicates_percent = 0;  // of batches
        unsigned disorder_percent = 0;    // likewise
        unsigned lost_replies_percent = 0;
    };
    // What the collector's side does with a message; false while it is down.
    using ToCollector =
        std::function<void(std::string_view connection, std::size_t agent, std::string_view bytes)>;

    Network(World& world, std::size_t collector, std::size_t agents, ToCollector to_collector,
            std::function<bool()> collector_is_up)
        : world_(&world),
          prefix_(1, static_cast<char>('a' + collector)),
          to_collector_(std::move(to_collector)),
          collector_is_up_(std::move(collector_is_up)),
          partitioned_(agents, false) {}

    struct Ends {
        std::function<void()> on_connected;
        std::function<void(std::string_view)> on_message;
        std::function<void(std::string_view)> on_disconnected;
    };
    // Connects; on_connected or on_disconnected follows. The connection's name.
    std::string connect(std::size_t agent, Ends ends);
    void send(const std::string& connection, std::string bytes);
    void reply(const std::string& connection, std::string bytes);
    // The agent closes it: nothing more is heard of it.
    void close(const std::string& connection);

    Faults faults;
    void partition(std::size_t agent, bool apart);
    void reset(std::size_t agent);
    void collector_went_down(bool power);
    void heal();

  private:
    struct Connection {
        std::size_t agent = 0;
        Ends ends;
        bool up = false;
        bool alive = true;           // the agent's end
        bool delivers_late = false;  // after its death, what was sent before
        std::uint64_t collector_life = 0;
        Millis last_out = 0;
        Millis last_in = 0;
        std::vector<std::function<void()>> held;  // during a partition
    };
    using ConnectionPtr = std::shared_ptr<Connection>;

    void break_off(const ConnectionPtr& connection, Millis noticed_in, std::string why);
    void transmit(const std::string& name, const ConnectionPtr& connection, std::string bytes,
                  Millis extra);

    World* world_;
    std::string prefix_;  // of its connections' names
    ToCollector to_collector_;
    std::function<bool()> collector_is_up_;
    std::vector<bool> partitioned_;
    std::map<std::string, ConnectionPtr> connections_;
    std::uint64_t collector_life_ = 0;
    std::uint64_t made_ = 0;
};

}  // namespace ridgeline::sim
