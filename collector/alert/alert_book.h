// Alerts and their history, on disk: what fires, since when, and every transition with the value
// that caused it.
//
// One commit takes transitions, firing conditions and the log position they were worked out at, in
// one transaction: after a crash the rules go on from exactly there, and no transition is recorded
// twice or lost. Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/rule/engine.h"
#include "collector/state/sqlite.h"

namespace ridgeline::collector {

enum class AlertState : std::uint8_t { firing, resolved, episode };
std::string_view to_string(AlertState state);

struct Alert {
    std::int64_t id = 0;  // one for the whole life of a problem, whatever its severity becomes
    std::string key;
    std::string rule;
    std::string host;
    Attributes attributes;
    Severity severity = Severity::p4;
    AlertState state = AlertState::firing;
    std::int64_t since_ms = 0;     // the first breaching sample
    std::int64_t fired_ms = 0;     // the deciding sample
    std::int64_t resolved_ms = 0;  // 0 while firing
    double value = 0;
    double threshold = 0;
    std::string unit;
    std::string summary;
    std::string runbook;
    std::string reason;  // why it was resolved, when no sample did it
};

struct AlertQuery {
    std::optional<AlertState> state;
    std::int64_t since_ms = 0;  // fired or resolved no earlier
    std::size_t limit = 1000;
};

class AlertBook {
  public:
    static constexpr int kSchemaVersion = 1;

    struct Opened;
    // A database that is damaged or of a newer version is moved aside (`<file>.bad-<time>`) and a
    // new one begun: alerts are worked out again from the log.
    static Result<Opened> open(const std::filesystem::path& file, WallTime now);

    // Where the rules left off; nullopt in a new database.
    Result<std::optional<LogPosition>> position();
    Result<std::vector<FiringCondition>> firing_conditions();

    Result<void> commit(LogPosition position, const std::vector<FiringCondition>& firing,
                        const std::vector<Transition>& transitions);

    Result<std::vector<Alert>> alerts(const AlertQuery& query);  // the newest first
    Result<std::size_t> firing_count();
    // Resolved alerts older than this go.
    Result<void> forget_before(std::int64_t ms);

  private:
    explicit AlertBook(Database database) : database_(std::move(database)) {}
    Result<void> create_schema();
    Result<void> record(const Transition& transition);
    Result<std::int64_t> open_alert_id(const std::string& key);
    Result<void> write_firing(const std::vector<FiringCondition>& firing);

    Database database_;
    std::vector<FiringCondition>
        written_;  // what the table holds, so that an unchanged list is not written again
    bool written_known_ = false;
};

struct AlertBook::Opened {
    AlertBook book;
    std::string moved_aside;  // the damaged file's new name, or empty
};

}  // namespace ridgeline::collector
