// What arrives at CloudWatch of a fleet, under settings that add up, rename and take apart.
#include <map>
#include <numeric>

#include <nlohmann/json.hpp>

#include "collector/sink/cloudwatch_sink.h"
#include "gunzip.h"
#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const WallTime kStart = from_unix_ms(1'772'445'600'000);  // 10:00:00, on a minute

class Keys final : public CredentialsProvider {
  public:
    void fetch(CredentialsDone done) override { done(AwsCredentials{"AKID", "secret", "", {}}); }
};

// What CloudWatch has of a metric in a period.
struct Stat {
    double count = 0, sum = 0, min = 0, max = 0;
    bool high_resolution = false;
    std::string unit;
};

// Batches of several hosts, each 100 positions long.
class Log {
  public:
    void append(LogBatch batch) {
        batch.position = batches_.size() * 100;
        batch.next_position = batch.position + 100;
        batches_.push_back(std::move(batch));
    }
    LogPosition end() const { return batches_.size() * 100; }
    std::unique_ptr<LogReader> open(LogPosition from) const {
        return std::make_unique<Reader>(batches_, from / 100);
    }

  private:
    class Reader final : public LogReader {
      public:
        Reader(const std::vector<LogBatch>& batches, std::size_t next)
            : batches_(batches), next_(next) {}
        Result<std::optional<LogBatch>> next() override {
            if (next_ == batches_.size()) return std::optional<LogBatch>();
            return std::optional(batches_[next_++]);
        }
        LogPosition position() const override { return next_ * 100; }
        const LogReaderStats& stats() const override { return stats_; }

      private:
        const std::vector<LogBatch>& batches_;
        std::size_t next_;
        LogReaderStats stats_;
    };
    std::vector<LogBatch> batches_;
};

struct Fleet {
    explicit Fleet(CloudWatchConfig with) : config(std::move(with)) {
        auto opened = CloudWatchSink::open(
            config, {"http://127.0.0.1:1", "eu-central-1"}, dir.path() / "cursor",
            {[this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
                 return log.open(from);
             },
             [this] { return log.end(); }},
            http, keys, clock, [] { return 0.5; }, {});
        REQUIRE(opened);
        sink = std::move(*opened);
    }

    void host(const std::string& id, std::map<std::string, std::string> tags,
              std::vector<SeriesDescriptor> series) {
        auto info = std::make_shared<HostInfo>();
        info->host_id = id;
        info->tags = std::move(tags);
        auto schema = std::make_shared<Schema>();
        schema->groups = {{"test", std::move(series)}};
        hosts.push_back({info, schema});
    }

    // A sample of every series each second; values(host, series, second since the start).
    template <class Values>
    void seconds(int count, const Values& values) {
        for (int from = 0; from < count; from += 10) {
            for (std::size_t h = 0; h < hosts.size(); ++h) {
                LogBatch batch;
                batch.host = hosts[h].first;
                batch.schema = hosts[h].second;
                SampleGroup group;
                group.series_count = batch.schema->groups[0].series.size();
                for (int i = 0; i < 10; ++i)
                    group.timestamps_ms.push_back(
                        to_unix_ms(kStart + std::chrono::seconds(second + i)));
                for (std::size_t s = 0; s < group.series_count; ++s)
                    for (int i = 0; i < 10; ++i)
                        group.values.push_back(values(h, s, second + i));
                batch.received = kStart + std::chrono::seconds(second + 10);
                batch.block.groups = {std::move(group)};
                log.append(std::move(batch));
            }
            second += 10;
            clock.advance(10s);
            serve();
        }
    }

    // Everything the sink has to say now is taken in.
    void serve() {
        for (int i = 0; i < 1000; ++i) {
            sink->poll();
            if (http.waiting.empty()) return;
            take(http.waiting.front().request);
            http.answer(200, "{}");
        }
        FAIL("the sink never comes to rest");
    }

    void take(const HttpRequest& request) {
        bool packed = false;
        for (const HttpHeader& header : request.headers)
            packed = packed || header.value == "gzip";
        const auto document =
            nlohmann::json::parse(packed ? test::gunzip(request.body) : request.body);
        space = document["Namespace"];
        for (const auto& datum : document["MetricData"]) {
            std::string name = datum["MetricName"];
            if (name.starts_with("ridgeline.")) continue;  // the writer's own marks
            std::map<std::string, std::string> dimensions;
            if (datum.contains("Dimensions"))
                for (const auto& dimension : datum["Dimensions"])
                    dimensions[dimension["Name"]] = dimension["Value"];
            for (const auto& [key, value] : dimensions)
                name += " " + key + "=" + value;
            const auto at =
                (datum["Timestamp"].get<std::int64_t>() * 1000 - to_unix_ms(kStart)) / 1000;
            add(metrics[name][at], datum);
        }
    }

    static void add(Stat& stat, const nlohmann::json& datum) {
        stat.unit = datum["Unit"];
        stat.high_resolution = datum.contains("StorageResolution");
        const auto value = [&](double one, double times) {
            stat.min = stat.count == 0 ? one : std::min(stat.min, one);
            stat.max = stat.count == 0 ? one : std::max(stat.max, one);
            stat.count += times;
            stat.sum += one * times;
        };
        if (datum.contains("Value")) {
            value(datum["Value"], 1);
        } else if (datum.contains("Values")) {
            for (std::size_t i = 0; i < datum["Values"].size(); ++i)
                value(datum["Values"][i],
                      datum.contains("Counts") ? datum["Counts"][i].get<double>() : 1);
        } else {
            const auto& set = datum["StatisticValues"];
            value(set["Minimum"], 0);
            value(set["Maximum"], 0);
            stat.count += set["SampleCount"].get<double>();
            stat.sum += set["Sum"].get<double>();
        }
    }

    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& [name, periods] : metrics)
            out.push_back(name);
        return out;
    }
    std::uint64_t refused(Refusal refusal) const {
        return sink->stats().samples_refused[static_cast<std::size_t>(refusal)];
    }

    CloudWatchConfig config;
    test::TempDir dir;
    test::ManualClock clock{kStart};
    Log log;
    test::FakeHttp http;
    Keys keys;
    std::unique_ptr<CloudWatchSink> sink;
    std::vector<std::pair<std::shared_ptr<const HostInfo>, std::shared_ptr<const Schema>>> hosts;
    int second = 0;
    std::string space;
    std::map<std::string, std::map<std::int64_t, Stat>> metrics;  // by name, by second
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a roll-up adds up over hosts, exactly", "[sent]") {
    CloudWatchConfig config;
    config.include = {"system.memory.usage"};
    config.rollups = {{{"*"}, {"tag.role"}, std::nullopt, false}, {{"*"}, {}, Names{}, false}};
    Fleet fleet(config);
    const SeriesDescriptor used{"system.memory.usage", {{"state", "used"}}};
    fleet.host("w1", {{"role", "web"}}, {used});
    fleet.host("w2", {{"role", "web"}}, {used});
    fleet.host("d1", {{"role", "db"}}, {used});
    fleet.host("x", {}, {used});
    fleet.seconds(150, [](std::size_t host, std::size_t, int second) {
        return static_cast<double>(host + 1) * 1000 + second;
    });
    CHECK(fleet.names() ==
          Names{"system.memory.usage", "system.memory.usage host=d1 state=used",
                "system.memory.usage host=w1 state=used", "system.memory.usage host=w2 state=used",
                "system.memory.usage host=x state=used", "system.memory.usage role=db state=used",
                "system.memory.usage role=web state=used"});
    const Stat web = fleet.metrics["system.memory.usage role=web state=used"][60];
    CHECK(web.count == 120);
    CHECK(web.sum == 60 * 3000 + 2 * (60 * 60 + 59 * 30));
    CHECK(web.min == 1060);
    CHECK(web.max == 2119);
    CHECK(web.unit == "Bytes");
    CHECK(fleet.metrics["system.memory.usage"][60].count == 240);
    CHECK(fleet.metrics["system.memory.usage"][60].max == 4119);
}

TEST_CASE("only the roll-up may be sent, and who is in none is counted", "[sent]") {
    CloudWatchConfig config;
    config.include = {"system.memory.*"};
    config.rollups = {{{"system.memory.usage"}, {"tag.role"}, std::nullopt, true}};
    Fleet fleet(config);
    const std::vector<SeriesDescriptor> series = {{"system.memory.usage", {{"state", "used"}}},
                                                  {"system.memory.limit", {}}};
    fleet.host("w1", {{"role", "web"}}, series);
    fleet.host("w2", {{"role", "web"}}, series);
    fleet.host("x", {}, series);
    fleet.seconds(90, [](std::size_t, std::size_t, int) { return 1.0; });
    CHECK(fleet.names() == Names{"system.memory.limit host=w1", "system.memory.limit host=w2",
                                 "system.memory.limit host=x",
                                 "system.memory.usage role=web state=used"});
    CHECK(fleet.metrics["system.memory.usage role=web state=used"][0].count == 120);
    CHECK(fleet.refused(Refusal::not_rolled_up) >= 60);
}

TEST_CASE("a roll-up that would be the metric itself does not count twice", "[sent]") {
    CloudWatchConfig config;
    config.include = {"system.memory.limit"};
    config.rollups = {{{"*"}, {"host"}, std::nullopt, false}};
    Fleet fleet(config);
    fleet.host("w1", {}, {{"system.memory.limit", {}}});
    fleet.seconds(90, [](std::size_t, std::size_t, int) { return 1.0; });
    CHECK(fleet.metrics["system.memory.limit host=w1"][0].count == 60);
}

TEST_CASE("under cwagent's names a counter is sent as its growth, none of it lost", "[sent]") {
    CloudWatchConfig config;
    config.naming = CloudWatchNaming::cwagent;
    config.space = "CWAgent";
    config.include = {"net_*", "diskio_*_time"};
    config.rollups = {{{"net_bytes_recv"}, {}, Names{}, false}};
    Fleet fleet(config);
    const std::vector<SeriesDescriptor> series = {
        {"system.network.io", {{"direction", "receive"}, {"interface", "eth0"}}},
        {"system.network.io", {{"direction", "transmit"}, {"interface", "eth0"}}},
        {"system.disk.operation_time",
         {{"device", "nvme0n1"}, {"direction", "read"}, {"volume", "vol-1"}}}};
    fleet.host("w1", {}, series);
    fleet.host("w2", {}, series);
    fleet.seconds(250, [](std::size_t host, std::size_t s, int second) {
        if (s == 1) return second < 130 ? 5000.0 + second : second - 130.0;  // starts anew
        if (s == 2) return second * 0.25;
        return 1e9 + static_cast<double>(host + 1) * 7 * second;
    });
    CHECK(fleet.space == "CWAgent");
    CHECK(fleet.names() ==
          Names{"diskio_read_time host=w1 name=nvme0n1", "diskio_read_time host=w2 name=nvme0n1",
                "net_bytes_recv", "net_bytes_recv host=w1 interface=eth0",
                "net_bytes_recv host=w2 interface=eth0", "net_bytes_sent host=w1 interface=eth0",
                "net_bytes_sent host=w2 interface=eth0"});
    auto& received = fleet.metrics["net_bytes_recv host=w1 interface=eth0"];
    CHECK(received[0].sum == 59 * 7);  // the very first sample has nothing before it
    CHECK(received[60].sum == 60 * 7);
    CHECK(received[120].sum == 60 * 7);
    CHECK(received[120].unit == "Bytes");
    CHECK(fleet.metrics["net_bytes_recv"][60].sum == 60 * (7 + 14));
    auto& sent = fleet.metrics["net_bytes_sent host=w1 interface=eth0"];
    CHECK(sent[60].sum == 60);
    CHECK(sent[120].sum == 59);  // but for what was counted and lost when it started anew
    CHECK(fleet.metrics["diskio_read_time host=w2 name=nvme0n1"][60].sum == 15'000);
    CHECK(fleet.metrics["diskio_read_time host=w2 name=nvme0n1"][60].unit == "Milliseconds");
    CHECK(fleet.refused(Refusal::no_growth) == 6);
}

TEST_CASE("what has no name of cwagent's is counted, what is not asked for is not", "[sent]") {
    CloudWatchConfig config;
    config.naming = CloudWatchNaming::cwagent;
    config.include = {"system.cpu.*"};
    Fleet fleet(config);
    fleet.host("w1", {},
               {{"system.cpu.context_switches", {}},
                {"system.cpu.utilization", {{"mode", "idle"}}},
                {"system.cpu.utilization", {{"state", "used"}}},
                {"system.memory.oom_kills", {}}});
    fleet.seconds(90, [](std::size_t, std::size_t s, int) { return s == 1 ? 0.25 : 1.0; });
    CHECK(fleet.names() ==
          Names{"cpu_usage_active cpu=cpu-total host=w1", "cpu_usage_idle cpu=cpu-total host=w1"});
    CHECK(fleet.metrics["cpu_usage_active cpu=cpu-total host=w1"][0].max == 75);
    CHECK(fleet.metrics["cpu_usage_idle cpu=cpu-total host=w1"][0].max == 25);
    CHECK(fleet.refused(Refusal::no_cwagent_name) >= 60);
}

TEST_CASE("some metrics may be sent by the second", "[sent]") {
    CloudWatchConfig config;
    config.include = {"system.memory.*"};
    config.resolutions = {{{"system.memory.utilization"}, 1s}};
    Fleet fleet(config);
    fleet.host("w1", {},
               {{"system.memory.utilization", {{"state", "used"}}}, {"system.memory.limit", {}}});
    fleet.seconds(90, [](std::size_t, std::size_t, int second) { return second * 1.0; });
    auto& fine = fleet.metrics["system.memory.utilization host=w1 state=used"];
    CHECK(fine.size() == 60);
    CHECK(fine[17].sum == 17);
    CHECK(fine[17].high_resolution);
    auto& coarse = fleet.metrics["system.memory.limit host=w1"];
    CHECK(coarse.size() == 1);
    CHECK(coarse[0].count == 60);
    CHECK_FALSE(coarse[0].high_resolution);
}
