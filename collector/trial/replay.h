// What rules would have made of the stored log: `ridgeline-collector replay`.
//
// Reads the log from end to end as the service does, on the times in it, with memory for the rules'
// own horizon and no more. Alerts that were firing before the beginning are known only as far as
// the run-up before it shows them. Between the batches time passes: silent hosts, missing data and
// fleets are judged as by the service's clock (replay_clock.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/log/stored_log.h"
#include "collector/rule/engine.h"
#include "collector/trial/replay_clock.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct ReplayedAlert {
    std::string key;
    std::string rule;
    std::string host;
    Attributes attributes;
    Severity severity = Severity::p4;  // the gravest it reached
    std::int64_t since_ms = 0;
    std::int64_t fired_ms = 0;
    std::int64_t resolved_ms = 0;  // 0: it still fires at the end
    bool before = false;           // it fired already when the asked-for time began
    std::string summary;           // as it fired
    bool operator==(const ReplayedAlert&) const = default;
};

// What one set of rules made of it.
struct ReplayResult {
    static constexpr std::size_t kAlertsMax = 100'000;
    std::vector<ReplayedAlert> alerts;  // in the order they fired
    std::uint64_t alerts_left_out = 0;  // beyond kAlertsMax: counted in `counts` alone
    std::uint64_t episodes = 0;         // fired and ended in data that came too late to be told
    std::map<std::string, std::map<Severity, std::uint64_t>> counts;  // by rule
};

struct ReplayReport {
    WallTime from;  // as asked
    WallTime to;    // as asked, or the newest batch
    WallTime run_up_from;
    std::optional<WallTime> oldest;  // of the log
    std::uint64_t batches = 0;       // in the asked-for time
    std::uint64_t samples = 0;
    std::uint64_t samples_late = 0;  // received so long after their time that they page nobody
    StoredLogStats log;
    std::vector<Absence> absences;      // of the collector, the run-up's too
    std::vector<ReplayResult> results;  // one for each set of rules
    // The log does not reach back to `from`.
    bool cut_short() const { return !oldest || *oldest > from; }
};

struct ReplayDiff {
    struct Moved {
        ReplayedAlert before;
        ReplayedAlert after;
    };
    std::vector<ReplayedAlert> gone;   // fire no more
    std::vector<ReplayedAlert> added;  // fire new
    std::vector<Moved> moved;          // at other times, or with another severity
    std::size_t same = 0;
};

// Before `from` samples are read for so long that what the rules look back to is there.
std::chrono::milliseconds replay_run_up(const std::vector<std::vector<Rule>>& rule_sets);

// The log must have been opened at `from` less the run-up.
Result<ReplayReport> replay_log(StoredLog& log, WallTime from, std::optional<WallTime> to,
                                std::vector<std::vector<Rule>> rule_sets);

// Alerts of one identity that overlap in time are the same one.
ReplayDiff compare(const std::vector<ReplayedAlert>& before,
                   const std::vector<ReplayedAlert>& after);

}  // namespace ridgeline::collector
