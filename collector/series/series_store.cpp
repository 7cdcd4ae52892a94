#include "collector/series/series_store.h"

#include <algorithm>
#include <set>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

// How long a series that was refused is not looked at again.
constexpr std::int64_t kRefusedMs = 60'000;
constexpr double kHourMs = 3'600'000;

}  // namespace

std::size_t SeriesStore::DescriptorHash::operator()(const SeriesDescriptor& descriptor) const {
    const std::hash<std::string_view> hash;
    std::size_t all = hash(descriptor.metric);
    for (const Attribute& attribute : descriptor.attributes)
        all = (all * 31 + hash(attribute.key)) * 31 + hash(attribute.value);
    return all;
}

SeriesId SeriesStore::intern(const std::string& host_id, const SeriesDescriptor& descriptor,
                             std::int64_t now_ms) {
    const auto full = static_cast<double>(options_.series_per_host);
    const auto host = by_host_.try_emplace(host_id, Host{{}, 0, full, now_ms}).first;
    Host& h = host->second;
    const auto shared = descriptors_.find(descriptor);
    if (shared != descriptors_.end()) {
        if (const auto it = h.series.find(shared->get()); it != h.series.end()) return it->second;
    }
    const std::size_t weight = series_weight(descriptor);
    if (entries_.size() >= options_.series_max || next_id_ == kIdsEnd) return kRefusedTotal;
    if (h.weight + weight > options_.series_per_host) return kRefusedPerHost;
    if (now_ms > h.allowance_at_ms) {
        h.allowance += static_cast<double>(now_ms - h.allowance_at_ms) / kHourMs *
                       static_cast<double>(options_.new_series_per_hour);
        h.allowance = std::min(h.allowance, full);
        h.allowance_at_ms = now_ms;
    }
    if (h.allowance < static_cast<double>(weight)) return kRefusedNew;
    h.allowance -= static_cast<double>(weight);
    h.weight += weight;
    const SeriesId id = next_id_++;
    const SharedDescriptor& kept =
        shared != descriptors_.end()
            ? *shared
            : *descriptors_.insert(std::make_shared<const SeriesDescriptor>(descriptor)).first;
    entries_.emplace(id, Entry{&host->first, kept, {}});
    h.series.emplace(kept.get(), id);
    return id;
}

void SeriesStore::free(std::unordered_map<SeriesId, Entry>::iterator entry) {
    const auto host = by_host_.find(*entry->second.host);
    const SharedDescriptor descriptor = std::move(entry->second.descriptor);
    host->second.series.erase(descriptor.get());
    host->second.weight -= series_weight(*descriptor);
    entries_.erase(entry);
    if (descriptor.use_count() == 2) descriptors_.erase(descriptor);  // ours, and that one there
    ++stats_.series_freed;
}

bool SeriesStore::count_refused(SeriesId id, std::size_t samples) {
    switch (id) {
        case kRefusedTotal:
            stats_.refused_total += samples;
            return true;
        case kRefusedPerHost:
            stats_.refused_per_host += samples;
            return true;
        case kRefusedNew:
            stats_.refused_new += samples;
            return true;
        default:
            return false;
    }
}

SeriesStore::SchemaMap& SeriesStore::map_schema(const LogBatch& batch) {
    const SchemaKey key{batch.host->host_id, batch.schema.get()};
    if (const auto it = schema_maps_.find(key); it != schema_maps_.end()) return it->second;
    if (schema_maps_.size() >= kSchemaMapsMax) schema_maps_.clear();
    SchemaMap map{batch.schema, {}, INT64_MIN};
    for (const SchemaGroup& group : batch.schema->groups)
        map.ids.emplace_back(group.series.size(), kUnmapped);
    return schema_maps_.emplace(key, std::move(map)).first->second;
}

void SeriesStore::append(const LogBatch& batch,
                         const std::function<void(const NewSamples&)>& on_new) {
    SchemaMap& map = map_schema(batch);
    const std::int64_t now_ms = to_unix_ms(batch.received);
    const bool look_again = now_ms >= map.refused_until_ms;
    if (look_again) map.refused_until_ms = now_ms + kRefusedMs;
    for (std::size_t g = 0; g < batch.block.groups.size(); ++g) {
        const SampleGroup& group = batch.block.groups[g];
        if (group.timestamps_ms.empty()) continue;
        for (std::size_t s = 0; s < group.series_count; ++s) {
            SeriesId& id = map.ids[g][s];
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
            if (id == kUnmapped || (id > kIdsEnd && look_again))
                id = intern(batch.host->host_id, batch.schema->groups[g].series[s], now_ms);
            if (count_refused(id, times_.size())) continue;
            Entry& entry = entries_.at(id);
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
            on_new({id, *entry.descriptor, std::span(times_).first(added),
                    std::span(values_).first(added)});
        }
    }
}

std::vector<SeriesId> SeriesStore::find(const SeriesSelector& selector) const {
    std::vector<SeriesId> found;
    const auto matches = [&](const Entry& entry) {
        if (entry.window.empty()) return false;
        if (!selector.metric.empty() && !glob_match(selector.metric, entry.descriptor->metric))
            return false;
        return std::all_of(
            selector.attributes.begin(), selector.attributes.end(), [&](const auto& wanted) {
                const std::string* value =
                    find_attribute(entry.descriptor->attributes, wanted.first);
                // An attribute that must be absent is asked for with an empty value.
                return value == nullptr
                           ? wanted.second.empty()
                           : !wanted.second.empty() && glob_match(wanted.second, *value);
            });
    };
    for (const auto& [host, known] : by_host_) {
        if (!selector.host.empty() && !glob_match(selector.host, host)) continue;
        for (const auto& [key, id] : known.series) {
            if (matches(entries_.at(id))) found.push_back(id);
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

std::vector<Aggregate> SeriesStore::aggregate(SeriesId id, std::int64_t from_ms, std::int64_t to_ms,
                                              std::int64_t step_ms) const {
    std::vector<Aggregate> steps;
    entries_.at(id).window.for_each(from_ms, to_ms, [&](std::int64_t t, double value) {
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

std::vector<SeriesId> SeriesStore::trim(WallTime now) {
    const std::int64_t oldest_ms = to_unix_ms(now - options_.window);
    std::vector<SeriesId> freed;
    std::set<std::string> changed;
    for (auto it = entries_.begin(); it != entries_.end();) {
        const auto entry = it++;
        entry->second.window.trim(oldest_ms);
        if (!entry->second.window.empty()) continue;
        freed.push_back(entry->first);
        changed.insert(*entry->second.host);
        free(entry);
    }
    // Schemas that the log's reader has let go of will not be met again under their address; those
    // of hosts that lost a series are mapped anew.
    std::erase_if(schema_maps_, [&](const auto& map) {
        return map.second.schema.use_count() == 1 || changed.contains(map.first.first);
    });
    for (const std::string& host : changed) {
        // A host whose last series has gone, and which may come back as if new.
        if (const auto it = by_host_.find(host); it->second.series.empty()) by_host_.erase(it);
    }
    return freed;
}

void SeriesStore::change(const SeriesStoreOptions& options) {
    options_ = options;
}

std::map<std::string, std::int64_t> SeriesStore::hosts() const {
    std::map<std::string, std::int64_t> found;
    for (const auto& [host, known] : by_host_) {
        for (const auto& [key, id] : known.series) {
            const WindowSeries& window = entries_.at(id).window;
            if (window.empty()) continue;
            const auto [it, added] = found.try_emplace(host, window.latest_ms());
            it->second = std::max(it->second, window.latest_ms());
        }
    }
    return found;
}

std::size_t SeriesStore::series_count(std::string_view host) const {
    const auto it = by_host_.find(host);
    return it == by_host_.end() ? 0 : it->second.series.size();
}

std::size_t SeriesStore::bytes() const {
    std::size_t bytes = entries_.size() * sizeof(Entry);
    for (const auto& [id, entry] : entries_)
        bytes += entry.window.bytes();
    return bytes;
}

}  // namespace ridgeline::collector
