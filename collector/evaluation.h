// From the log to the window, the rules and the alerts: the collector's one reader that keeps state
// in memory.
//
// At start it reads the log's window back; up to the position where the alert book left off that
// only fills the window, from there on rules are evaluated too, so that a restart changes nothing
// and repeats nothing. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/alert/self_alerts.h"
#include "collector/log/log.h"
#include "collector/rule/engine.h"
#include "collector/rule/tick_clock.h"
#include "collector/series/series_store.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct EvaluationStats {
    std::uint64_t transitions = 0;
    std::uint64_t commit_errors = 0;
};

// The collector's own alert that alerts cannot be stored.
inline constexpr std::string_view kNotStoredRule = "collector.alerts_not_stored";

struct EvaluationOptions {
    EngineLimits limits;
    // After a start, or a jump of the clock, so long nobody is silent.
    std::chrono::milliseconds startup_grace = std::chrono::seconds{90};
    // Some rule files could not be read: what fires under rules that are not known may be theirs.
    bool rules_incomplete = false;
};

class Evaluation {
  public:
    using OnTransition = std::function<void(const Transition&)>;
    // What cannot be stored, as it happens; it goes to the other handler when it is stored.
    void on_unstored(OnTransition handler) { on_unstored_ = std::move(handler); }

    // `log` must outlive it. `on_transition` is told after the transition is in the alert book.
    static Result<std::unique_ptr<Evaluation>> open(Log& log, SeriesStoreOptions window,
                                                    std::vector<Rule> rules, AlertBook book,
                                                    const Clock& clock, OnTransition on_transition,
                                                    const EvaluationOptions& options = {});

    // Reads and evaluates up to `batches_max` batches. True: there is more.
    Result<bool> pump(std::size_t batches_max);
    // Commits the position now and then even when nothing fires, so that a restart need not read
    // far.
    void checkpoint();
    void replace_rules(std::vector<Rule> rules, bool incomplete = false);

    // To be called every second: what only time can tell. Nothing happens before the log that was
    // there at the start is read.
    void tick();
    // The host spoke, whatever came of what it said.
    void host_alive(const std::string& host);
    // It is not expected any more.
    void retire_host(const std::string& host, const std::string& reason);
    // An alert of the collector's own begins or ends; nothing when that is so already.
    void raise(const std::string& name, const std::string& about, Severity severity,
               const std::string& summary);
    void clear(const std::string& name, const std::string& about);
    // What the alerts of that name that fire now are about.
    std::vector<std::string> raised(const std::string& name) const {
        return self_alerts_.about(name);
    }
    // Drops from window and history what is too old.
    void trim();

    // The log that was there at the start has been read.
    bool caught_up() const { return caught_up_; }
    SeriesStore& series() { return series_; }
    // Everything before it in the log is in the series and has been judged.
    LogPosition read_until() const { return reader_->position(); }
    AlertBook& book() { return book_; }
    const RuleEngine& engine() const { return *engine_; }
    const EvaluationStats& stats() const { return stats_; }
    const LogReaderStats& reader_stats() const { return reader_->stats(); }

  private:
    Evaluation(Log& log, SeriesStoreOptions window, AlertBook book, const Clock& clock,
               OnTransition on_transition, const EvaluationOptions& options);
    std::int64_t now_ms() const { return to_unix_ms(clock_.wall_now()); }
    std::vector<FiringCondition> firing() const;
    bool too_far_behind();
    void report_overflow(std::vector<Transition>& transitions);
    void save_hosts();
    void take(const LogBatch& batch, std::vector<Transition>& transitions);
    void commit(LogPosition position, std::vector<Transition> transitions);

    class StoreHistory final : public SampleHistory {
      public:
        explicit StoreHistory(const SeriesStore& store) : store_(store) {}
        void for_each(std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
                      const std::function<void(std::int64_t, double)>& visit) const override;

      private:
        const SeriesStore& store_;
    };

    Log& log_;
    const Clock& clock_;
    OnTransition on_transition_;
    OnTransition on_unstored_;
    SeriesStore series_;
    StoreHistory history_;
    std::unique_ptr<RuleEngine> engine_;
    AlertBook book_;
    std::unique_ptr<LogReader> reader_;
    LogPosition rules_from_ = 0;  // evaluated up to here by an earlier run
    LogPosition start_end_ = 0;   // the log's end at the start
    LogPosition committed_ = 0;
    std::vector<Transition> uncommitted_;  // kept while the book cannot be written
    std::size_t unstored_told_ = 0;        // of these, the first so many went to on_unstored_
    bool caught_up_ = false;
    EvaluationOptions options_;
    SelfAlerts self_alerts_;
    TickClock tick_clock_;
    std::int64_t clock_good_ms_ = 0;  // when a clock that was set back is no news any more
    bool behind_ = false;             // there was more to read
    std::optional<MonoTime> behind_since_;
    std::map<std::string, HostRecord> saved_hosts_;
    EvaluationStats stats_;
};

}  // namespace ridgeline::collector
