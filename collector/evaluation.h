// From the log to the window, the rules and the alerts: the collector's one reader that keeps state
// in memory.
//
// At start it reads the log's window back; up to the position where the alert book left off that
// only fills the window, from there on rules are evaluated too, so that a restart changes nothing
// and repeats nothing. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/log/log.h"
#include "collector/rule/engine.h"
#include "collector/series/series_store.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct EvaluationStats {
    std::uint64_t transitions = 0;
    std::uint64_t commit_errors = 0;
};

class Evaluation {
  public:
    using OnTransition = std::function<void(const Transition&)>;

    // `log` must outlive it. `on_transition` is told after the transition is in the alert book.
    static Result<std::unique_ptr<Evaluation>> open(Log& log, SeriesStoreOptions window,
                                                    std::vector<Rule> rules, AlertBook book,
                                                    const Clock& clock, OnTransition on_transition);

    // Reads and evaluates up to `batches_max` batches. True: there is more.
    Result<bool> pump(std::size_t batches_max);
    // Commits the position now and then even when nothing fires, so that a restart need not read
    // far.
    void checkpoint();
    void replace_rules(std::vector<Rule> rules);
    // Drops from window and history what is too old.
    void trim();

    // The log that was there at the start has been read.
    bool caught_up() const { return caught_up_; }
    SeriesStore& series() { return series_; }
    AlertBook& book() { return book_; }
    const RuleEngine& engine() const { return *engine_; }
    const EvaluationStats& stats() const { return stats_; }
    const LogReaderStats& reader_stats() const { return reader_->stats(); }

  private:
    Evaluation(Log& log, SeriesStoreOptions window, AlertBook book, const Clock& clock,
               OnTransition on_transition);
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
    SeriesStore series_;
    StoreHistory history_;
    std::unique_ptr<RuleEngine> engine_;
    AlertBook book_;
    std::unique_ptr<LogReader> reader_;
    LogPosition rules_from_ = 0;  // evaluated up to here by an earlier run
    LogPosition start_end_ = 0;   // the log's end at the start
    LogPosition committed_ = 0;
    std::vector<Transition> uncommitted_;  // kept while the book cannot be written
    bool caught_up_ = false;
    EvaluationStats stats_;
};

}  // namespace ridgeline::collector
