#include "collector/series/series_store.h"

#include <algorithm>

#include "common/base/text.h"

namespace ridgeline::collector {

SeriesId SeriesStore::intern(const std::string& host, const SeriesDescriptor& descriptor) {
    const auto host_entry = by_host_.try_emplace(host).first;
    const std::string key = to_string(descriptor);
    if (const auto it = host_entry->second.find(key); it != host_entry->second.end())
        return it->second;
    if (entries_.size() >= options_.series_max) return kNoSeries;
    const auto id = static_cast<SeriesId>(entries_.size());
    entries_.push_back({&host_entry->first, descriptor, {}});
    host_entry->second.emplace(key, id);
    return id;
}

const SeriesStore::SchemaMap& SeriesStore::map_schema(const LogBatch& batch) {
    std::pair key{batch.schema.get(), batch.host->host_id};
    if (const auto it = schema_maps_.find(key); it != schema_maps_.end()) return it->second;
    if (schema_maps_.size() >= kSchemaMapsMax) schema_maps_.clear();
    SchemaMap map{batch.schema, {}};
    for (const SchemaGroup& group : batch.schema->groups) {
        std::vector<SeriesId> ids;
        ids.reserve(group.series.size());
        for (const SeriesDescriptor& series : group.series)
            ids.push_back(intern(batch.host->host_id, series));
        map.ids.push_back(std::move(ids));
    }
    return schema_maps_.emplace(std::move(key), std::move(map)).first->second;
}

void SeriesStore::append(const LogBatch& batch,
                         const std::function<void(const NewSamples&)>& on_new) {
    const SchemaMap& map = map_schema(batch);
    for (std::size_t g = 0; g < batch.block.groups.size(); ++g) {
        const SampleGroup& group = batch.block.groups[g];
        if (group.timestamps_ms.empty()) continue;
        for (std::size_t s = 0; s < group.series_count; ++s) {
            const SeriesId id = map.ids[g][s];
            const std::span<const double> column = group.column(s);
            times_.clear();
            values_.clear();
            for (std::size_t i = 0; i < column.size(); ++i) {
                if (!has_value(column[i])) continue;
                if (!times_.empty() && group.timestamps_ms[i] <= times_.back()) {
                    ++stats_.duplicates;  // two values for one instant: the first stays
                    continue;
                }
                times_.push_back(group.timestamps_ms[i]);
                values_.push_back(column[i]);
            }
            if (times_.empty()) continue;
            if (id == kNoSeries) {
                stats_.series_refused += times_.size();
                continue;
            }
            Entry& entry = entries_[id];
            fresh_.clear();
            const std::size_t added = entry.window.append(times_, values_, &fresh_);
            stats_.samples += added;
            stats_.duplicates += times_.size() - added;
            if (added == 0) continue;
            if (added < times_.size()) {
                for (std::size_t i = 0; i < fresh_.size(); ++i) {
                    times_[i] = times_[fresh_[i]];
                    values_[i] = values_[fresh_[i]];
                }
            }
            on_new({id, entry.descriptor, std::span(times_).first(added),
                    std::span(values_).first(added)});
        }
    }
}

std::vector<SeriesId> SeriesStore::find(const SeriesSelector& selector) const {
    std::vector<SeriesId> found;
    const auto matches = [&](const Entry& entry) {
        if (entry.window.empty()) return false;
        if (!selector.metric.empty() && !glob_match(selector.metric, entry.descriptor.metric))
            return false;
        return std::all_of(
            selector.attributes.begin(), selector.attributes.end(), [&](const auto& wanted) {
                const std::string* value =
                    find_attribute(entry.descriptor.attributes, wanted.first);
                // An attribute that must be absent is asked for with an empty value.
                return value == nullptr
                           ? wanted.second.empty()
                           : !wanted.second.empty() && glob_match(wanted.second, *value);
            });
    };
    for (const auto& [host, series] : by_host_) {
        if (!selector.host.empty() && !glob_match(selector.host, host)) continue;
        for (const auto& [key, id] : series) {
            if (matches(entries_[id])) found.push_back(id);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<Aggregate> SeriesStore::aggregate(SeriesId id, std::int64_t from_ms, std::int64_t to_ms,
                                              std::int64_t step_ms) const {
    std::vector<Aggregate> steps;
    entries_[id].window.for_each(from_ms, to_ms, [&](std::int64_t t, double value) {
        const std::int64_t start = t - t % step_ms;
        if (steps.empty() || steps.back().t_ms != start)
            steps.push_back({start, value, value, 0, value, 0});
        Aggregate& step = steps.back();
        step.min = std::min(step.min, value);
        step.max = std::max(step.max, value);
        step.sum += value;
        step.last = value;
        ++step.count;
    });
    return steps;
}

void SeriesStore::trim(WallTime now) {
    const std::int64_t oldest_ms = to_unix_ms(now - options_.window);
    for (Entry& entry : entries_)
        entry.window.trim(oldest_ms);
    // Schemas that the log's reader has let go of will not be met again under their address.
    std::erase_if(schema_maps_, [](const auto& map) { return map.second.schema.use_count() == 1; });
}

std::map<std::string, std::int64_t> SeriesStore::hosts() const {
    std::map<std::string, std::int64_t> found;
    for (const auto& [host, series] : by_host_) {
        for (const auto& [key, id] : series) {
            const WindowSeries& window = entries_[id].window;
            if (window.empty()) continue;
            const auto [it, added] = found.try_emplace(host, window.latest_ms());
            it->second = std::max(it->second, window.latest_ms());
        }
    }
    return found;
}

std::size_t SeriesStore::series_count(std::string_view host) const {
    const auto it = by_host_.find(host);
    return it == by_host_.end() ? 0 : it->second.size();
}

std::size_t SeriesStore::bytes() const {
    std::size_t bytes = entries_.capacity() * sizeof(Entry);
    for (const Entry& entry : entries_)
        bytes += entry.window.bytes();
    return bytes;
}

}  // namespace ridgeline::collector
