#include "collector/cloudwatch/metrics_source.h"

#include <deque>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::int64_t kNow = 1'772'445'600;  // 2026-03-02T10:00:00Z

class Keys final : public CredentialsProvider {
  public:
    void fetch(CredentialsDone done) override { done(AwsCredentials{"AKID", "secret", "", {}}); }
    void invalidate() override { ++invalidated; }
    int invalidated = 0;
};

struct Story {
    explicit Story(const std::string& config = "alb = [\"app/a/1\"]") {
        auto document = ConfigDocument::parse("[[aws_metrics]]\nname = \"shop\"\n" + config, "t");
        ConfigTable root = document.root();
        entries = read_aws_metrics(root);
        REQUIRE(to_string(document.errors()) == "");
        begin();
    }

    void begin() {
        AwsMetricsSource::Callbacks callbacks;
        callbacks.append = [this](const auto&, const Schema& schema,
                                  const SampleBlock& block) -> Result<void> {
            if (log_full) return fail(Errc::io, "the disk is full");
            const SampleGroup& group = block.groups.at(0);
            for (std::size_t i = 0; i < group.series_count; ++i) {
                for (std::size_t t = 0; t < group.timestamps_ms.size(); ++t) {
                    if (!has_value(group.column(i)[t])) continue;
                    auto& series = log[to_string(schema.groups.at(0).series.at(i))];
                    const bool is_new =
                        series.emplace(group.timestamps_ms[t], group.column(i)[t]).second;
                    CHECK(is_new);  // each point once
                }
            }
            return {};
        };
        callbacks.stored = [this](const std::string& host, const SeriesDescriptor& series,
                                  std::int64_t from_ms, std::int64_t to_ms, const auto& visit) {
            CHECK(host == "aws/shop");
            for (const auto& [t, value] : log[to_string(series)])
                if (t >= from_ms && t <= to_ms) visit(t, value);
        };
        callbacks.on_trouble = [this](const std::string&, const std::string& why) {
            trouble = why;
        };
        std::vector<AwsMetricsTarget> targets;
        for (const AwsMetricsConfig& entry : entries)
            targets.push_back({entry, "eu-central-1", "http://a", "us-east-1", "http://b"});
        source.emplace(
            targets, http, keys, clock, [] { return 0.5; }, std::move(callbacks));
    }

    // What CloudWatch has; answers everything that waits.
    void serve() {
        source->poll();
        for (int i = 0; i < 100 && !http.waiting.empty(); ++i)
            http.answer(200, answer(json::parse(http.waiting.front().request.body)));
    }
    std::string answer(const json& request) {
        ++requests;
        last = request;
        json results = json::array();
        for (const json& query : request["MetricDataQueries"]) {
            json times = json::array();
            json values = json::array();
            const auto& points = data[query["MetricStat"]["Metric"]["MetricName"]];
            for (const auto& [t, v] : points) {
                if (t < request["StartTime"] || t >= request["EndTime"]) continue;
                times.push_back(t);
                values.push_back(v);
            }
            results.push_back({{"Id", query["Id"]},
                               {"Timestamps", times},
                               {"Values", values},
                               {"StatusCode", "Complete"}});
        }
        return json{{"MetricDataResults", results}}.dump();
    }
    std::map<std::int64_t, double>& logged(const std::string& metric, const std::string& stat) {
        return log["aws.applicationelb." + metric + R"({load_balancer="app/a/1",stat=")" + stat +
                   "\"}"];
    }
    AwsMetricsStats stats() { return source->stats().at("shop"); }

    test::ManualClock clock;
    test::FakeHttp http;
    Keys keys;
    std::vector<AwsMetricsConfig> entries;
    std::map<std::string, std::map<std::int64_t, double>> data;  // by metric; by begin (s)
    std::map<std::string, std::map<std::int64_t, double>> log;
    std::optional<AwsMetricsSource> source;
    std::string trouble = "not told";
    bool log_full = false;
    int requests = 0;
    json last;
};

}  // namespace

TEST_CASE("a point is a sample at the end of its period, once", "[aws-metrics]") {
    Story story;
    story.data["TargetResponseTime"] = {{kNow - 240, 0.2}, {kNow - 180, 0.3}};
    story.serve();
    CHECK(story.logged("target_response_time", "p95") ==
          std::map<std::int64_t, double>{{(kNow - 180) * 1000, 0.2}, {(kNow - 120) * 1000, 0.3}});
    CHECK(story.last["EndTime"] == kNow - 120);  // two minutes of delay
    CHECK(story.last["StartTime"] == kNow - 120 - 3 * 3600);
    CHECK(story.trouble == "");
    story.serve();
    CHECK(story.requests == 1);  // nothing is due

    story.data["TargetResponseTime"][kNow - 120] = 0.4;
    story.clock.advance(60s);
    story.serve();
    CHECK(story.requests == 2);
    CHECK(story.logged("target_response_time", "p95").size() == 3);
    CHECK(story.stats().samples == 3);
    CHECK(story.stats().samples_late == 0);
}

TEST_CASE("late data come in late; what is changed afterwards stays", "[aws-metrics]") {
    Story story;
    story.data["TargetResponseTime"] = {{kNow - 180, 0.3}};
    story.serve();
    story.clock.advance(5min);
    story.data["TargetResponseTime"][kNow - 240] = 0.2;
    story.data["TargetResponseTime"][kNow - 180] = 0.9;
    story.serve();
    const auto& logged = story.logged("target_response_time", "p95");
    CHECK(logged.at((kNow - 180) * 1000) == 0.2);
    CHECK(logged.at((kNow - 120) * 1000) == 0.3);
    CHECK(story.stats().samples_late == 1);
    CHECK(story.stats().samples_revised == 1);
    story.clock.advance(60s);
    story.serve();
    CHECK(story.stats().samples_revised == 1);
}

TEST_CASE("no errors are zero errors while requests were counted", "[aws-metrics]") {
    Story story;
    story.data["RequestCount"] = {{kNow - 240, 100}, {kNow - 180, 100}};
    story.data["HTTPCode_Target_5XX_Count"] = {{kNow - 180, 7}};
    story.serve();
    CHECK(story.logged("http_code_target_5xx_count", "sum") ==
          std::map<std::int64_t, double>{{(kNow - 180) * 1000, 0}, {(kNow - 120) * 1000, 7}});
    CHECK(story.logged("target_response_time", "p95").empty());
    CHECK(story.stats().series_empty == 1);
}

TEST_CASE("a restart asks again and takes only what the log has not", "[aws-metrics]") {
    Story story;
    for (std::int64_t t = kNow - 900; t < kNow + 3600; t += 60)
        story.data["RequestCount"][t] = static_cast<double>(t - kNow);
    story.serve();
    story.clock.advance(40min);
    story.begin();
    story.serve();
    // From what was read last, as far as late data may lie behind it.
    CHECK(story.last["StartTime"] == kNow - 120 - 900);
    CHECK(story.last["EndTime"] == kNow + 2400 - 120);
    CHECK(story.logged("request_count", "sum").size() == 15 - 2 + 40);
    story.clock.advance(24h);
    story.begin();
    story.serve();
    // The longest it goes back.
    const std::int64_t to = story.last["EndTime"];
    CHECK(story.last["StartTime"] == to - 3 * 3600);
}

TEST_CASE("what the disk lost is asked for again", "[aws-metrics]") {
    Story story;
    story.data["TargetResponseTime"] = {{kNow - 240, 0.2}};
    story.serve();
    story.source->on_sync_begun();
    story.source->on_durable();
    story.data["TargetResponseTime"][kNow - 180] = 0.3;
    story.clock.advance(60s);
    story.serve();
    REQUIRE(story.logged("target_response_time", "p95").size() == 2);
    story.source->on_sync_begun();
    story.source->on_sync_failed();
    story.logged("target_response_time", "p95").erase((kNow - 120) * 1000);
    story.clock.advance(60s);
    story.serve();
    CHECK(story.logged("target_response_time", "p95").size() == 2);
}

TEST_CASE("a log that takes nothing takes it later", "[aws-metrics]") {
    Story story;
    story.data["TargetResponseTime"] = {{kNow - 240, 0.2}};
    story.log_full = true;
    story.serve();
    CHECK(story.stats().last_error == "the disk is full");
    story.log_full = false;
    story.clock.advance(61s);
    story.serve();
    CHECK(story.logged("target_response_time", "p95").size() == 1);
}

TEST_CASE("queries go 500 to a request, by region", "[aws-metrics]") {
    std::string ids;
    for (int i = 0; i < 100; ++i)
        ids += (i == 0 ? "\"db" : ", \"db") + std::to_string(i) + "\"";
    Story story("rds = [" + ids + "]\ncloudfront = [\"E1\"]");
    story.source->poll();
    std::vector<std::pair<std::string, std::size_t>> asked;
    while (!story.http.waiting.empty()) {
        const HttpRequest& request = story.http.waiting.front().request;
        const json body = json::parse(request.body);
        std::string scope;
        for (const HttpHeader& header : request.headers) {
            if (header.name == "Authorization")
                scope = header.value.find("/us-east-1/") != std::string::npos ? "us" : "eu";
        }
        asked.emplace_back(request.url + " " + scope, body["MetricDataQueries"].size());
        story.http.answer(200, story.answer(body));
    }
    CHECK(asked == std::vector<std::pair<std::string, std::size_t>>{
                       {"http://a/ eu", 500}, {"http://a/ eu", 100}, {"http://b/ us", 3}});
    CHECK(story.stats().metrics_asked == 603);
}

TEST_CASE("a denied action is told at once, with the permission it needs", "[aws-metrics]") {
    Story story;
    story.source->poll();
    story.http.answer(400, R"({"__type":"x#AccessDeniedException","message":"no"})");
    CHECK(story.trouble ==
          "AccessDeniedException: no. Allow cloudwatch:GetMetricData in the IAM policy of its "
          "keys");
    CHECK(story.keys.invalidated == 1);
    CHECK(story.stats().failing);
    story.serve();
    CHECK(story.requests == 0);  // a minute's pause
    story.clock.advance(2min);
    story.serve();
    CHECK(story.requests == 1);
    CHECK(story.trouble == "");
}

TEST_CASE("throttling and silence pass by themselves, and are told if they do not",
          "[aws-metrics]") {
    Story story;
    for (int i = 0; i < 3; ++i) {
        CHECK(story.trouble == "not told");
        story.source->poll();
        if (i == 1) {
            story.http.fail_with(Errc::unavailable);
        } else {
            story.http.answer(400, R"({"__type":"ThrottlingException","message":"Rate exceeded"})");
        }
        story.clock.advance(10s);
    }
    CHECK(story.trouble.find("quota for GetMetricData is used up") != std::string::npos);
}

TEST_CASE("expired keys are fetched anew and the call repeated at once", "[aws-metrics]") {
    Story story;
    story.source->poll();
    story.http.answer(400, R"({"__type":"ExpiredTokenException","message":"old"})");
    REQUIRE(story.http.waiting.size() == 1);
    CHECK(story.keys.invalidated == 1);
    story.http.answer(400, R"({"__type":"ExpiredTokenException","message":"old"})");
    CHECK(story.http.waiting.empty());
    CHECK(story.trouble.find("ExpiredTokenException") == 0);
}
