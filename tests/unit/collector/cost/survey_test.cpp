#include "collector/cost/survey.h"

#include "tests/support/batches.h"
#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kStart = 1'772'445'600'000;  // on an hour
constexpr std::int64_t kHourMs = 3'600'000;

void add(SeriesStore& store, const std::string& host, std::int64_t start_ms, std::size_t ticks) {
    static const auto schema = std::make_shared<const Schema>(test::small_schema());
    LogBatch batch;
    HostInfo info;
    info.host_id = host;
    batch.received = from_unix_ms(start_ms);
    batch.host = std::make_shared<const HostInfo>(info);
    batch.schema = schema;
    batch.block = test::small_block(start_ms, ticks, 1);
    store.append(batch, [](const auto&) {});
}

CloudWatchConfig both() {
    CloudWatchConfig config;
    config.include = {"system.*"};
    return config;
}

std::map<std::string, std::string> role(const std::string& host) {
    return {{"role", host.starts_with("web") ? "web" : "db"}};
}

}  // namespace

TEST_CASE("metrics are metered by the hours they have data in", "[cost]") {
    SeriesStore store({});
    for (int hour = 0; hour < 4; ++hour)
        add(store, "web1", kStart + hour * kHourMs, 60);
    add(store, "web2", kStart + 3 * kHourMs, 60);  // one hour of four
    add(store, "db1", kStart, 1);
    const CloudWatchUsage usage =
        survey(store, both(), role, from_unix_ms(kStart + 3 * kHourMs + 100'000));
    CHECK(usage.series == 6);
    CHECK(usage.metric_months == Approx(2 * (1 + 0.25 + 0.25)));
    CHECK(usage.by_metric.at("system.uptime") == Approx(1.5));
    CHECK(usage.by_host.at("web1") == Approx(2));
    CHECK(usage.by_host.at("db1") == Approx(0.5));
    CHECK(usage.by_tag.at("role=web") == Approx(2.5));
    // Two hosts' two metrics each in the newest whole minute: one request a minute.
    CHECK(usage.put_requests == Approx(730 * 60));
    CHECK(usage.put_bytes > 730 * 60 * 4 * 100);
}

TEST_CASE("only what is selected counts, and a metric of many hosts once", "[cost]") {
    SeriesStore store({});
    for (const char* host : {"web1", "web2", "db1"})
        add(store, host, kStart, 120);
    const WallTime now = from_unix_ms(kStart + 100'000);
    CloudWatchConfig config;  // system.*.utilization
    CHECK(survey(store, config, role, now).metric_months == Approx(3));
    config.dimensions = {"tag.role"};
    const CloudWatchUsage by_role = survey(store, config, role, now);
    CHECK(by_role.metric_months == Approx(2));
    CHECK(by_role.by_host.at("web1") == Approx(0.5));
    CHECK(by_role.by_host.at("db1") == Approx(1));
    config.exclude = {"system.cpu.*"};
    const CloudWatchUsage none = survey(store, config, role, now);
    CHECK(none.metric_months == 0);
    CHECK(none.put_requests == 0);
}

TEST_CASE("a thousand and one datums are two requests", "[cost]") {
    SeriesStore store({});
    for (int i = 0; i < 1001; ++i)
        add(store, "h" + std::to_string(i), kStart, 60);
    CHECK(survey(store, {}, role, from_unix_ms(kStart + 100'000)).put_requests ==
          Approx(2 * 730 * 60));
}

TEST_CASE("the hours of a slow series are read from its samples", "[cost]") {
    WindowSeries window;
    std::vector<std::int64_t> times;
    for (int i = 0; i < 300; ++i)
        times.push_back(kStart + i * 2 * kHourMs);  // every other hour
    window.append(times, std::vector<double>(times.size(), 1.0), nullptr);
    std::set<std::int64_t> hours;
    window.active_hours(hours);
    CHECK(hours.size() == 300);
    CHECK(*hours.rbegin() - *hours.begin() == 598);
}
