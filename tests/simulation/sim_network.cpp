#include "tests/simulation/sim_network.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/wire/messages.h"

namespace ridgeline::sim {

namespace {

constexpr Millis kHeartbeatTimeoutMs = 15'000;  // agent/pipeline/uplink.cpp

bool is_batch(std::string_view bytes) {
    const auto message = wire::decode(bytes, wire::Limits{});
    return message && std::holds_alternative<wire::Batch>(*message);
}

}  // namespace

std::string Network::connect(std::size_t agent, Ends ends) {
    std::string name = prefix_ + std::to_string(++made_) + "-a" + std::to_string(agent);
    const auto connection = std::make_shared<Connection>();
    connection->agent = agent;
    connection->ends = std::move(ends);
    connections_[name] = connection;
    world_->after(world_->between(1, 2 * faults.delay_max), [this, connection] {
        if (!connection->alive) return;
        if (partitioned_[connection->agent] || !collector_is_up_()) {
            break_off(connection, world_->between(0, 5'000), "no connection");
            return;
        }
        connection->up = true;
        connection->collector_life = collector_life_;
        connection->ends.on_connected();
    });
    return name;
}

void Network::transmit(const std::string& name, const ConnectionPtr& connection, std::string bytes,
                       Millis extra) {
    const Millis delay = world_->between(0, faults.delay_max);
    Millis at = std::max(world_->now() + delay, connection->last_out);
    if (extra == 0) connection->last_out = at;
    at += extra;
    auto arrive = [this, name, connection, bytes = std::move(bytes)] {
        if (connection->collector_life != collector_life_ || !collector_is_up_()) return;
        if (!connection->alive && !connection->delivers_late) return;
        to_collector_(name, connection->agent, bytes);
    };
    world_->after(at - world_->now(), [this, connection, arrive = std::move(arrive)] {
        if (partitioned_[connection->agent]) {
            connection->held.push_back(arrive);
        } else {
            arrive();
        }
    });
}

void Network::send(const std::string& name, std::string bytes) {
    const auto found = connections_.find(name);
    if (found == connections_.end() || !found->second->alive) return;
    const ConnectionPtr connection = found->second;
    Millis extra = 0;
    if ((faults.duplicates_percent > 0 || faults.disorder_percent > 0) && is_batch(bytes)) {
        if (world_->chance(faults.duplicates_percent)) {
            world_->say("net", name, ": a batch will come twice");
            transmit(name, connection, bytes, world_->between(1, 20'000));
        }
        if (world_->chance(faults.disorder_percent)) extra = world_->between(1, 500);
    }
    transmit(name, connection, std::move(bytes), extra);
}

void Network::reply(const std::string& name, std::string bytes) {
    const auto found = connections_.find(name);
    if (found == connections_.end()) return;
    const ConnectionPtr connection = found->second;
    if (!connection->alive || world_->chance(faults.lost_replies_percent)) {
        world_->say("net", name, ": a reply is lost");
        return;
    }
    const Millis at =
        std::max(world_->now() + world_->between(0, faults.delay_max), connection->last_in);
    connection->last_in = at;
    auto arrive = [connection, bytes = std::move(bytes)] {
        if (connection->alive) connection->ends.on_message(bytes);
    };
    world_->after(at - world_->now(), [this, connection, arrive = std::move(arrive)] {
        if (partitioned_[connection->agent]) {
            connection->held.push_back(arrive);
        } else {
            arrive();
        }
    });
}

void Network::close(const std::string& name) {
    const auto found = connections_.find(name);
    if (found == connections_.end()) return;
    found->second->alive = false;
    found->second->delivers_late = world_->chance(50);
    connections_.erase(found);
}

void Network::break_off(const ConnectionPtr& connection, Millis noticed_in, std::string why) {
    // Half-dead: the agent goes on for a while, into the void.
    connection->collector_life = ~std::uint64_t{0};
    world_->after(noticed_in, [connection, why = std::move(why)] {
        if (!connection->alive) return;
        connection->alive = false;
        connection->ends.on_disconnected(why);
    });
}

void Network::partition(std::size_t agent, bool apart) {
    partitioned_[agent] = apart;
    if (!apart) {
        for (auto& [name, connection] : connections_) {
            if (connection->agent != agent) continue;
            for (auto& arrive : std::exchange(connection->held, {}))
                world_->after(1, std::move(arrive));
        }
        return;
    }
    for (auto& [name, connection] : connections_) {
        if (connection->agent != agent || !connection->up) continue;
        world_->after(kHeartbeatTimeoutMs, [this, connection] {
            if (!partitioned_[connection->agent] || !connection->alive) return;
            connection->held.clear();
            break_off(connection, 0, "no heartbeat");
        });
    }
}

void Network::reset(std::size_t agent) {
    for (auto& [name, connection] : connections_) {
        if (connection->agent != agent || !connection->up) continue;
        // What comes late is heard on the dead connection, beside the new one.
        connection->delivers_late = world_->chance(50);
        if (!connection->delivers_late) connection->collector_life = ~std::uint64_t{0};
        const ConnectionPtr dead = connection;
        world_->after(world_->between(0, 1'000), [dead] {
            if (!dead->alive) return;
            dead->alive = false;
            dead->ends.on_disconnected("reset");
        });
    }
}

void Network::collector_went_down(bool power) {
    ++collector_life_;
    for (auto& [name, connection] : connections_) {
        if (!connection->up) continue;
        break_off(connection, world_->between(0, power ? kHeartbeatTimeoutMs : 500),
                  "the collector went away");
    }
}

void Network::heal() {
    faults = {};
    for (std::size_t agent = 0; agent < partitioned_.size(); ++agent)
        partition(agent, false);
}

}  // namespace ridgeline::sim
