// The CloudWatch sink over a made-up fleet, in simulated time: what cloudwatch.py runs and reports.
//
// The log is computed as it is read, a batch of ten samples a host every ten seconds; AWS answers
// after 50 simulated milliseconds. Prints one line of JSON.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "collector/sink/cloudwatch_sink.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

constexpr int kBatchSeconds = 10;
constexpr std::uint64_t kRecordBytes =
    400;  // ten seconds of forty series; what the log takes for them

class Keys final : public CredentialsProvider {
  public:
    void fetch(CredentialsDone done) override { done(AwsCredentials{"AKID", "secret", "", {}}); }
};

class Fleet {
  public:
    Fleet(std::size_t hosts, std::size_t series, const Clock& clock) : clock_(clock) {
        auto schema = std::make_shared<Schema>();
        schema->groups.push_back({"bench", {}});
        for (std::size_t i = 0; i < series; ++i)
            schema->groups[0].series.push_back(
                {"system.network.utilization", {{"interface", "eth" + std::to_string(i)}}});
        schema_ = schema;
        for (std::size_t i = 0; i < hosts; ++i) {
            auto host = std::make_shared<HostInfo>();
            host->host_id = "i-0123456789abc" + std::to_string(10'000 + i);
            host->tags = {{"role", "web"}};
            hosts_.push_back(host);
        }
    }

    LogPosition end() const {
        const auto seconds = (clock_.wall_now() - begun_) / 1s;
        return static_cast<LogPosition>(seconds / kBatchSeconds) * hosts_.size() * kRecordBytes;
    }

    LogBatch batch(LogPosition position) const {
        const std::size_t record = position / kRecordBytes;
        LogBatch out;
        out.host = hosts_[record % hosts_.size()];
        out.schema = schema_;
        out.position = position;
        out.next_position = position + kRecordBytes;
        const WallTime from = begun_ + std::chrono::seconds{record / hosts_.size() * kBatchSeconds};
        out.received = from + std::chrono::seconds{kBatchSeconds};
        SampleGroup group;
        group.series_count = schema_->groups[0].series.size();
        for (int i = 0; i < kBatchSeconds; ++i)
            group.timestamps_ms.push_back(to_unix_ms(from + std::chrono::seconds{i}));
        group.values.reserve(group.series_count * kBatchSeconds);
        // Utilizations with three decimals, as agents send them: some steady, some not.
        std::uint64_t state = record * 0x9e3779b97f4a7c15U + 1;
        for (std::size_t s = 0; s < group.series_count; ++s) {
            const double base = static_cast<double>((record % hosts_.size() * 7 + s * 131) % 900);
            for (int i = 0; i < kBatchSeconds; ++i) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                const auto noise = static_cast<double>(state % (s % 4 == 0 ? 1 : 60));
                group.values.push_back((base + noise) / 1000);
            }
        }
        out.block.groups.push_back(std::move(group));
        return out;
    }

  private:
    const Clock& clock_;
    WallTime begun_ = clock_.wall_now();
    std::shared_ptr<const Schema> schema_;
    std::vector<std::shared_ptr<const HostInfo>> hosts_;
};

class FleetReader final : public LogReader {
  public:
    FleetReader(const Fleet& fleet, LogPosition from) : fleet_(fleet), position_(from) {}
    Result<std::optional<LogBatch>> next() override {
        if (position_ >= fleet_.end()) return std::optional<LogBatch>();
        LogBatch batch = fleet_.batch(position_);
        position_ = batch.next_position;
        return std::optional<LogBatch>(std::move(batch));
    }
    LogPosition position() const override { return position_; }
    const LogReaderStats& stats() const override { return stats_; }

  private:
    const Fleet& fleet_;
    LogPosition position_;
    LogReaderStats stats_;
};

class SimulatedAws final : public HttpClient {
  public:
    explicit SimulatedAws(const Clock& clock) : clock_(clock) {}
    void send(HttpRequest request, HttpDone done) override {
        bytes += request.body.size();
        waiting_.push_back({clock_.mono_now() + 50ms, std::move(done)});
    }
    void answer() {
        while (!waiting_.empty() && waiting_.front().at <= clock_.mono_now()) {
            HttpDone done = std::move(waiting_.front().done);
            waiting_.pop_front();
            if (!reachable) {
                done(fail(Error{Errc::unavailable, ENOTCONN, "no route to host"}));
            } else {
                ++requests;
                done(HttpResponse{200, {}, "{}"});
            }
        }
    }
    bool reachable = true;
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;

  private:
    struct Waiting {
        MonoTime at;
        HttpDone done;
    };
    const Clock& clock_;
    std::deque<Waiting> waiting_;
};

struct Simulation {
    Simulation(std::size_t hosts, std::size_t series, std::chrono::milliseconds period)
        : fleet(hosts, series, clock), http(clock) {
        CloudWatchConfig config;
        config.period = period;
        config.dimensions = {"host", "tag.role"};
        config.include = {"*"};
        CloudWatchLimits limits;
        limits.bytes_behind_max = ~std::uint64_t{0};
        auto opened = CloudWatchSink::open(
            config, {"http://127.0.0.1:1", "us-east-1"}, dir.path() / "cursor",
            {[this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
                 return std::make_unique<FleetReader>(fleet, from);
             },
             [this] { return fleet.end(); }},
            http, keys, clock, [] { return 0.5; }, limits);
        if (!opened) std::abort();
        sink = std::move(*opened);
    }

    void run(std::chrono::milliseconds time) {
        for (auto t = 0ms; t < time; t += 50ms) {
            clock.advance(50ms);
            http.answer();
            if (t % 250ms == 0ms) sink->poll();
        }
    }
    // Now minus the end of what the live lane has sent.
    double live_delay_s() {
        return std::chrono::duration<double>(clock.wall_now() - sink->stats().flushed_until)
            .count();
    }

    test::TempDir dir;
    test::ManualClock clock;
    Fleet fleet;
    SimulatedAws http;
    Keys keys;
    std::unique_ptr<CloudWatchSink> sink;
};

double peak_rss_mb() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

double cpu_s() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

nlohmann::json traffic(std::size_t hosts, std::size_t series, std::chrono::seconds period,
                       std::chrono::minutes time) {
    Simulation simulation(hosts, series, period);
    simulation.run(2min);  // past the first, incomplete flushes
    const auto requests = simulation.http.requests;
    const auto bytes = simulation.http.bytes;
    const auto datums = simulation.sink->stats().datums_sent;
    const double cpu = cpu_s();
    simulation.run(time);
    const auto minutes = static_cast<double>(time.count());
    return {
        {"requests_per_minute", static_cast<double>(simulation.http.requests - requests) / minutes},
        {"bytes_per_minute", static_cast<double>(simulation.http.bytes - bytes) / minutes},
        {"datums_per_minute",
         static_cast<double>(simulation.sink->stats().datums_sent - datums) / minutes},
        {"cpu_s_per_minute", (cpu_s() - cpu) / minutes},
        {"rss_mb", peak_rss_mb()}};
}

nlohmann::json outage(std::size_t hosts, std::size_t series, std::chrono::minutes length) {
    Simulation simulation(hosts, series, 60s);
    simulation.run(3min);
    const double rss_before = peak_rss_mb();
    simulation.http.reachable = false;
    simulation.run(length);
    const double rss_outage = peak_rss_mb();
    const CloudWatchStats before = simulation.sink->stats();
    simulation.http.reachable = true;
    const double cpu = cpu_s();
    double first_live_s = -1;
    double worst_live_delay_s = 0;
    auto drained = 0s;
    for (; drained < 24h; drained += 5s) {
        simulation.run(5s);
        const CloudWatchStats& now = simulation.sink->stats();
        const double delay = simulation.live_delay_s();
        if (first_live_s < 0 && now.flushed_until != before.flushed_until)
            first_live_s = std::chrono::duration<double>(drained + 5s).count();
        if (first_live_s >= 0) worst_live_delay_s = std::max(worst_live_delay_s, delay);
        if (now.backlog_bytes == 0 && now.stretches <= 1 && drained > 1min) break;
    }
    const CloudWatchStats& after = simulation.sink->stats();
    return {
        {"stretches_in_outage", before.stretches},  {"first_live_after_s", first_live_s},
        {"worst_live_delay_s", worst_live_delay_s}, {"drained_after_s", drained.count()},
        {"datums_sent", after.datums_sent},         {"datums_expected_per_minute", hosts * series},
        {"cpu_s_while_draining", cpu_s() - cpu},    {"rss_mb_before", rss_before},
        {"rss_mb_in_outage", rss_outage},           {"rss_mb_peak", peak_rss_mb()}};
}

// The largest error of p1 … p99.9, and of the sum.
nlohmann::json percentiles(std::size_t samples) {
    std::mt19937_64 random(11);
    const auto measure = [&](const char* name, const auto& draw) {
        Statistics statistics;
        std::vector<double> all;
        for (std::size_t i = 0; i < samples; ++i) {
            all.push_back(draw());
            statistics.add(all.back());
        }
        std::sort(all.begin(), all.end());
        const auto values = statistics.values();
        double worst = 0;
        for (int tenth = 10; tenth <= 999; ++tenth) {
            const auto rank = static_cast<std::uint64_t>(
                std::llround(tenth / 1000.0 * static_cast<double>(samples - 1)));
            std::uint64_t before = 0;
            std::size_t i = 0;
            while (before + values[i].count <= rank)
                before += values[i++].count;
            const double truth = all[rank];
            worst = std::max(worst, truth == 0 ? std::abs(values[i].value)
                                               : std::abs(values[i].value / truth - 1));
        }
        return nlohmann::json{{"name", name},
                              {"samples", samples},
                              {"values", values.size()},
                              {"worst_percent", worst * 100},
                              {"stated_percent", statistics.relative_error() * 100}};
    };
    std::uniform_real_distribution<double> uniform(0, 1);
    std::normal_distribution<double> normal(50, 10);
    std::lognormal_distribution<double> lognormal(-4, 1);
    std::exponential_distribution<double> exponential(5);
    return {measure("uniform", [&] { return uniform(random); }),
            measure("normal", [&] { return std::abs(normal(random)); }),
            measure("lognormal", [&] { return lognormal(random); }),
            measure("exponential", [&] { return exponential(random); }),
            measure("Pareto", [&] { return std::pow(1 - uniform(random), -1 / 1.5); })};
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    const auto number = [&](int i) { return std::strtoul(argc > i ? argv[i] : "0", nullptr, 10); };
    nlohmann::json result;
    if (what == "traffic") {
        result = traffic(number(2), number(3), std::chrono::seconds{number(4)},
                         std::chrono::minutes{number(5)});
    } else if (what == "outage") {
        result = outage(number(2), number(3), std::chrono::minutes{number(4)});
    } else if (what == "percentiles") {
        result = percentiles(number(2));
    } else {
        std::fputs(
            "usage: cloudwatch_writer traffic HOSTS SERIES PERIOD_S MINUTES | outage HOSTS SERIES "
            "MINUTES | percentiles SAMPLES\n",
            stderr);
        return 2;
    }
    std::printf("%s\n", result.dump().c_str());
    return 0;
}
