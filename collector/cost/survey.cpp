#include "collector/cost/survey.h"

#include <algorithm>
#include <set>
#include <span>
#include <variant>
#include <vector>

#include "collector/sink/datum.h"
#include "collector/sink/request.h"
#include "collector/sink/selection.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// A period is taken to be in the window whole so long after its end.
constexpr auto kLag = 30s;
// Of a long period only so much is looked at: its datums are as many, and statistic sets by then.
constexpr auto kLongest = 10min;

struct Custom {
    std::set<std::int64_t> hours;
    std::set<std::string> hosts;
};

struct Slice {
    WallTime begin;
    WallTime end;
};

Slice newest_period(const CloudWatchConfig& config, WallTime now) {
    const auto since = (now - kLag).time_since_epoch();
    const WallTime end{since / config.period * config.period};
    return {end - std::min<std::chrono::milliseconds>(config.period, kLongest), end};
}

void count_requests(CloudWatchUsage& usage, Aggregation& aggregation,
                    const CloudWatchConfig& config) {
    const std::vector<Datum> datums = aggregation.take();
    double requests = 0;
    double bytes = 0;
    for (std::size_t i = 0; i < datums.size();) {
        const RequestBody body =
            build_request(config.space, std::span(datums).subspan(i), config.period);
        i += body.datum_count;
        ++requests;
        bytes += static_cast<double>(body.json.size());
    }
    const double periods = kHoursPerMonth * 3'600'000 / static_cast<double>(config.period.count());
    usage.put_requests = requests * periods;
    usage.put_bytes = bytes * periods;
}

}  // namespace

CloudWatchUsage survey(const SeriesStore& store, const CloudWatchConfig& config,
                       const TagsOfHost& tags_of, WallTime now) {
    const Selection selection(config);
    const Slice slice = newest_period(config, now);
    std::map<MetricIdentity, Custom> customs;
    std::map<std::string, HostInfo> hosts;
    std::set<std::int64_t> all_hours;
    Aggregation aggregation(config.period);
    for (const SeriesId id : store.find({})) {
        const std::string& host_id = store.host_of(id);
        const auto [host, is_new] = hosts.try_emplace(host_id);
        if (is_new) {
            host->second.host_id = host_id;
            host->second.tags = tags_of(host_id);
        }
        const auto selected = selection.select(host->second, store.descriptor_of(id));
        const auto* metrics = std::get_if<SelectedMetrics>(&selected);
        if (metrics == nullptr) continue;
        const WindowSeries& window = store.window_of(id);
        for (const SelectedMetric& metric : *metrics) {
            Custom& custom = customs[metric.identity];
            custom.hosts.insert(host_id);
            window.active_hours(custom.hours);
            if (window.latest_ms() < to_unix_ms(slice.begin)) continue;
            const std::size_t number = aggregation.series(metric.identity, metric.period);
            // Growth is as many values but for the first; requests are counted, not what is in
            // them.
            window.for_each(to_unix_ms(slice.begin), to_unix_ms(slice.end) - 1,
                            [&](std::int64_t at_ms, double value) {
                                aggregation.add(number, from_unix_ms(at_ms), metric.of(value));
                            });
        }
    }
    for (const auto& [identity, custom] : customs)
        all_hours.insert(custom.hours.begin(), custom.hours.end());

    CloudWatchUsage usage;
    for (const auto& [identity, custom] : customs) {
        if (custom.hours.empty()) continue;
        ++usage.series;
        const double months =
            static_cast<double>(custom.hours.size()) / static_cast<double>(all_hours.size());
        usage.metric_months += months;
        usage.by_metric[identity.name] += months;
        const double part = months / static_cast<double>(custom.hosts.size());
        for (const std::string& host : custom.hosts) {
            usage.by_host[host] += part;
            for (const auto& [key, value] : hosts[host].tags)
                usage.by_tag[key + "=" + value] += part;
        }
    }
    count_requests(usage, aggregation, config);
    return usage;
}

}  // namespace ridgeline::collector
