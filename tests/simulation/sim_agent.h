// An agent without its event loop, sockets and sources: the same parts, called in the same order as
// in agent/agent.cpp and agent/pipeline/uplink.cpp, on a simulated machine that can die.
//
// After every event the books are balanced: a batch that left the spool is in the log, has a new
// number, or was counted, to the sample, as dropped. After every death what is missing must be what
// that death may take.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/pipeline/batch.h"
#include "agent/pipeline/head_journal.h"
#include "agent/pipeline/schedule.h"
#include "agent/pipeline/spool.h"
#include "agent/pipeline/uplink_session.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_network.h"
#include "tests/simulation/world.h"

namespace ridgeline::sim {

struct AgentOptions {
    agent::SpoolOptions spool;
    Millis batch_ms = 10'000;
    Millis fsync_ms = 1'000;
    Millis sync_takes_ms_max = 50;
    std::size_t sources = 2;
    std::size_t series_per_source = 3;
    unsigned schema_change_percent = 2;  // of rounds
};

class SimAgent {
  public:
    // `networks`: to each of the collectors.
    SimAgent(World& world, Ledger& ledger, std::vector<Network*> networks, std::size_t index,
             AgentOptions options);

    void start();
    bool running() const { return run_.has_value(); }
    // At a moment of quiet, between two events.
    void crash(bool power);
    void reload();
    void stop_and_start_again();
    // Nothing is sampled from here on; what was is sealed.
    void stop_sampling();
    bool drained() const;
    void reconnect();

    SimDisk& disk() { return disk_; }
    NodeClock& clock() { return clock_; }
    const std::string& name() const { return name_; }
    std::uint64_t deaths() const { return deaths_; }
    std::uint64_t came_back() const { return came_back_; }
    std::string state() const;

  private:
    struct SimSeries {
        std::string metric;
        agent::SlotId slot{};
        std::uint32_t id = 0;
        bool declared = false;
    };
    struct SimSource {
        std::string name;
        Millis interval_ms = 1'000;
        std::vector<SimSeries> series;
    };
    struct Run {
        std::optional<agent::Spool> spool;
        std::optional<agent::HeadJournal> head;
        std::optional<agent::Batcher> batcher;
        std::optional<agent::Schedule> schedule;
        std::size_t batch_entry = 0;
        std::optional<agent::UplinkSession> session;
        std::string connection;  // empty: none
        bool established = false;
        std::size_t attempt = 0;  // which of the collectors
        bool move_on = false;
        std::uint64_t schema_hash = 0;
        bool sync_busy = false;
        bool hole = false;  // a sync failed, and the spool does not know yet
        MonoTime synced_at;
        bool stopping = false;
    };
    struct Kept {
        SampleIds ids;
        bool on_disk = false;  // survives the process
        bool synced = false;   // survives the power: the spool said so
        bool tainted =
            false;  // an fsync that was to cover it failed: what the disk has is its secret
    };
    using Batches = std::map<std::uint64_t, Kept>;
    using Drops = std::array<std::uint64_t, agent::kDropReasons>;

    // Runs one event of the process and balances the books after it; the process may die in it.
    void event(const char* what, const std::function<void()>& run);
    void later(Millis delay, const char* what, std::function<void()> run);
    void died(bool power);
    void boot();
    void start_in(Millis delay);

    // As in agent.cpp.
    void set_sources();
    void look();
    bool turn();
    void add_round(SimSource& source, const agent::SampleInstant& at);
    void journal();
    void seal();
    void spool_batch(const agent::SealedBatch& batch, std::size_t count);
    void sync_spool();
    void taint();
    // As in uplink.cpp.
    void connect();
    void carry_out(agent::UplinkActions actions);
    Network& network() { return *networks_[run_->attempt % networks_.size()]; }

    void emit(SimSource& source, std::int64_t stamp_ms, SampleIds& ids);
    void watch_sent(std::string_view bytes);

    void balance();
    Batches read_spool();
    SampleIds decode(std::uint64_t sequence);
    std::optional<SampleIds> decode_if_whole(std::uint64_t sequence);
    void compare_with_before(Batches& now);
    Drops drops() const;
    std::uint64_t refused() const { return disk_.refusals() + disk_.unreadable(); }
    std::string boot_id() const { return "boot-" + std::to_string(boots_); }

    World* world_;
    Ledger* ledger_;
    std::size_t index_;
    std::string name_;
    std::vector<Network*> networks_;  // in the order in which it tries them
    AgentOptions options_;
    NodeClock clock_;
    SimDisk disk_;
    std::vector<SimSource> sources_;
    std::uint64_t series_made_ = 0;
    bool sampling_ = true;
    bool start_due_ = false;

    std::optional<Run> run_;
    std::uint64_t life_ = 0;
    std::uint64_t deaths_ = 0;
    std::uint64_t came_back_ = 0;

    // The books.
    Batches held_;                     // as of the last event
    Batches fresh_;                    // appended in this one
    SampleIds filling_;                // in the batch being filled
    std::size_t journalled_ = 0;       // of these, in the head journal
    std::uint64_t unreadable_ = 0;     // refused reads of the disk before the last start
    std::uint64_t boots_ = 1;          // of the machine: a power cut gives it another boot id
    std::uint64_t head_refusals_ = 0;  // of the disk when the batch being filled was begun
    Drops drops_{};
    struct Before {  // what the last death left to be accounted for
        Batches batches;
        SampleIds journalled;
        SampleIds instant;
        bool head_sound = true;
        bool power = false;
        std::uint64_t dropped_unsaid = 0;
    };
    std::optional<Before> before_;
};

}  // namespace ridgeline::sim
