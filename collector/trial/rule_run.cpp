#include "collector/trial/rule_run.h"

namespace ridgeline::collector {

RuleRun::RuleRun(SeriesStoreOptions window) : series_(window), history_(series_) {}

std::size_t RuleRun::add(std::vector<Rule> rules) {
    engines_.push_back(std::make_unique<RuleEngine>(std::move(rules), history_));
    return engines_.size() - 1;
}

void RuleRun::take(const LogBatch& batch, std::vector<std::vector<Transition>>& out) {
    out.resize(engines_.size());
    const std::int64_t received_ms = to_unix_ms(batch.received);
    for (std::size_t i = 0; i < engines_.size(); ++i)
        engines_[i]->on_batch(*batch.host, times_of(batch), out[i]);
    series_.append(batch, [&](const SeriesStore::NewSamples& fresh) {
        for (std::size_t i = 0; i < engines_.size(); ++i) {
            engines_[i]->on_samples(
                {fresh.id, *batch.host, fresh.series, fresh.times_ms, fresh.values, received_ms},
                out[i]);
        }
    });
    for (std::size_t i = 0; i < engines_.size(); ++i)
        engines_[i]->finish_batch(out[i]);
}

void RuleRun::start_ticks(std::int64_t now_ms, std::int64_t grace_ms) {
    for (const auto& engine : engines_)
        engine->start_ticks(now_ms, grace_ms);
}

void RuleRun::tick(std::int64_t now_ms, std::vector<std::vector<Transition>>& out) {
    out.resize(engines_.size());
    for (std::size_t i = 0; i < engines_.size(); ++i)
        engines_[i]->on_tick(now_ms, out[i]);
}

void RuleRun::trim(WallTime now) {
    for (const SeriesId id : series_.trim(now)) {
        for (const auto& engine : engines_)
            engine->forget(id);
    }
}

}  // namespace ridgeline::collector
