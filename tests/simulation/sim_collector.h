// A collector without its event loop, sockets, rules and web server: Log, Ingest and one reader of
// the log, called in the same order as in collector/collector.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "collector/ingest/ingest.h"
#include "collector/log/log.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_network.h"
#include "tests/simulation/world.h"

namespace ridgeline::sim {

struct CollectorOptions {
    collector::LogOptions log;
    collector::IngestLimits limits;
    Millis sync_interval_ms = 1'000;
    Millis sync_takes_ms_max = 50;
};

class SimCollector {
  public:
    SimCollector(World& world, Ledger& ledger, std::size_t index, CollectorOptions options);

    void attach(Network& network) { network_ = &network; }
    void start();
    bool running() const { return run_.has_value(); }
    void on_message(std::string_view connection, std::size_t agent, std::string_view bytes);
    void crash(bool power);
    // Dead, and for so long nobody starts it again.
    void go_away(Millis ms);
    void come_back() { away_until_ = 0; }
    // From here on its fsyncs take no time to speak of.
    void hurry() { options_.sync_takes_ms_max = 5; }
    // The whole log, from its beginning.
    void read_again();

    SimDisk& disk() { return disk_; }
    NodeClock& clock() { return clock_; }
    const std::string& name() const { return name_; }
    std::uint64_t deaths() const { return deaths_; }

  private:
    struct Run {
        std::unique_ptr<collector::Log> log;
        std::optional<collector::Ingest> ingest;
        std::unique_ptr<collector::LogReader> reader;
        bool syncing = false;
    };
    void event(const char* what, const std::function<void()>& run);
    void later(Millis delay, const char* what, std::function<void()> run);
    void died(bool power);
    void start_in(Millis delay);
    void boot();
    // As in collector.cpp.
    void send(const std::vector<collector::Outgoing>& outgoing);
    void schedule_sync();
    void sync();
    void pump();

    World* world_;
    Ledger* ledger_;
    std::size_t index_;
    std::string name_;
    Network* network_ = nullptr;
    CollectorOptions options_;
    NodeClock clock_;
    SimDisk disk_;
    std::optional<Run> run_;
    std::uint64_t life_ = 0;
    std::uint64_t deaths_ = 0;
    bool start_due_ = false;
    Millis away_until_ = 0;
    collector::LogPosition read_to_ = 0;  // as a sink saves it
};

}  // namespace ridgeline::sim
