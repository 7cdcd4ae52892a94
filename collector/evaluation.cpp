#include "collector/evaluation.h"

#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr std::chrono::milliseconds kAlertHistory = std::chrono::hours{24} * 400;
constexpr std::size_t kUncommittedMax = 100'000;

}  // namespace

void Evaluation::StoreHistory::for_each(
    std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
    const std::function<void(std::int64_t, double)>& visit) const {
    store_.window_of(series_id).for_each(from_ms, to_ms, visit);
}

Evaluation::Evaluation(Log& log, SeriesStoreOptions window, AlertBook book, const Clock& clock,
                       OnTransition on_transition)
    : log_(log),
      clock_(clock),
      on_transition_(std::move(on_transition)),
      series_(window),
      history_(series_),
      book_(std::move(book)) {}

Result<std::unique_ptr<Evaluation>> Evaluation::open(Log& log, SeriesStoreOptions window,
                                                     std::vector<Rule> rules, AlertBook book,
                                                     const Clock& clock,
                                                     OnTransition on_transition) {
    std::unique_ptr<Evaluation> evaluation(
        new Evaluation(log, window, std::move(book), clock, std::move(on_transition)));
    evaluation->engine_ = std::make_unique<RuleEngine>(rules, evaluation->history_);
    RL_ASSIGN_OR_RETURN(const auto firing, evaluation->book_.firing_conditions());
    evaluation->engine_->restore(firing);
    RL_ASSIGN_OR_RETURN(const auto position, evaluation->book_.position());
    const LogPosition window_start = log.position_at(clock.wall_now() - window.window);
    // A new or lost book judges the whole window; so does one that is ahead of a log that was lost.
    const bool known = position && *position <= log.end_position();
    evaluation->rules_from_ = known ? *position : window_start;
    evaluation->committed_ = evaluation->rules_from_;
    evaluation->start_end_ = log.durable_position();
    evaluation->reader_ = log.open_reader(std::min(window_start, evaluation->rules_from_));
    log.hold("rules", evaluation->rules_from_);
    // What fired under a rule that was taken away while nobody was running resolves now.
    std::vector<Transition> gone;
    evaluation->engine_->replace_rules(std::move(rules), gone);
    if (!gone.empty()) evaluation->commit(evaluation->rules_from_, std::move(gone));
    return evaluation;
}

void Evaluation::take(const LogBatch& batch, std::vector<Transition>& transitions) {
    const bool evaluate = batch.position >= rules_from_;
    const std::int64_t received_ms = to_unix_ms(batch.received);
    series_.append(batch, [&](const SeriesStore::NewSamples& fresh) {
        if (!evaluate) return;
        engine_->on_samples(
            {fresh.id, *batch.host, fresh.series, fresh.times_ms, fresh.values, received_ms},
            transitions);
    });
}

Result<bool> Evaluation::pump(std::size_t batches_max) {
    std::vector<Transition> transitions;
    std::size_t taken = 0;
    for (; taken < batches_max; ++taken) {
        RL_ASSIGN_OR_RETURN(const auto batch, reader_->next());
        if (!batch) break;
        take(*batch, transitions);
    }
    if (!transitions.empty()) commit(reader_->position(), std::move(transitions));
    caught_up_ = caught_up_ || reader_->position() >= start_end_;
    return taken == batches_max;
}

void Evaluation::commit(LogPosition position, std::vector<Transition> transitions) {
    for (Transition& transition : transitions)
        uncommitted_.push_back(std::move(transition));
    if (position < rules_from_) return;
    const auto committed = book_.commit(position, engine_->firing(), uncommitted_);
    if (!committed) {
        ++stats_.commit_errors;
        static log::RateLimit limit(6);
        limit.write(log::Level::error, "alerts cannot be stored; they are kept in memory",
                    {{"error", committed.error().context}});
        // Nothing is lost while the process lives; after a restart they are worked out again from
        // the log. A bound all the same: the book may be away for days.
        if (uncommitted_.size() < kUncommittedMax) return;
    }
    committed_ = position;
    log_.hold("rules", position);
    for (const Transition& transition : std::exchange(uncommitted_, {})) {
        ++stats_.transitions;
        on_transition_(transition);
    }
}

void Evaluation::checkpoint() {
    if (reader_->position() > committed_) commit(reader_->position(), {});
}

void Evaluation::replace_rules(std::vector<Rule> rules) {
    std::vector<Transition> transitions;
    engine_->replace_rules(std::move(rules), transitions);
    commit(reader_->position(), std::move(transitions));
}

void Evaluation::trim() {
    for (const SeriesId id : series_.trim(clock_.wall_now()))
        engine_->forget(id);
    (void)book_.forget_before(to_unix_ms(clock_.wall_now() - kAlertHistory));
}

}  // namespace ridgeline::collector
