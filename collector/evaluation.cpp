#include "collector/evaluation.h"

#include <algorithm>

#include "common/base/units.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

constexpr std::chrono::milliseconds kAlertHistory = std::chrono::hours{24} * 400;
constexpr std::size_t kUncommittedMax = 100'000;
// A reader that is behind would take hosts for silent whose batches it has not read yet; but not
// for ever.
constexpr auto kBehindMax = std::chrono::seconds{60};
// How far what is stored of a host may be from what is known.
constexpr std::int64_t kHeardStoredMs = 3'600'000;
constexpr const char* kUnstored = "alerts_not_stored";
constexpr const char* kClock = "clock_set_back";
constexpr const char* kOverflow = "rule_overflow";

bool worth_storing(const HostRecord& known, const HostRecord& stored) {
    return known.tags != stored.tags || known.heard_ms - stored.heard_ms >= kHeardStoredMs ||
           known.interval_ms > 2 * stored.interval_ms + 1000 ||
           2 * known.interval_ms + 1000 < stored.interval_ms;
}

}  // namespace

void Evaluation::StoreHistory::for_each(
    std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
    const std::function<void(std::int64_t, double)>& visit) const {
    store_.window_of(series_id).for_each(from_ms, to_ms, visit);
}

Evaluation::Evaluation(Log& log, SeriesStoreOptions window, AlertBook book, const Clock& clock,
                       OnTransition on_transition, const EvaluationOptions& options)
    : log_(log),
      clock_(clock),
      on_transition_(std::move(on_transition)),
      series_(window),
      history_(series_),
      book_(std::move(book)),
      options_(options) {}

Result<std::unique_ptr<Evaluation>> Evaluation::open(Log& log, SeriesStoreOptions window,
                                                     std::vector<Rule> rules, AlertBook book,
                                                     const Clock& clock, OnTransition on_transition,
                                                     const EvaluationOptions& options) {
    std::unique_ptr<Evaluation> evaluation(
        new Evaluation(log, window, std::move(book), clock, std::move(on_transition), options));
    evaluation->engine_ = std::make_unique<RuleEngine>(rules, evaluation->history_, options.limits);
    evaluation->engine_->keep_unknown(options.rules_incomplete);
    RL_ASSIGN_OR_RETURN(const auto hosts, evaluation->book_.hosts());
    evaluation->engine_->restore_hosts(hosts);
    for (const HostRecord& host : hosts)
        evaluation->saved_hosts_[host.id] = host;
    RL_ASSIGN_OR_RETURN(auto firing, evaluation->book_.firing_conditions());
    std::erase_if(firing, [&](const FiringCondition& condition) {
        return evaluation->self_alerts_.restore(condition);
    });
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
    RL_TRY(evaluation->book_.rename(evaluation->engine_->replace_rules(std::move(rules), gone)));
    if (!gone.empty()) evaluation->commit(evaluation->rules_from_, std::move(gone));
    return evaluation;
}

void Evaluation::take(const LogBatch& batch, std::vector<Transition>& transitions) {
    const bool evaluate = batch.position >= rules_from_;
    const std::int64_t received_ms = to_unix_ms(batch.received);
    if (evaluate) engine_->on_batch(*batch.host, times_of(batch), transitions);
    series_.append(batch, [&](const SeriesStore::NewSamples& fresh) {
        if (!evaluate) {
            engine_->meet_series(fresh.id, *batch.host, fresh.series, transitions);
            return;
        }
        engine_->on_samples(
            {fresh.id, *batch.host, fresh.series, fresh.times_ms, fresh.values, received_ms},
            transitions);
    });
    engine_->finish_batch(transitions);
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
    behind_ = taken == batches_max;
    return behind_;
}

std::vector<FiringCondition> Evaluation::firing() const {
    std::vector<FiringCondition> all = engine_->firing();
    const std::vector<FiringCondition> own = self_alerts_.firing();
    all.insert(all.end(), own.begin(), own.end());
    return all;
}

void Evaluation::commit(LogPosition position, std::vector<Transition> transitions) {
    const auto& hosts = engine_->known_hosts().all();
    for (Transition& transition : transitions) {
        if (const auto host = hosts.find(transition.host); host != hosts.end())
            transition.tags = host->second.record().tags;
        uncommitted_.push_back(std::move(transition));
    }
    if (position < rules_from_) return;
    const auto committed = book_.commit(position, firing(), uncommitted_);
    if (!committed) {
        ++stats_.commit_errors;
        static log::RateLimit limit(6);
        limit.write(log::Level::error, "alerts cannot be stored; they are kept in memory",
                    {{"error", committed.error().context}});
        // Told at once, since what is told after it is stored would not be.
        if (const auto told = self_alerts_.raise(
                kUnstored, "", Severity::p1,
                "alerts cannot be stored, they are kept in memory: " + committed.error().context,
                now_ms())) {
            on_transition_(*told);
            uncommitted_.push_back(*told);
        }
        // Those of an earlier call too, when it was before the position to be committed.
        for (; on_unstored_ && unstored_told_ < uncommitted_.size(); ++unstored_told_)
            on_unstored_(uncommitted_[unstored_told_]);
        // Nothing is lost while the process lives; after a restart they are worked out again from
        // the log. A bound all the same: the book may be away for days.
        if (uncommitted_.size() < kUncommittedMax) return;
    }
    committed_ = position;
    log_.hold("rules", position);
    unstored_told_ = 0;
    for (const Transition& transition : std::exchange(uncommitted_, {})) {
        ++stats_.transitions;
        const bool told = transition.rule == kNotStoredRule && transition.change == Change::fired;
        if (!told) on_transition_(transition);
    }
    if (!committed) return;
    if (const auto stored = self_alerts_.clear(kUnstored, "", now_ms()))
        commit(position, {*stored});
}

void Evaluation::checkpoint() {
    if (reader_->position() > committed_ || !uncommitted_.empty()) commit(reader_->position(), {});
    save_hosts();
}

void Evaluation::save_hosts() {
    const auto& known = engine_->known_hosts().all();
    std::vector<HostRecord> changed;
    for (const auto& [id, host] : known) {
        if (!host.regular()) continue;
        HostRecord record = host.record();
        const auto stored = saved_hosts_.find(id);
        if (stored == saved_hosts_.end() || worth_storing(record, stored->second))
            changed.push_back(std::move(record));
    }
    std::vector<std::string> gone;
    for (const auto& [id, record] : saved_hosts_) {
        if (!known.contains(id)) gone.push_back(id);
    }
    // What cannot be stored now is tried again with the next checkpoint.
    if (const auto saved = book_.save_hosts(changed, gone); !saved) {
        ++stats_.commit_errors;
        return;
    }
    for (HostRecord& record : changed)
        saved_hosts_[record.id] = std::move(record);
    for (const std::string& id : gone)
        saved_hosts_.erase(id);
}

bool Evaluation::too_far_behind() {
    if (!behind_) {
        behind_since_.reset();
        return false;
    }
    if (!behind_since_) behind_since_ = clock_.mono_now();
    return clock_.mono_now() - *behind_since_ < kBehindMax;
}

void Evaluation::tick() {
    if (!caught_up_) return;
    const TickClock::Tick tick = tick_clock_.next(clock_.wall_now(), clock_.mono_now());
    const std::int64_t now = now_ms();
    std::vector<Transition> transitions;
    if (tick.verdict == TickClock::Verdict::hold) return;
    if (tick.verdict == TickClock::Verdict::restart) {
        engine_->start_ticks(now, options_.startup_grace.count());
        clock_good_ms_ = now + options_.startup_grace.count();
        if (tick.back_ms > 0) {
            if (auto told = self_alerts_.raise(
                    kClock, "", Severity::p1,
                    "the clock was set back by " +
                        format_duration(std::chrono::milliseconds{tick.back_ms}) +
                        "; silent hosts are found again after " +
                        format_duration(options_.startup_grace),
                    now))
                transitions.push_back(std::move(*told));
        }
    } else {
        if (too_far_behind()) return;
        engine_->on_tick(now, transitions);
        if (now > clock_good_ms_) {
            if (auto over = self_alerts_.clear(kClock, "", now))
                transitions.push_back(std::move(*over));
        }
        report_overflow(transitions);
    }
    if (!transitions.empty()) commit(reader_->position(), std::move(transitions));
}

void Evaluation::report_overflow(std::vector<Transition>& transitions) {
    const auto over = engine_->overflowing();
    for (const auto& [rule, refused] : over) {
        auto told = self_alerts_.raise(kOverflow, rule, Severity::p2,
                                       "rule " + rule + " has more than " +
                                           std::to_string(options_.limits.identities_per_rule) +
                                           " series to watch; those beyond are not judged: " +
                                           std::to_string(refused) + " so far",
                                       now_ms());
        if (told) transitions.push_back(std::move(*told));
    }
    for (const std::string& rule : self_alerts_.about(kOverflow)) {
        if (over.contains(rule)) continue;
        if (auto ended = self_alerts_.clear(kOverflow, rule, now_ms()))
            transitions.push_back(std::move(*ended));
    }
}

void Evaluation::host_alive(const std::string& host) {
    std::vector<Transition> transitions;
    engine_->on_alive(host, now_ms(), transitions);
    if (!transitions.empty()) commit(reader_->position(), std::move(transitions));
}

void Evaluation::retire_host(const std::string& host, const std::string& reason) {
    std::vector<Transition> transitions;
    engine_->retire_host(host, now_ms(), reason, transitions);
    commit(reader_->position(), std::move(transitions));
    save_hosts();
}

void Evaluation::raise(const std::string& name, const std::string& about, Severity severity,
                       const std::string& summary) {
    if (auto told = self_alerts_.raise(name, about, severity, summary, now_ms()))
        commit(reader_->position(), {std::move(*told)});
}

void Evaluation::clear(const std::string& name, const std::string& about) {
    if (auto ended = self_alerts_.clear(name, about, now_ms()))
        commit(reader_->position(), {std::move(*ended)});
}

void Evaluation::replace_rules(std::vector<Rule> rules, bool incomplete) {
    std::vector<Transition> transitions;
    engine_->keep_unknown(incomplete);
    const auto renamed = engine_->replace_rules(std::move(rules), transitions);
    // Those of a host that sends no more are met as well: what fires of them is to end in its time.
    for (const SeriesId id : series_.find({})) {
        const auto host = engine_->known_hosts().all().find(series_.host_of(id));
        if (host == engine_->known_hosts().all().end()) continue;
        engine_->meet_series(id, host->second.info(), series_.descriptor_of(id), transitions);
    }
    engine_->finish_batch(transitions);
    if (const auto done = book_.rename(renamed); !done) {
        ++stats_.commit_errors;
        log::error("alerts of renamed rules cannot be renamed",
                   {{"error", done.error().context}, {"alerts", renamed.size()}});
    }
    commit(reader_->position(), std::move(transitions));
}

void Evaluation::trim() {
    for (const SeriesId id : series_.trim(clock_.wall_now()))
        engine_->forget(id);
    (void)book_.forget_before(to_unix_ms(clock_.wall_now() - kAlertHistory));
}

}  // namespace ridgeline::collector
