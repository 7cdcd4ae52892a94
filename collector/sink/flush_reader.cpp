#include "collector/sink/flush_reader.h"

#include <algorithm>

namespace ridgeline::collector {

namespace {

// How long a counter may be silent and its growth still be known.
constexpr std::chrono::hours kCountersKept{1};

}  // namespace

SampleTaker::SampleTaker(const CloudWatchConfig& config, MetricAdmission admit)
    : selection_(config), admit_(std::move(admit)), aggregation_(config.period) {}

void SampleTaker::begin_counting() {
    samples_ = 0;
    refused_ = {};
}

void SampleTaker::compact() {
    plans_.clear();
    aggregation_.compact();
    counters_.forget_before(newest_ - kCountersKept);
}

const SampleTaker::Plan& SampleTaker::plan_for(const LogBatch& batch) {
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

void SampleTaker::take(const LogBatch& batch, const FateOf& fate_of) {
    const Plan& plan = plan_for(batch);
    const std::size_t groups = std::min(plan.groups.size(), batch.block.groups.size());
    for (std::size_t i = 0; i < groups; ++i)
        take_group(batch.block.groups[i], plan.groups[i], fate_of, batch.backlog);
}

void SampleTaker::take_group(const SampleGroup& group, const std::vector<Slot>& slots,
                             const FateOf& fate_of, bool backlog) {
    const auto unwanted = [](const Slot& slot) {
        return std::holds_alternative<NotSelected>(slot.selected);
    };
    if (std::all_of(slots.begin(), slots.end(), unwanted)) return;
    std::vector<Fate> fates;
    fates.reserve(group.timestamps_ms.size());
    for (const std::int64_t ms : group.timestamps_ms)
        fates.push_back(fate_of(from_unix_ms(ms)));
    const std::size_t columns = std::min(slots.size(), group.series_count);
    for (std::size_t column = 0; column < columns; ++column)
        if (!unwanted(slots[column])) take_column(slots[column], group, column, fates, backlog);
}

void SampleTaker::take_column(const Slot& slot, const SampleGroup& group, std::size_t column,
                              const std::vector<Fate>& fates, bool backlog) {
    const auto* metrics = std::get_if<SelectedMetrics>(&slot.selected);
    const auto values = group.column(column);
    std::vector<bool> admitted;
    if (metrics != nullptr && std::any_of(values.begin(), values.end(), has_value)) {
        for (const SelectedMetric& metric : *metrics)
            admitted.push_back(!admit_ || admit_(metric.identity));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!has_value(values[i])) continue;
        const WallTime at = from_unix_ms(group.timestamps_ms[i]);
        double value = values[i];
        if (slot.counter != nullptr) {
            // Also of what is passed: the next one has grown since. A first sample counts as no
            // growth, so that the same datums come of the log wherever it is begun to be read.
            const auto grown = slot.counter->step(at, value, backlog);
            if (!grown && fates[i] != Fate::pass) refuse(Refusal::no_growth);
            value = grown.value_or(0);
            newest_ = std::max(newest_, at);
        }
        if (fates[i] == Fate::pass) continue;
        if (metrics == nullptr) {
            refuse(std::get<Refusal>(slot.selected));
        } else {
            take_value(slot, *metrics, admitted, at, value, fates[i] == Fate::take_carried);
        }
    }
}

// A sample is refused if none of its metrics takes it.
void SampleTaker::take_value(const Slot& slot, const SelectedMetrics& metrics,
                             const std::vector<bool>& admitted, WallTime at, double value,
                             bool carried) {
    std::optional<Refusal> refusal;
    bool taken = false;
    for (std::size_t i = 0; i < metrics.size(); ++i) {
        const double sent = metrics[i].of(value);
        if (!admitted[i]) {
            refusal = Refusal::over_budget;
        } else if (!sendable_value(sent)) {
            refusal = Refusal::value_range;
        } else {
            aggregation_.add(slot.series[i], at, sent, carried);
            taken = true;
        }
    }
    if (taken) {
        ++samples_;
    } else {
        refuse(*refusal);
    }
}

namespace {

using FirstOfPeriod = std::map<WallTime, LogPosition>;

// Where the first sample of each period is.
void note_periods(const LogBatch& batch, std::chrono::milliseconds period, FirstOfPeriod& first) {
    for (const SampleGroup& group : batch.block.groups)
        for (const std::int64_t ms : group.timestamps_ms)
            first.try_emplace(WallTime{from_unix_ms(ms).time_since_epoch() / period * period},
                              batch.position);
}

std::optional<LogPosition> first_kept(const FirstOfPeriod& first, const KeptBack& kept) {
    std::optional<LogPosition> found;
    for (const auto& [begin, position] : first)
        if (kept.contains(begin)) found = std::min(found.value_or(position), position);
    return found;
}

}  // namespace

TailReader::TailReader(const CloudWatchConfig& config, MetricAdmission admit, LogOpener log,
                       Tail tail)
    : taker_(config, std::move(admit)),
      open_(std::move(log)),
      period_(config.period),
      tail_(tail),
      next_(tail.read_from),
      position_(tail.taken_until) {}

Result<bool> TailReader::read(std::size_t samples_max) {
    if (!log_) {
        RL_ASSIGN_OR_RETURN(log_, open_(next_));
        fell_off_ = 0;
    }
    for (std::size_t budget = samples_max;;) {
        Result<std::optional<LogBatch>> batch_or_error = log_->next();
        if (!batch_or_error) {
            log_.reset();  // and goes on from next_
            return fail(std::move(batch_or_error).error());
        }
        const std::optional<LogBatch>& batch = *batch_or_error;
        next_ = log_->position();
        // Never less than was taken before: a reader that is behind has nothing new.
        position_ = std::max(next_, tail_.taken_until);
        if (!batch) return true;
        const bool before = batch->position < tail_.taken_until;
        taker_.take(*batch, [&](WallTime at) {
            if (before) {
                return tail_.kept_back.contains(at) ? SampleTaker::Fate::take_carried
                                                    : SampleTaker::Fate::pass;
            }
            return SampleTaker::Fate::take;
        });
        if (!before) note_periods(*batch, period_, first_of_period_);
        const std::size_t cost = std::max<std::size_t>(batch->block.sample_count(), 1);
        if (cost >= budget) return false;
        budget -= cost;
    }
}

TailReader::Flush TailReader::flush(const KeptBack& kept) {
    Flush out;
    const bool leave = kept == tail_.kept_back;
    out.stretch = {tail_.read_from,
                   tail_.taken_until,
                   tail_.kept_back,
                   tail_.taken_until,
                   position_,
                   kept,
                   leave};
    out.datums = taker_.aggregation().take(kept, leave);
    LogPosition read_from = first_kept(first_of_period_, kept).value_or(position_);
    // What is left of earlier records is found where it was found before.
    if (leave && tail_.read_from < tail_.taken_until) read_from = tail_.read_from;
    first_of_period_.clear();
    tail_ = {read_from, position_, kept};
    if (++flushes_ % kFlushesToCompact == 0) taker_.compact();
    return out;
}

RefusalCounts TailReader::take_refused() {
    const RefusalCounts refused = taker_.refused();
    taker_.begin_counting();
    return refused;
}

std::uint64_t TailReader::take_bytes_fell_off() {
    const std::uint64_t all = log_ ? log_->stats().bytes_fell_off : 0;
    return all - std::exchange(fell_off_, all);
}

StretchReader::StretchReader(const CloudWatchConfig& config, MetricAdmission admit, LogOpener log)
    : taker_(config, std::move(admit)), open_(std::move(log)), period_(config.period) {}

void StretchReader::begin(const Stretch& stretch, bool whole, const StretchBounds& bounds) {
    stretch_ = stretch;
    whole_ = whole;
    bounds_ = bounds;
    cut_.reset();
    last_kept_.reset();
    first_of_period_.clear();
    fell_off_ = 0;
    taker_.aggregation().take();
    taker_.compact();
    taker_.begin_counting();
    if (log_ && log_->position() != stretch.read_from) log_.reset();
    // Where the log is not read on, what counters had is not what comes before.
    if (!log_) taker_.forget_counters();
    fell_off_before_ = log_ ? log_->stats().bytes_fell_off : 0;
}

Result<bool> StretchReader::read(std::size_t samples_max) {
    if (!log_) {
        fell_off_before_ = 0;
        RL_ASSIGN_OR_RETURN(log_, open_(stretch_.read_from));
    }
    const auto done = [&] {
        fell_off_ = log_->stats().bytes_fell_off - fell_off_before_;
        return true;
    };
    for (std::size_t budget = samples_max;;) {
        if (log_->position() >= stretch_.end) return done();
        Result<std::optional<LogBatch>> batch_or_error = log_->next();
        if (!batch_or_error) {
            log_.reset();
            return fail(std::move(batch_or_error).error());
        }
        const std::optional<LogBatch>& batch = *batch_or_error;
        if (!batch) return done();
        if (batch->position >= stretch_.end) {
            done();
            log_.reset();  // a record too far
            return true;
        }
        const bool before = batch->position < stretch_.taken_until;
        taker_.take(*batch, [&](WallTime at) {
            if (!stretch_.takes(batch->position, at)) return SampleTaker::Fate::pass;
            return before ? SampleTaker::Fate::take_carried : SampleTaker::Fate::take;
        });
        if (!before) {
            note_periods(*batch, period_, first_of_period_);
            if (!whole_ && batch->next_position < stretch_.end && cut_after(*batch)) return done();
        }
        const std::size_t cost = std::max<std::size_t>(batch->block.sample_count(), 1);
        if (cost >= budget) return false;
        budget -= cost;
    }
}

// Whether the stretch ends with this record.
bool StretchReader::cut_after(const LogBatch& batch) {
    const KeptBack kept = bounds_.kept_at(batch.received);
    const bool flush_time = last_kept_ && *last_kept_ != kept;
    last_kept_ = kept;
    const std::size_t datums = taker_.aggregation().datum_count();
    if (datums < bounds_.datums_max && taker_.samples() < bounds_.samples_max) return false;
    if (flush_time && batch.next_position <= stretch_.whole_until) {
        cut_ = StretchCut{batch.next_position, kept,
                          first_kept(first_of_period_, kept).value_or(batch.next_position)};
        return true;
    }
    if (datums < 4 * bounds_.datums_max && taker_.samples() < 4 * bounds_.samples_max) return false;
    cut_ = StretchCut{batch.next_position, {}, batch.next_position};
    return true;
}

std::vector<Datum> StretchReader::take_datums() {
    std::vector<Datum> datums =
        taker_.aggregation().take(cut_ ? cut_->kept : KeptBack{}, /*leave_carried=*/false);
    taker_.aggregation().take();
    taker_.compact();
    return datums;
}

std::size_t order_datums(std::vector<Datum>& datums, const Stretch& stretch,
                         std::chrono::milliseconds period) {
    using namespace std::chrono_literals;
    const WallTime live_from =
        stretch.kept_after.begin - std::max<std::chrono::milliseconds>(3 * period, 5min);
    const auto late = std::stable_partition(datums.begin(), datums.end(), [&](const Datum& datum) {
        return datum.timestamp >= live_from;
    });
    return static_cast<std::size_t>(late - datums.begin());
}

}  // namespace ridgeline::collector
