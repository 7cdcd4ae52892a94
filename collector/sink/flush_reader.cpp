#include "collector/sink/flush_reader.h"

#include <algorithm>
#include <optional>

namespace ridgeline::collector {

FlushReader::FlushReader(const CloudWatchConfig& config, const Cursor& before, const Flush& flush,
                         const FlushBounds& bounds, std::unique_ptr<LogReader> log,
                         CounterBook counters)
    : selection_(config),
      kept_before_(before.kept_back),
      taken_until_(before.taken_until),
      kept_now_(flush.kept_back),
      started_(flush.started),
      end_wanted_(flush.end),
      bounds_(bounds),
      log_(std::move(log)),
      counters_(std::move(counters)),
      aggregation_(config.period) {}

Result<bool> FlushReader::read(std::size_t samples_max) {
    std::size_t budget = samples_max;
    for (;;) {
        if (end_wanted_ != 0 && log_->position() >= end_wanted_) {
            end_ = end_wanted_;
            return true;
        }
        RL_ASSIGN_OR_RETURN(const std::optional<LogBatch> batch, log_->next());
        if (!batch) {
            // Never less than was taken before: a reader that is behind has nothing new.
            end_ = std::max(end_wanted_ != 0 ? end_wanted_ : log_->position(), taken_until_);
            return true;
        }
        if (end_wanted_ != 0 && batch->position >= end_wanted_) {
            end_ = end_wanted_;
            return true;
        }
        take(*batch);
        if (end_wanted_ == 0 && batch->position >= taken_until_ &&
            (samples_ >= bounds_.samples_max || aggregation_.datum_count() >= bounds_.datums_max)) {
            end_ = batch->next_position;
            bounded_ = true;
            return true;
        }
        const std::size_t cost = std::max<std::size_t>(batch->block.sample_count(), 1);
        if (cost >= budget) return false;
        budget -= cost;
    }
}

const FlushReader::Plan& FlushReader::plan_for(const LogBatch& batch) {
    const auto [it, fresh] = plans_.try_emplace({batch.host.get(), batch.schema.get()});
    Plan& plan = it->second;
    if (!fresh) return plan;
    plan.host = batch.host;
    plan.schema = batch.schema;
    for (const SchemaGroup& group : batch.schema->groups) {
        std::vector<Slot>& slots = plan.groups.emplace_back();
        for (const SeriesDescriptor& series : group.series) {
            Slot slot{selection_.select(*batch.host, series)};
            if (const auto* metrics = std::get_if<SelectedMetrics>(&slot.selected)) {
                for (const SelectedMetric& metric : *metrics) {
                    slot.series.push_back(aggregation_.series(metric.identity, metric.period));
                    if (metric.growth) slot.counter = &counters_.of(batch.host->host_id, series);
                }
            }
            slots.push_back(std::move(slot));
        }
    }
    return plan;
}

FlushReader::Fate FlushReader::fate_of(WallTime t, const LogBatch& batch) {
    if (batch.position < taken_until_) {
        // What was kept back once is taken now, whatever the clock says, so that two flushes
        // settle every record.
        if (!kept_before_.contains(t)) return Fate::pass;
    } else if (kept_now_.contains(t)) {
        if (!kept_from_) kept_from_ = batch.position;
        return Fate::pass;
    }
    if (t < started_ - bounds_.oldest) return Fate::too_old;
    if (t > started_ + bounds_.newest) return Fate::too_new;
    return Fate::take;
}

void FlushReader::take(const LogBatch& batch) {
    const Plan& plan = plan_for(batch);
    const std::size_t groups = std::min(plan.groups.size(), batch.block.groups.size());
    for (std::size_t i = 0; i < groups; ++i)
        take_group(batch.block.groups[i], plan.groups[i], batch);
}

void FlushReader::take_group(const SampleGroup& group, const std::vector<Slot>& slots,
                             const LogBatch& batch) {
    const auto unwanted = [](const Slot& slot) {
        return std::holds_alternative<NotSelected>(slot.selected);
    };
    if (std::all_of(slots.begin(), slots.end(), unwanted)) return;
    std::vector<Fate> fates;
    fates.reserve(group.timestamps_ms.size());
    for (const std::int64_t ms : group.timestamps_ms)
        fates.push_back(fate_of(from_unix_ms(ms), batch));
    const std::size_t columns = std::min(slots.size(), group.series_count);
    for (std::size_t column = 0; column < columns; ++column)
        if (!unwanted(slots[column]))
            take_column(slots[column], group, column, fates, batch.backlog);
}

void FlushReader::take_column(const Slot& slot, const SampleGroup& group, std::size_t column,
                              const std::vector<Fate>& fates, bool backlog) {
    const auto values = group.column(column);
    const auto* metrics = std::get_if<SelectedMetrics>(&slot.selected);
    std::vector<bool> admitted;
    if (metrics != nullptr && std::any_of(values.begin(), values.end(), has_value)) {
        for (const SelectedMetric& metric : *metrics)
            admitted.push_back(!bounds_.admit || bounds_.admit(metric.identity));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!has_value(values[i]) || fates[i] == Fate::pass) continue;
        const WallTime at = from_unix_ms(group.timestamps_ms[i]);
        double value = values[i];
        if (slot.counter != nullptr) {
            const auto grown = slot.counter->step(at, value, backlog);
            if (!grown) {
                refuse(Refusal::no_growth);
                continue;
            }
            value = *grown;
        }
        if (fates[i] == Fate::too_old) {
            refuse(Refusal::too_old);
        } else if (fates[i] == Fate::too_new) {
            refuse(Refusal::too_new);
        } else if (metrics == nullptr) {
            refuse(std::get<Refusal>(slot.selected));
        } else {
            take_value(slot, *metrics, admitted, at, value);
        }
    }
}

// A sample is refused if none of its metrics takes it.
void FlushReader::take_value(const Slot& slot, const SelectedMetrics& metrics,
                             const std::vector<bool>& admitted, WallTime at, double value) {
    std::optional<Refusal> refusal;
    bool taken = false;
    for (std::size_t i = 0; i < metrics.size(); ++i) {
        const double sent = metrics[i].of(value);
        if (!admitted[i]) {
            refusal = Refusal::over_budget;
        } else if (!sendable_value(sent)) {
            refusal = Refusal::value_range;
        } else {
            aggregation_.add(slot.series[i], at, sent);
            taken = true;
        }
    }
    if (taken) {
        ++samples_;
    } else {
        refuse(*refusal);
    }
}

}  // namespace ridgeline::collector
