#include "collector/sink/flush_reader.h"

#include <algorithm>

namespace ridgeline::collector {

FlushReader::FlushReader(const CloudWatchConfig& config, const Cursor& before, const Flush& flush,
                         const FlushBounds& bounds, std::unique_ptr<LogReader> log)
    : selection_(config),
      kept_before_(before.kept_back),
      taken_until_(before.taken_until),
      kept_now_(flush.kept_back),
      started_(flush.started),
      end_wanted_(flush.end),
      bounds_(bounds),
      log_(std::move(log)),
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
            if (const auto* metric = std::get_if<SelectedMetric>(&slot.selected)) {
                slot.series = aggregation_.series(metric->identity);
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
        if (!unwanted(slots[column])) take_column(slots[column], group, column, fates);
}

void FlushReader::take_column(const Slot& slot, const SampleGroup& group, std::size_t column,
                              const std::vector<Fate>& fates) {
    const auto* metric = std::get_if<SelectedMetric>(&slot.selected);
    const auto values = group.column(column);
    const bool admitted = metric == nullptr || !bounds_.admit ||
                          std::none_of(values.begin(), values.end(), has_value) ||
                          bounds_.admit(metric->identity);
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!has_value(values[i]) || fates[i] == Fate::pass) continue;
        if (fates[i] == Fate::too_old) {
            refuse(Refusal::too_old);
        } else if (fates[i] == Fate::too_new) {
            refuse(Refusal::too_new);
        } else if (metric == nullptr) {
            refuse(std::get<Refusal>(slot.selected));
        } else if (!admitted) {
            refuse(Refusal::over_budget);
        } else if (const double value = values[i] * metric->scale; !sendable_value(value)) {
            refuse(Refusal::value_range);
        } else {
            aggregation_.add(slot.series, from_unix_ms(group.timestamps_ms[i]), value);
            ++samples_;
        }
    }
}

}  // namespace ridgeline::collector
