#include "collector/trial/replay.h"

#include <algorithm>

#include "collector/trial/replay_clock.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kRunUpMin = 1h;
// Often enough that the window does not grow by much, seldom enough not to be seen in the time.
constexpr std::chrono::milliseconds kTrimEvery = 10min;

// The alerts that come of one set of rules.
class Ledger {
  public:
    Ledger(std::int64_t from_ms, std::int64_t to_ms) : from_ms_(from_ms), to_ms_(to_ms) {}

    void take(const Transition& t) {
        if (t.time_ms > to_ms_) return;
        if (t.change == Change::episode) {
            if (t.time_ms >= from_ms_) ++result_.episodes;
            return;
        }
        if (t.change == Change::fired) {
            open_[t.key] = {t.key,      t.rule,    t.host, t.attributes,         t.severity,
                            t.since_ms, t.time_ms, 0,      t.time_ms < from_ms_, t.summary};
            return;
        }
        const auto it = open_.find(t.key);
        if (it == open_.end()) return;
        it->second.severity = std::min(it->second.severity, t.severity);
        if (t.change != Change::resolved) return;
        it->second.resolved_ms = t.time_ms;
        // One that ended before the asked-for time is none of it.
        if (t.time_ms >= from_ms_) keep(std::move(it->second));
        open_.erase(it);
    }

    ReplayResult finish() {
        for (auto& [key, alert] : open_)
            keep(std::move(alert));
        std::stable_sort(result_.alerts.begin(), result_.alerts.end(),
                         [](const ReplayedAlert& a, const ReplayedAlert& b) {
                             return std::tie(a.fired_ms, a.key) < std::tie(b.fired_ms, b.key);
                         });
        return std::move(result_);
    }

  private:
    void keep(ReplayedAlert alert) {
        ++result_.counts[alert.rule][alert.severity];
        if (result_.alerts.size() < ReplayResult::kAlertsMax)
            result_.alerts.push_back(std::move(alert));
        else
            ++result_.alerts_left_out;
    }

    std::int64_t from_ms_;
    std::int64_t to_ms_;
    std::map<std::string, ReplayedAlert> open_;  // by key
    ReplayResult result_;
};

std::uint64_t late_samples(const LogBatch& batch) {
    const std::int64_t live_ms = to_unix_ms(batch.received) - Condition::kLiveLagMs;
    std::uint64_t late = 0;
    for (const SampleGroup& group : batch.block.groups) {
        const auto times = static_cast<std::uint64_t>(
            std::count_if(group.timestamps_ms.begin(), group.timestamps_ms.end(),
                          [&](std::int64_t t) { return t < live_ms; }));
        late += times * group.series_count;
    }
    return late;
}

std::int64_t end_of(const ReplayedAlert& alert) {
    return alert.resolved_ms == 0 ? INT64_MAX : alert.resolved_ms;
}

}  // namespace

std::chrono::milliseconds replay_run_up(const std::vector<std::vector<Rule>>& rule_sets) {
    std::chrono::milliseconds longest = kRunUpMin;
    for (const auto& rules : rule_sets) {
        for (const Rule& rule : rules)
            longest = std::max(longest, rule.horizon());
    }
    return longest;
}

Result<ReplayReport> replay_log(StoredLog& log, WallTime from, std::optional<WallTime> to,
                                std::vector<std::vector<Rule>> rule_sets) {
    ReplayReport report;
    const std::chrono::milliseconds run_up = replay_run_up(rule_sets);
    report.from = from;
    report.run_up_from = from - run_up;
    report.oldest = log.oldest();
    report.to = to.value_or(from);
    SeriesStoreOptions window;
    window.window = run_up + kTrimEvery;
    RuleRun run(window);
    std::vector<Ledger> ledgers;
    for (auto& rules : rule_sets) {
        run.add(std::move(rules));
        ledgers.emplace_back(to_unix_ms(from), to ? to_unix_ms(*to) : INT64_MAX);
    }
    WallTime trimmed = report.run_up_from;
    std::vector<std::vector<Transition>> transitions;
    const auto tell = [&] {
        for (std::size_t i = 0; i < ledgers.size() && i < transitions.size(); ++i) {
            for (const Transition& transition : transitions[i])
                ledgers[i].take(transition);
            transitions[i].clear();
        }
    };
    ReplayInput input(log);
    ReplayClock clock(run);
    for (;;) {
        RL_ASSIGN_OR_RETURN(const auto batch, input.next());
        if (!batch || (to && batch->received > *to)) break;
        if (batch->received < report.run_up_from) continue;
        if (batch->received >= from) {
            ++report.batches;
            report.samples += batch->block.sample_count();
            report.samples_late += late_samples(*batch);
            if (!to) report.to = std::max(report.to, batch->received);
        }
        RL_TRY(clock.advance(batch->received, input, transitions));
        run.take(*batch, transitions);
        tell();
        // Either way: a clock may have been set back.
        if (batch->received >= trimmed + kTrimEvery || batch->received < trimmed - kTrimEvery) {
            trimmed = batch->received;
            run.trim(trimmed);
        }
    }
    clock.finish(report.to, transitions);
    tell();
    report.absences = clock.absences();
    report.log = log.stats();
    for (Ledger& ledger : ledgers)
        report.results.push_back(ledger.finish());
    return report;
}

ReplayDiff compare(const std::vector<ReplayedAlert>& before,
                   const std::vector<ReplayedAlert>& after) {
    ReplayDiff diff;
    std::map<std::string, std::vector<const ReplayedAlert*>> by_key;
    for (const ReplayedAlert& alert : after)
        by_key[alert.key].push_back(&alert);
    std::vector<const ReplayedAlert*> met;
    for (const ReplayedAlert& old : before) {
        auto& candidates = by_key[old.key];
        const auto same =
            std::find_if(candidates.begin(), candidates.end(), [&](const ReplayedAlert* candidate) {
                return candidate->since_ms <= end_of(old) && old.since_ms <= end_of(*candidate);
            });
        if (same == candidates.end()) {
            diff.gone.push_back(old);
            continue;
        }
        const ReplayedAlert& now = **same;
        if (now.fired_ms == old.fired_ms && now.resolved_ms == old.resolved_ms &&
            now.severity == old.severity)
            ++diff.same;
        else
            diff.moved.push_back({old, now});
        met.push_back(*same);
        candidates.erase(same);
    }
    std::sort(met.begin(), met.end());
    for (const ReplayedAlert& alert : after) {
        if (!std::binary_search(met.begin(), met.end(), &alert)) diff.added.push_back(alert);
    }
    return diff;
}

}  // namespace ridgeline::collector
