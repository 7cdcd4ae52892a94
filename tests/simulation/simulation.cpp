#include "tests/simulation/simulation.h"

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "tests/simulation/ledger.h"
#include "tests/simulation/sim_agent.h"
#include "tests/simulation/sim_collector.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_network.h"
#include "tests/simulation/world.h"

namespace ridgeline::sim {

namespace {

constexpr Millis kRunMsMin = 60'000;
constexpr Millis kRunMsMax = 240'000;
constexpr Millis kDrainMs = 600'000;
constexpr Millis kDrainLookMs = 5'000;
constexpr Millis kReconnectAfterMs = 200'000;  // for what a session passes over until the next one

enum class Fault : std::uint8_t {
    kill_agent,
    power_agent,
    kill_collector,
    power_collector,
    disk_agent,
    disk_collector,
    sync_agent,
    sync_collector,
    away_collector,
    read_agent,
    reset,
    partition,
    slow_network,
    duplicates,
    disorder,
    lost_replies,
    step_agent,
    step_collector,
    reload,
    stop,
};
constexpr std::array kFaultNames = {
    "kill_agent",     "power_agent",  "kill_collector", "power_collector", "disk_agent",
    "disk_collector", "sync_agent",   "sync_collector", "away_collector",  "away_collector",
    "read_agent",     "reset",        "partition",      "slow_network",    "duplicates",
    "disorder",       "lost_replies", "step_agent",     "step_collector",  "reload",
    "stop",
};

// Agents that lose power, or die while their disks refuse, lose much in a run. The others, without
// such, come to where little may be missing.
bool is_sick_agent_disk(Fault fault) {
    return fault == Fault::disk_agent || fault == Fault::sync_agent || fault == Fault::read_agent;
}
bool is_agent_death(Fault fault) {
    return fault == Fault::kill_agent || fault == Fault::power_agent || fault == Fault::stop;
}

class Simulation {
  public:
    Simulation(std::uint64_t seed, bool tracing, bool harsh)
        : world_(seed, tracing), harsh_(harsh) {}

    Outcome run() {
        Outcome outcome;
        try {
            build();
            befall();
            world_.run_until(run_ms_);
            heal();
            drain();
            check();
        } catch (const Violation& violation) {
            outcome.violation = violation.what();
            world_.say("VIOLATION", violation.what());
        }
        outcome.digest = world_.digest();
        outcome.samples = ledger_.size();
        outcome.counts = counts_;
        for (std::size_t i = 0; i < kFates; ++i) {
            const auto fate = static_cast<Fate>(i);
            outcome.counts[std::string("samples ") + to_string(fate)] = ledger_.count(fate);
        }
        outcome.counts["samples counted, delivered all the same"] = ledger_.counted_but_delivered();
        for (const auto& agent : agents_) {
            outcome.counts["deaths of agents"] += agent->deaths();
            outcome.counts["samples that came back"] += agent->came_back();
        }
        for (const auto& to : collectors_)
            outcome.counts["deaths of collectors"] += to->deaths();
        outcome.counts["samples in the logs of two collectors"] = ledger_.in_two_logs();
        outcome.trace = world_.trace();
        return outcome;
    }

  private:
    void build() {
        run_ms_ = world_.between(kRunMsMin, kRunMsMax);
        CollectorOptions collector;
        collector.log.segment_bytes = static_cast<std::uint64_t>(world_.between(2'000, 100'000));
        collector.limits.credit = static_cast<std::uint32_t>(world_.between(1, 16));
        collector.limits.schemas_per_host = static_cast<std::size_t>(world_.between(1, 8));
        collector.sync_interval_ms = world_.one_of<Millis>({0, 50, 1'000});
        collector.sync_takes_ms_max = world_.one_of<Millis>({0, 20, 500, 20'000});
        const auto agents = static_cast<std::size_t>(world_.between(1, 3));
        const auto collectors = world_.one_of<std::size_t>({1, 1, 1, 2, 2, 3});
        std::vector<Network*> networks;
        for (std::size_t i = 0; i < collectors; ++i) {
            collectors_.push_back(std::make_unique<SimCollector>(world_, ledger_, i, collector));
            SimCollector& to = *collectors_.back();
            networks_.push_back(std::make_unique<Network>(
                world_, i, agents,
                [&to](std::string_view connection, std::size_t agent, std::string_view bytes) {
                    to.on_message(connection, agent, bytes);
                },
                [&to] { return to.running(); }));
            networks.push_back(networks_.back().get());
            to.attach(*networks_.back());
        }
        for (std::size_t i = 0; i < agents; ++i) {
            AgentOptions options;
            // From roomy to so tight that an outage of a minute fills it.
            options.spool.bytes_max = world_.one_of<std::uint64_t>({8'000, 30'000, 200'000});
            options.spool.segment_bytes = world_.one_of<std::uint64_t>({500, 2'000, 100'000});
            options.spool.memory_bytes_max = world_.one_of<std::uint64_t>({1'000, 4'000, 50'000});
            options.batch_ms = world_.one_of<Millis>({1'000, 5'000, 10'000});
            options.sync_takes_ms_max = world_.one_of<Millis>({0, 20, 500, 10'000});
            options.sources = static_cast<std::size_t>(world_.between(1, 3));
            options.series_per_source = static_cast<std::size_t>(world_.between(1, 4));
            options.schema_change_percent = world_.one_of<unsigned>({0, 1, 10});
            agents_.push_back(std::make_unique<SimAgent>(world_, ledger_, networks, i, options));
        }
        for (const auto& to : collectors_)
            to->start();
        for (const auto& agent : agents_)
            agent->start();
    }

    // Each run has its own mix: with everything at once, nothing would live long enough to be in
    // the middle of something.
    void befall() {
        for (std::size_t i = 0; i < kFaultNames.size(); ++i) {
            if (world_.chance(30)) mix_.push_back(static_cast<Fault>(i));
        }
        if (!harsh_ && world_.chance(50)) {
            std::erase_if(mix_, is_sick_agent_disk);
        } else if (!harsh_) {
            std::erase_if(mix_, is_agent_death);
        }
        if (!harsh_) std::erase(mix_, Fault::power_agent);
        if (mix_.empty()) return;
        pause_ms_max_ = world_.one_of<Millis>({3'000, 10'000, 40'000});
        next_fault();
    }

    void next_fault() {
        const Millis pause = world_.between(100, pause_ms_max_);
        if (world_.now() + pause >= run_ms_) return;
        world_.after(pause, [this] {
            inflict(world_.one_of(mix_));
            next_fault();
        });
    }

    void inflict(Fault fault) {
        ++counts_[std::string("fault ") + kFaultNames[static_cast<std::size_t>(fault)]];
        SimAgent& agent = *agents_[world_.random() % agents_.size()];
        SimCollector& collector = *collectors_[world_.random() % collectors_.size()];
        const Millis spell = world_.between(100, 30'000);
        switch (fault) {
            case Fault::kill_agent:
                return kill(agent, false);
            case Fault::power_agent:
                return kill(agent, true);
            case Fault::kill_collector:
                return kill(collector, false);
            case Fault::power_collector:
                return kill(collector, true);
            case Fault::disk_agent:
                return break_disk(agent.disk(), agent.name(), spell);
            case Fault::disk_collector:
                return break_disk(collector.disk(), collector.name(), spell);
            case Fault::sync_agent:
                return fail_syncs(agent.disk(), agent.name(), spell);
            case Fault::sync_collector:
                return fail_syncs(collector.disk(), collector.name(), spell);
            case Fault::away_collector:
                return collector.go_away(4 * spell);
            case Fault::read_agent:
                world_.say(agent.name(), "cannot read for ", spell, " ms");
                agent.disk().fail_reads(true);
                return world_.after(spell, [&agent] { agent.disk().fail_reads(false); });
            case Fault::reset:
                world_.say(agent.name(), "connection reset");
                for (const auto& network : networks_)
                    network->reset(index_of(agent));
                return;
            case Fault::partition:
                world_.say(agent.name(), "cut off for ", 2 * spell, " ms");
                return cut_off(agent, 2 * spell);
            case Fault::slow_network:
                a_network().faults.delay_max = world_.one_of<Millis>({5, 300, 3'000});
                return;
            case Fault::duplicates:
                a_network().faults.duplicates_percent = world_.one_of<unsigned>({0, 10, 50});
                return;
            case Fault::disorder:
                a_network().faults.disorder_percent = world_.one_of<unsigned>({0, 10, 50});
                return;
            case Fault::lost_replies:
                a_network().faults.lost_replies_percent = world_.one_of<unsigned>({0, 5, 30});
                return;
            case Fault::step_agent:
                return step(agent.clock(), agent.name());
            case Fault::step_collector:
                return step(collector.clock(), collector.name());
            case Fault::reload:
                return agent.reload();
            case Fault::stop:
                return agent.stop_and_start_again();
        }
    }

    Network& a_network() { return *networks_[world_.random() % networks_.size()]; }

    // From all collectors, or from one.
    void cut_off(SimAgent& agent, Millis spell) {
        const bool all = world_.chance(50);
        Network& one = a_network();
        for (const auto& network : networks_) {
            if (!all && network.get() != &one) continue;
            network->partition(index_of(agent), true);
            world_.after(spell, [this, &agent, from = network.get()] {
                from->partition(index_of(agent), false);
            });
        }
    }

    std::size_t index_of(const SimAgent& agent) const {
        std::size_t i = 0;
        while (agents_[i].get() != &agent)
            ++i;
        return i;
    }

    // At one of its next writes, or now.
    template <class Node>
    void kill(Node& node, bool power) {
        if (world_.chance(20)) return node.crash(power);
        node.disk().arm(static_cast<std::uint64_t>(world_.between(0, 40)), power);
    }

    void break_disk(SimDisk& disk, std::string_view who, Millis spell) {
        const auto refusal =
            world_.one_of<Refusal>({Refusal::full, Refusal::failing, Refusal::read_only});
        world_.say(who, "its disk ", to_string(refusal), " for ", spell, " ms");
        disk.refuse(refusal);
        world_.after(spell, [&disk] { disk.refuse(Refusal::none); });
    }

    void fail_syncs(SimDisk& disk, std::string_view who, Millis spell) {
        world_.say(who, "its fsync fails for ", spell, " ms");
        disk.fail_syncs(true);
        world_.after(spell, [&disk] { disk.fail_syncs(false); });
    }

    void step(NodeClock& clock, std::string_view who) {
        const Millis by = world_.one_of<Millis>(
            {-10'000'000, -60'000, -1'500, 700, 5'000, 60'000, 4'000'000, 10'000'000});
        world_.say(who, "clock stepped by ", by, " ms");
        clock.step(by);
    }

    void heal() {
        world_.say("world", "heals");
        for (const auto& network : networks_)
            network->heal();
        for (const auto& collector : collectors_) {
            collector->come_back();
            collector->disk().heal();
            collector->hurry();
            collector->clock().set_right();
        }
        for (const auto& agent : agents_) {
            agent->disk().heal();
            agent->clock().set_right();
        }
    }

    bool all_drained() const {
        bool drained = true;
        for (const auto& collector : collectors_)
            drained = drained && collector->running();
        for (const auto& agent : agents_)
            drained = drained && agent->drained();
        return drained;
    }

    void drain() {
        world_.run_until(run_ms_ + 30'000);  // all are up again, and sample
        for (const auto& agent : agents_)
            agent->stop_sampling();
        bool reconnected = false;
        for (Millis waited = 0; !all_drained(); waited += kDrainLookMs) {
            if (waited > kDrainMs) {
                std::string who;
                for (const auto& agent : agents_)
                    who += agent->drained() ? "" : "\n  " + agent->state();
                throw Violation("healed long ago, and the spools do not empty:" + who);
            }
            if (waited > kReconnectAfterMs && !reconnected) {
                reconnected = true;
                for (const auto& agent : agents_)
                    agent->reconnect();
            }
            world_.run_until(world_.now() + kDrainLookMs);
        }
    }

    void check() {
        for (const auto& collector : collectors_)
            collector->read_again();
        ledger_.must_have_been_read_again();
        for (SampleId id = 0; id < ledger_.size(); ++id) {
            if (ledger_.fate(id) == Fate::kept)
                throw Violation("neither in the log nor counted nor excused: " +
                                ledger_.describe(id));
        }
    }

    World world_;
    bool harsh_;
    Ledger ledger_;
    std::vector<std::unique_ptr<SimCollector>> collectors_;
    std::vector<std::unique_ptr<Network>> networks_;
    std::vector<std::unique_ptr<SimAgent>> agents_;
    Millis run_ms_ = 0;
    Millis pause_ms_max_ = 0;
    std::vector<Fault> mix_;
    std::map<std::string, std::uint64_t> counts_;
};

}  // namespace

Outcome simulate(std::uint64_t seed, bool tracing, bool harsh) {
    return Simulation(seed, tracing, harsh).run();
}

}  // namespace ridgeline::sim
