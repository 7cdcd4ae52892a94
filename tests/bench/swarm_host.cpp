#include "tests/bench/swarm_host.h"

#include <algorithm>

#include "common/wire/messages.h"

namespace ridgeline::bench {

namespace {

constexpr int kMountpoints = 8;
constexpr int kInterfaces = 8;
constexpr double kBusy = 0.97;

// splitmix64's last step: alike for alike, and nothing to be seen in it.
std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111eb;
    return x ^ (x >> 31U);
}

// "system.cpu.time" is of the source "cpu".
std::string source_of(const std::string& metric) {
    const std::size_t from = metric.find('.') + 1;
    return metric.substr(from, metric.find('.', from) - from);
}

// What a counter has grown by in one pass; 0 for what goes down at times.
double gain_of(const RecordedSeries& series) {
    const auto& values = series.values;
    const bool grows = std::all_of(values.begin(), values.end(), has_value) &&
                       std::is_sorted(values.begin(), values.end());
    return grows ? values.back() - values.front() : 0;
}

}  // namespace

HostKind::HostKind(const std::vector<RecordedSeries>& recording, std::size_t number,
                   std::size_t series_wanted) {
    // What the packaged rules look at comes first. Its values stay below every threshold: what ten
    // thousand alerts at once cost is another question.
    add("system.cpu.utilization", {{"state", "used"}}, nullptr);
    add("system.memory.utilization", {{"state", "used"}}, nullptr);
    for (int i = 0; i < kMountpoints; ++i) {
        add("system.filesystem.utilization",
            {{"mountpoint", "/data" + std::to_string(i)}, {"state", "used"}, {"type", "ext4"}},
            nullptr);
    }
    for (int i = 0; i < kInterfaces; ++i) {
        add("system.network.utilization",
            {{"direction", "receive"}, {"interface", "eth" + std::to_string(i)}}, nullptr);
    }
    const std::size_t wandering = schema_.series_count();
    for (std::size_t i = 0; i + wandering < series_wanted; ++i) {
        const RecordedSeries& series = recording[i % recording.size()];
        // As many attributes as series have as a rule; their values are made up.
        add(series.metric,
            {{"device", "nvme" + std::to_string(i) + "n1"},
             {"kind", "kind-" + std::to_string(number)}},
            &series);
    }
    encoded_ = std::make_shared<const std::string>(wire::encode_schema(schema_));
    hash_ = schema_hash(schema_);
}

void HostKind::add(std::string metric, Attributes attributes, const RecordedSeries* recorded) {
    const std::string source = source_of(metric);
    auto group = std::find_if(schema_.groups.begin(), schema_.groups.end(),
                              [&](const SchemaGroup& g) { return g.source == source; });
    if (group == schema_.groups.end()) {
        schema_.groups.push_back({source, {}});
        columns_.emplace_back();
        group = std::prev(schema_.groups.end());
    }
    group->series.push_back({std::move(metric), std::move(attributes)});
    columns_[static_cast<std::size_t>(group - schema_.groups.begin())].push_back(
        {recorded, recorded == nullptr ? 0 : gain_of(*recorded), schema_.series_count()});
}

double HostKind::value(const Column& column, const HostData& host, std::int64_t time_ms) {
    const auto second = host.number + static_cast<std::uint64_t>(time_ms - host.epoch_ms) / 1000;
    if (column.recorded == nullptr) {
        // The first one is the CPU's.
        if (column.number == 1 && time_ms >= host.busy_from_ms) return kBusy;
        const std::uint64_t noise = mixed(mixed(host.number << 16U | column.number) + second);
        return static_cast<double>(3000 + noise % 2000) / 10'000;
    }
    const auto& values = column.recorded->values;
    const std::uint64_t pass = second / values.size();
    return values[second % values.size()] + static_cast<double>(pass) * column.gain;
}

void HostKind::values_at(const HostData& host, std::int64_t time_ms,
                         std::vector<double>& out) const {
    out.clear();
    for (const std::vector<Column>& columns : columns_) {
        for (const Column& column : columns)
            out.push_back(value(column, host, time_ms));
    }
}

SampleBlock HostKind::block(const HostData& host, std::int64_t start_ms, std::size_t ticks) const {
    SampleBlock block;
    for (const std::vector<Column>& columns : columns_) {
        SampleGroup group;
        group.series_count = columns.size();
        for (std::size_t t = 0; t < ticks; ++t)
            group.timestamps_ms.push_back(start_ms + static_cast<std::int64_t>(t) * 1000);
        for (const Column& column : columns) {
            for (const std::int64_t time_ms : group.timestamps_ms)
                group.values.push_back(value(column, host, time_ms));
        }
        block.groups.push_back(std::move(group));
    }
    return block;
}

}  // namespace ridgeline::bench
