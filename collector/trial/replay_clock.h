// The time of a replay: the seconds that pass between the log's batches, as the service's clock
// would have brought them.
//
// The log does not say when the collector was away. A stretch in which nothing was received is one
// in which it was, when what comes after it are backlogs of that very stretch: the hosts went on
// sampling. Then, as after a start, nobody is taken for silent before the grace is over. Otherwise
// the hosts were silent. With one host alone, its own outage looks like the collector's.
//
// A clock that was set shows as times that jump. Back: time runs from there on, as in the service.
// Forward beyond kGapMax: the rest is passed over, as if the collector had been away.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "collector/log/stored_log.h"
#include "collector/trial/rule_run.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// A stored log that can be looked ahead into.
class ReplayInput {
  public:
    explicit ReplayInput(StoredLog& log) : log_(&log) {}
    Result<std::optional<LogBatch>> next();
    // Whether hosts sampled what they could not send: of the batches that follow, some are backlogs
    // of that stretch. Looks a bounded way ahead.
    Result<bool> sampled_unheard(WallTime from, WallTime to);

  private:
    StoredLog* log_;
    std::deque<LogBatch> ahead_;
};

// A stretch in which the collector was away.
struct Absence {
    WallTime from;
    WallTime to;
};

class ReplayClock {
  public:
    // After so long without a batch there is something to find out.
    static constexpr std::chrono::milliseconds kQuiet = std::chrono::seconds{30};
    // What [rules] startup_grace is by default.
    static constexpr std::chrono::milliseconds kGrace = std::chrono::seconds{90};

    // Longer than any usual rule waits for data or a host.
    static constexpr std::chrono::milliseconds kGapMax = std::chrono::hours{24 * 7};

    explicit ReplayClock(RuleRun& run) : run_(&run) {}

    // Before the batch that was received at `now`. The seconds up to then pass.
    Result<void> advance(WallTime now, ReplayInput& input,
                         std::vector<std::vector<Transition>>& out);
    // The seconds after the last batch, kGapMax of them at most.
    void finish(WallTime end, std::vector<std::vector<Transition>>& out);

    const std::vector<Absence>& absences() const { return absences_; }

  private:
    void start(WallTime now);
    void pass(WallTime now, std::vector<std::vector<Transition>>& out);

    RuleRun* run_;
    std::optional<WallTime> last_;  // batch
    std::int64_t next_tick_ms_ = 0;
    std::vector<Absence> absences_;
};

}  // namespace ridgeline::collector
