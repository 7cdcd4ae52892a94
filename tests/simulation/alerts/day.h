// A day of a simulated fleet: the collector's own log, window, rules and alert book on a clock and
// a disk in memory, restarted every hour, beside the oracle that says what must come of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/evaluation.h"
#include "tests/simulation/alerts/fleet.h"
#include "tests/simulation/alerts/oracle.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace ridgeline::sim {

// The collector from the log on, which can be killed and started again.
class SimCollector {
  public:
    SimCollector(test::ManualClock& clock, std::filesystem::path rules);

    void start();
    // What is in memory is gone; with the power, what was not synced as well.
    void kill(bool power);
    bool running() const { return evaluation_ != nullptr; }

    void append(const SimHost& host, const SentBatch& batch);
    bool contains(const SimHost& host, const SentBatch& batch) const {
        return log_->contains(host.id, batch.epoch, batch.sequence);
    }
    void sync();
    // True: there is more.
    bool pump(std::size_t batches_max);
    void housekeep();
    void checkpoint() { evaluation_->checkpoint(); }
    // With a new alert book.
    void forget_alerts();

    // "RESOLVED P3 cpu.sustained host1{…} 36000", as told, over all lives.
    const std::vector<std::string>& told() const { return told_; }
    std::vector<std::string>& told() { return told_; }
    std::size_t alerts_in_book();

  private:
    test::ManualClock& clock_;
    std::filesystem::path rules_;
    std::unique_ptr<test::TempDir> directory_;
    test::FaultyStorage disk_;
    std::unique_ptr<collector::Log> log_;
    std::unique_ptr<collector::Evaluation> evaluation_;
    std::vector<std::string> hosts_known_;  // in this life
    std::vector<std::string> told_;
};

struct DayOptions {
    std::uint64_t seed = 1;
    std::size_t hosts = 50;
    int hours = 24;
    std::int64_t restart_every_s = 3600;
    std::filesystem::path rules;
};

struct DayReport {
    std::map<std::string, std::uint64_t> counts;    // what happened
    std::map<std::string, std::uint64_t> expected;  // by kind of transition
    std::vector<std::string> missed;
    std::vector<std::string> spurious;
    std::vector<std::string> doubled;
    bool ok() const { return missed.empty() && spurious.empty() && doubled.empty(); }
};

DayReport run_day(const DayOptions& options);

// An hour of a fleet, recorded and then evaluated once without and once for each place in it with a
// death there. Returns what differed, and counts the deaths.
std::vector<std::string> run_kill_points(const DayOptions& options, std::size_t every,
                                         std::uint64_t& deaths, std::uint64_t& transitions);

}  // namespace ridgeline::sim
