#include "tests/simulation/ledger.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::sim {

const char* to_string(Fate fate) {
    switch (fate) {
        case Fate::kept:
            return "kept";
        case Fate::delivered:
            return "delivered";
        case Fate::dropped:
            return "dropped";
        case Fate::dropped_unsaid:
            return "dropped_unsaid";
        case Fate::lost_power:
            return "lost_power";
        case Fate::lost_memory:
            return "lost_memory";
        case Fate::lost_disk:
            return "lost_disk";
        case Fate::lost_instant:
            return "lost_instant";
    }
    return "";
}

SampleId Ledger::take(std::size_t agent, std::uint32_t series, std::int64_t stamp_ms) {
    const auto id = static_cast<SampleId>(samples_.size());
    // Integers, halves and decimals: the three ways in which columns are coded.
    constexpr std::array kFractions = {0.0, 0.5, 0.1};
    const double value = static_cast<double>(id) + kFractions[series % kFractions.size()];
    samples_.push_back({agent, series, stamp_ms, value});
    ++counts_[static_cast<std::size_t>(Fate::kept)];
    return id;
}

std::uint32_t Ledger::series_id(std::string_view name) {
    const auto known = series_ids_.find(name);
    if (known != series_ids_.end()) return known->second;
    const auto id = static_cast<std::uint32_t>(series_.size());
    series_.emplace_back(name);
    series_ids_.emplace(name, id);
    return id;
}

SampleId Ledger::find(std::size_t agent, double value) const {
    const double id = std::floor(value);
    if (!(id >= 0) || id >= static_cast<double>(samples_.size()) ||
        samples_[static_cast<std::size_t>(id)].value != value ||
        samples_[static_cast<std::size_t>(id)].agent != agent) {
        throw Violation("a value that agent " + std::to_string(agent) +
                        " never sampled: " + std::to_string(value));
    }
    return static_cast<SampleId>(id);
}

void Ledger::read_from_log(std::size_t collector, std::size_t agent,
                           const collector::LogBatch& batch, bool again) {
    const unsigned own = 1U << collector;
    Copies& copies = logged_[{agent, batch.epoch, batch.sequence}];
    const auto under_this_number = [&](SampleId id) {
        return std::any_of(copies.begin(), copies.end(), [&](const auto& copy) {
            return std::binary_search(copy.second.begin(), copy.second.end(), id);
        });
    };
    SampleIds ids;
    for (std::size_t g = 0; g < batch.block.groups.size(); ++g) {
        const SampleGroup& group = batch.block.groups[g];
        for (std::size_t s = 0; s < group.series_count; ++s) {
            const std::string series = to_string(batch.schema->groups[g].series[s]);
            const auto column = group.column(s);
            for (std::size_t i = 0; i < column.size(); ++i) {
                if (!has_value(column[i])) continue;
                const SampleId id = find(agent, column[i]);
                Sample& sample = samples_[id];
                if (series_[sample.series] != series || sample.stamp_ms != group.timestamps_ms[i])
                    throw Violation("in the log as " + series + " at " +
                                    std::to_string(group.timestamps_ms[i]) + ": " + describe(id));
                unsigned& seen = again ? sample.read_again : sample.in_logs;
                if ((seen & own) != 0) throw Violation("twice in the log: " + describe(id));
                if (!again && seen != 0) {
                    ++in_two_logs_;
                    if (!under_this_number(id))
                        throw Violation("in two logs under two numbers: " + describe(id));
                }
                seen |= own;
                if (again && (sample.in_logs & own) == 0)
                    throw Violation("in the log, but its reader missed it: " + describe(id));
                if (sample.fate != Fate::kept && sample.fate != Fate::delivered)
                    ++counted_but_delivered_;
                move(sample, Fate::delivered);
                ids.push_back(id);
            }
        }
    }
    std::sort(ids.begin(), ids.end());
    const auto [known, added] = copies.try_emplace(collector, std::move(ids));
    if (added == again) {
        throw Violation("batch " + std::to_string(batch.sequence) + " of agent " +
                        std::to_string(agent) +
                        (again ? " was never read before" : " is twice in the log"));
    }
}

const Ledger::Copies& Ledger::logged(std::size_t agent, std::uint64_t epoch,
                                     std::uint64_t sequence) const {
    static const Copies none;
    const auto found = logged_.find({agent, epoch, sequence});
    return found == logged_.end() ? none : found->second;
}

void Ledger::must_have_been_read_again() const {
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        if (samples_[i].in_logs != samples_[i].read_again)
            throw Violation("was durable in the log, and is gone: " +
                            describe(static_cast<SampleId>(i)));
    }
}

bool Ledger::delivered(const SampleIds& ids) const {
    return std::all_of(ids.begin(), ids.end(),
                       [&](SampleId id) { return samples_[id].in_logs != 0; });
}

void Ledger::set_fate(SampleId id, Fate fate) {
    if (samples_[id].in_logs != 0) {
        ++counted_but_delivered_;
        return;
    }
    move(samples_[id], fate);
}

void Ledger::came_back(SampleId id) {
    if (samples_[id].in_logs == 0) move(samples_[id], Fate::kept);
}

void Ledger::move(Sample& sample, Fate to) {
    --counts_[static_cast<std::size_t>(sample.fate)];
    sample.fate = to;
    ++counts_[static_cast<std::size_t>(to)];
}

std::string Ledger::describe(SampleId id) const {
    const Sample& sample = samples_[id];
    return "sample " + std::to_string(id) + " of agent " + std::to_string(sample.agent) + ", " +
           series_[sample.series] + " at " + std::to_string(sample.stamp_ms) + ", " +
           sim::to_string(sample.fate);
}

}  // namespace ridgeline::sim
