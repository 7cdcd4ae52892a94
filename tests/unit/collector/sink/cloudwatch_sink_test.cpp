#include "collector/sink/cloudwatch_sink.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include <nlohmann/json.hpp>

#include "collector/sink/cursor.h"
#include "common/base/file.h"
#include "fake_log.h"
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

class StaticCredentials final : public CredentialsProvider {
  public:
    void fetch(CredentialsDone done) override {
        if (fails) {
            done(fail(Errc::not_found, "no AWS credentials"));
        } else {
            done(AwsCredentials{"AKID", "secret", "", {}});
        }
    }
    void invalidate() override { ++invalidated; }
    bool fails = false;
    int invalidated = 0;
};

std::string header_of(const HttpRequest& request, const std::string& name) {
    for (const HttpHeader& header : request.headers)
        if (header.name == name) return header.value;
    return "";
}

bool is_read_back(const HttpRequest& request) {
    return header_of(request, "X-Amz-Target").ends_with(".GetMetricStatistics");
}

nlohmann::json body_of(const HttpRequest& request) {
    const bool packed = header_of(request, "Content-Encoding") == "gzip";
    return nlohmann::json::parse(packed ? test::gunzip(request.body) : request.body);
}

bool is_marker(const nlohmann::json& datum) {
    return datum["MetricName"] == "ridgeline.cloudwatch.request";
}

// Without the marker.
nlohmann::json datums_of(const HttpRequest& request) {
    auto datums = nlohmann::json::array();
    const auto body = body_of(request);
    for (const auto& datum : body["MetricData"])
        if (!is_marker(datum)) datums.push_back(datum);
    return datums;
}

// Adds up what arrives, as CloudWatch does: a repeated datum counts twice.
struct Account {
    std::map<std::pair<std::string, std::int64_t>, std::pair<double, double>> sums;  // count, sum
    std::size_t datums = 0;
    std::map<std::int64_t, std::pair<double, double>> markers;  // second: SampleCount, Maximum

    void take(const HttpRequest& request) {
        const auto body = body_of(request);
        for (const auto& datum : body["MetricData"]) {
            if (!is_marker(datum)) continue;
            auto& [count, maximum] = markers[datum["Timestamp"].get<std::int64_t>()];
            count += datum["StatisticValues"]["SampleCount"].get<double>();
            maximum = std::max(maximum, datum["StatisticValues"]["Maximum"].get<double>());
        }
        for (const auto& datum : datums_of(request)) {
            auto& [count, sum] =
                sums[{datum["MetricName"].get<std::string>() + datum["Dimensions"].dump(),
                      datum["Timestamp"].get<std::int64_t>()}];
            ++datums;
            if (datum.contains("Value")) {
                count += 1;
                sum += datum["Value"].get<double>();
            } else if (datum.contains("Values")) {
                const auto& values = datum["Values"];
                for (std::size_t i = 0; i < values.size(); ++i) {
                    const double n =
                        datum.contains("Counts") ? datum["Counts"][i].get<double>() : 1;
                    count += n;
                    sum += n * values[i].get<double>();
                }
            } else {
                count += datum["StatisticValues"]["SampleCount"].get<double>();
                sum += datum["StatisticValues"]["Sum"].get<double>();
            }
        }
    }
    // GetMetricStatistics of the markers.
    std::string read(const HttpRequest& request) const {
        const auto query = body_of(request);
        const auto period = query["Period"].get<std::int64_t>();
        std::map<std::int64_t, std::pair<double, double>> points;
        for (const auto& [second, marker] : markers) {
            if (second < query["StartTime"].get<std::int64_t>() ||
                second >= query["EndTime"].get<std::int64_t>())
                continue;
            auto& [count, maximum] = points[second / period * period];
            count += marker.first;
            maximum = std::max(maximum, marker.second);
        }
        auto list = nlohmann::json::array();
        for (const auto& [at, point] : points)
            list.push_back({{"Timestamp", static_cast<double>(at)},
                            {"SampleCount", point.first},
                            {"Maximum", point.second},
                            {"Unit", "None"}});
        return nlohmann::json{{"Label", "x"}, {"Datapoints", list}}.dump();
    }
    double samples() const {
        return std::accumulate(sums.begin(), sums.end(), 0.0,
                               [](double all, const auto& one) { return all + one.second.first; });
    }
};

// A log of 10-second batches sampled every second, and a sink that reads it.
struct Bench {
    static test::FakeLog::Series interfaces(std::size_t count) {
        test::FakeLog::Series series;
        for (std::size_t i = 0; i < count; ++i)
            series.push_back(
                {"system.network.utilization", {{"interface", "eth" + std::to_string(i)}}});
        return series;
    }

    explicit Bench(std::size_t series_count = 1)
        : count(series_count), log(interfaces(series_count)) {
        limits.request.datums_max = 11;  // ten, and the marker
        limits.requests_in_flight_max = 4;
        limits.requests_per_second_max = 1e9;
        limits.backlog_requests_per_second = 1e9;
        reopen();
    }

    void reopen() {
        sink.reset();
        http.waiting.clear();
        auto opened = CloudWatchSink::open(
            config, {"http://127.0.0.1:1", "eu-central-1"}, dir.path() / "cursor",
            {[this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
                 return log.open(from);
             },
             [this] { return log.end(); }},
            http, credentials, clock, [] { return 0.5; }, limits);
        REQUIRE(opened);
        sink = std::move(*opened);
    }

    // The agent's next batch, arriving when its last sample was taken.
    void batch() {
        std::vector<test::FakeLog::Row> rows;
        for (int i = 0; i < 10; ++i) {
            clock.advance(1s);
            rows.push_back({clock.wall_now() - 1s, std::vector<double>(count, 0.25)});
            samples += count;
        }
        log.append(rows);
    }
    void minutes(int n) {
        for (int i = 0; i < n * 6; ++i)
            batch();
    }

    // Everything the sink has to say now is taken in by AWS.
    void serve() {
        for (int i = 0; i < 1000; ++i) {
            sink->poll();
            if (http.waiting.empty()) return;
            accept();
        }
        FAIL("the sink never comes to rest");
    }
    void accept() {
        const HttpRequest& request = http.waiting.front().request;
        if (is_read_back(request)) {
            http.answer(200, account.read(request));
            return;
        }
        account.take(request);
        http.answer(200, "{}");
    }
    // Until every lost answer is settled.
    void serve_for(std::chrono::seconds time) {
        for (auto t = 0s; t < time; t += 1s) {
            serve();
            clock.advance(1s);
        }
        serve();
    }
    std::uint64_t lost_by(LostAnswer outcome) const {
        return sink->stats().lost_answers[static_cast<std::size_t>(outcome)];
    }
    // As many requests as the sink allows itself.
    void fill() {
        for (int i = 0; i < 10; ++i)
            sink->poll();
    }
    void refuse(int status, const std::string& code, const std::string& message = "why") {
        http.answer(status, R"({"__type":"x#)" + code + R"(","message":")" + message + "\"}");
    }
    std::string header_of_oldest(const std::string& name) const {
        return header_of(http.waiting.at(0).request, name);
    }
    std::uint64_t refused_by(Refusal refusal) const {
        return sink->stats().samples_refused[static_cast<std::size_t>(refusal)];
    }

    std::size_t count;
    test::TempDir dir;
    test::ManualClock clock{kStart};
    test::FakeLog log;
    test::FakeHttp http;
    StaticCredentials credentials;
    CloudWatchConfig config;
    CloudWatchLimits limits;
    std::unique_ptr<CloudWatchSink> sink;
    Account account;
    std::uint64_t samples = 0;
};

}  // namespace

TEST_CASE("each period becomes one datum a series, after its end", "[cloudwatch-sink]") {
    Bench bench(3);
    for (int i = 0; i < 3 * 6; ++i) {
        bench.batch();
        bench.serve();
    }
    bench.clock.advance(20s);
    bench.serve();
    CHECK(bench.account.datums == 9);  // not one period was split
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    for (const auto& [key, value] : bench.account.sums) {
        CHECK(value.first == 60);
        CHECK(value.second == 15);
    }
    CHECK(bench.sink->stats().samples_sent == bench.samples);
    CHECK(bench.sink->stats().flushed_until == kStart + 3min);
    CHECK(bench.sink->stats().samples_pending == 0);
}

TEST_CASE("the unfinished period waits in the log, over a restart too", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.batch();
    bench.batch();
    bench.serve();  // 10:01:20: the first minute goes
    CHECK(bench.account.samples() == 60);
    CHECK(bench.sink->needed_from() == 600);  // the record with 10:01:00 is still needed
    bench.reopen();
    bench.serve();
    CHECK(bench.account.samples() == 60);
    for (int i = 0; i < 6; ++i)
        bench.batch();
    bench.serve();  // 10:02:20
    CHECK(bench.account.samples() == 120);
    CHECK(bench.account.datums == 2);
}

TEST_CASE("late samples go with the next flush and add to their period", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(2);
    bench.clock.advance(20s);
    bench.serve();
    bench.log.append({{kStart + 5s, {0.5}}});
    bench.minutes(1);
    bench.serve();
    const auto& first = bench.account.sums.begin()->second;
    CHECK(first.first == 61);
    CHECK(first.second == 15.5);
}

TEST_CASE("a host whose clock is ahead is counted once", "[cloudwatch-sink]") {
    // One sample at each offset ahead of the collector's clock, each minute.
    Bench bench;
    bench.clock.advance(20s);
    double expected = 0;
    for (int minute = 0; minute < 8; ++minute) {
        for (const auto ahead : {0s, 30s, 59s, 61s, 75s, 90s, 130s, 3600s}) {
            bench.log.append({{bench.clock.wall_now() + ahead, {1}}});
            ++expected;
        }
        bench.clock.advance(60s);
        bench.serve();
        bench.reopen();
    }
    bench.clock.advance(10min);
    bench.serve();
    bench.clock.advance(10min);
    bench.serve();
    CHECK(bench.account.samples() == expected);
}

TEST_CASE("a collector's clock that is set back loses and doubles nothing", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(3);
    bench.clock.advance(20s);
    bench.serve();
    bench.clock.step_wall(-90s);
    bench.minutes(2);
    bench.serve();
    bench.clock.step_wall(10min);
    bench.minutes(2);
    bench.serve();
    bench.clock.advance(90s);
    bench.serve();
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
}

TEST_CASE("a backlog is worked off in pieces, exactly", "[cloudwatch-sink]") {
    Bench bench(4);
    bench.limits.datums_per_flush_max = 20;
    bench.limits.samples_per_poll_max = 100;
    bench.reopen();
    bench.minutes(30);
    bench.clock.advance(80s);
    for (int i = 0; i < 200; ++i)
        bench.serve();
    CHECK(bench.sink->stats().flushes > 5);
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
}

TEST_CASE("a crash at any step repeats nothing that had arrived", "[cloudwatch-sink]") {
    for (int accepted = 0; accepted <= 5; ++accepted) {
        // Of the requests in flight, some had reached AWS when the collector died.
        for (std::size_t arrived = 0; arrived <= 4; ++arrived) {
            INFO(accepted << " answered, " << arrived << " arrived");
            Bench bench(45);  // five requests
            bench.minutes(1);
            bench.clock.advance(20s);
            bench.fill();
            REQUIRE(bench.http.waiting.size() == 4);
            for (int i = 0; i < accepted; ++i) {
                bench.accept();
                bench.fill();
            }
            const std::size_t in_flight = bench.http.waiting.size();
            const std::size_t unanswered = std::min(arrived, in_flight);
            for (std::size_t i = 0; i < unanswered; ++i)
                bench.account.take(bench.http.waiting[i].request);

            bench.reopen();
            CHECK(bench.sink->stats().doubtful == in_flight);
            bench.serve_for(400s);
            CHECK(bench.account.sums.size() == 45);
            CHECK(bench.account.datums == 45);
            CHECK(bench.sink->stats().flushes_repeated == 0);
            CHECK(bench.lost_by(LostAnswer::confirmed) == unanswered);
            CHECK(bench.lost_by(LostAnswer::sent_again) == in_flight - unanswered);
            CHECK(bench.sink->stats().doubtful == 0);
        }
    }
}

TEST_CASE("out-of-order answers leave exactly the missing datums", "[cloudwatch-sink]") {
    Bench bench(45);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 4);
    auto first = bench.http.take();
    bench.accept();  // the second
    bench.accept();  // the third
    bench.account.take(first.request);
    bench.reopen();  // the first one's answer was lost
    bench.serve_for(400s);
    CHECK(bench.account.sums.size() == 45);
    CHECK(bench.account.datums == 45);
}

TEST_CASE("a lost answer is read back: what arrived is not sent again", "[cloudwatch-sink]") {
    const bool arrived = GENERATE(true, false);
    const bool server_error = GENERATE(true, false);
    INFO(arrived << server_error);
    Bench bench(20);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 2);
    if (arrived) bench.account.take(bench.http.waiting.front().request);
    if (server_error) {
        bench.refuse(500, "InternalServiceFault");
    } else {
        bench.http.fail_with(Errc::unavailable);
    }
    bench.accept();
    CHECK(bench.sink->stats().doubtful == 1);
    bench.serve_for(100s);
    CHECK(bench.account.datums == (arrived ? 20 : 10));  // not before CloudWatch would show it
    bench.serve_for(100s);
    CHECK(bench.account.datums == 20);
    CHECK(bench.account.sums.size() == 20);
    CHECK(bench.lost_by(LostAnswer::confirmed) == (arrived ? 1 : 0));
    CHECK(bench.lost_by(LostAnswer::sent_again) == (arrived ? 0 : 1));
    CHECK(bench.sink->stats().read_backs < 15);
    CHECK(bench.sink->stats().datums_sent == 20);
    CHECK(bench.sink->stats().samples_sent == bench.samples);
    CHECK(bench.sink->stats().doubtful == 0);
}

TEST_CASE("after a lost answer nothing else is risked before AWS answers", "[cloudwatch-sink]") {
    Bench bench(100);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 4);
    for (int i = 0; i < 4; ++i)
        bench.http.fail_with(Errc::unavailable);
    for (int minute = 0; minute < 30; ++minute) {  // an outage that swallows everything
        bench.clock.advance(60s);
        bench.fill();
        while (!bench.http.waiting.empty()) {
            CHECK(is_read_back(bench.http.waiting.front().request));
            bench.http.fail_with(Errc::unavailable);
        }
        CHECK(bench.sink->stats().doubtful == 4);
    }
    bench.serve_for(300s);
    CHECK(bench.account.sums.size() == 100);
    CHECK(bench.account.datums == 100);
}

TEST_CASE("a lost answer that is asked about hours later is still settled", "[cloudwatch-sink]") {
    // Beyond three hours, CloudWatch has only minutes.
    const auto later = GENERATE(2h, 5h, 100h, 400h);
    INFO(later.count());
    Bench bench(20);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    bench.account.take(bench.http.waiting.front().request);
    bench.reopen();
    bench.clock.advance(later);
    bench.serve_for(100s);
    // Within two weeks it is known that one had arrived; beyond, neither could be sent again
    // anyway.
    CHECK(bench.account.datums == (later < 300h ? 20 : 10));
    CHECK(bench.lost_by(LostAnswer::confirmed) == (later < 300h ? 1 : 0));
    CHECK(bench.lost_by(LostAnswer::unverified) == (later < 300h ? 0 : 2));
    CHECK(bench.refused_by(Refusal::too_old) == (later < 300h ? 0 : 20 * 60));
    CHECK(bench.sink->stats().doubtful == 0);
}

TEST_CASE("reading back that is not allowed costs exactness, not data", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    bench.account.take(bench.http.waiting.front().request);
    bench.http.fail_with(Errc::unavailable);
    bench.clock.advance(3s);
    bench.fill();
    REQUIRE(is_read_back(bench.http.waiting.front().request));
    bench.refuse(400, "AccessDeniedException", "no");
    CHECK(bench.sink->stats().last_error.find("cloudwatch:GetMetricStatistics") !=
          std::string::npos);
    bench.serve_for(5s);
    CHECK(bench.account.datums == 2);
    CHECK(bench.lost_by(LostAnswer::unverified) == 1);
}

TEST_CASE("a budget may refuse the marker, too", "[cloudwatch-sink]") {
    Bench bench;
    bench.limits.admit = [](const MetricIdentity& metric) { return metric.name[0] != 'r'; };
    bench.reopen();
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    CHECK(body_of(bench.http.waiting.front().request)["MetricData"].size() == 1);
    if (GENERATE(true, false)) {
        bench.http.fail_with(Errc::unavailable);
    } else {
        bench.reopen();
    }
    bench.serve_for(5s);
    CHECK(bench.account.datums == 1);
    CHECK(bench.lost_by(LostAnswer::unverified) == 1);
}

TEST_CASE("on_ambiguous decides what a lost answer means", "[cloudwatch-sink]") {
    const bool drop = GENERATE(true, false);
    Bench bench;
    bench.config.on_ambiguous = drop ? OnAmbiguous::drop : OnAmbiguous::resend;
    bench.reopen();
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    CHECK(body_of(bench.http.waiting.front().request)["MetricData"].size() == 1);  // no marker
    bench.http.fail_with(Errc::unavailable);
    bench.serve_for(5s);
    CHECK(bench.account.datums == (drop ? 0 : 1));
    CHECK(bench.lost_by(LostAnswer::dropped) == (drop ? 1 : 0));
    CHECK(bench.lost_by(LostAnswer::resent) == (drop ? 0 : 1));
    CHECK(bench.sink->stats().samples_dropped == (drop ? 60 : 0));
    CHECK(bench.sink->stats().stretches == 0);
}

TEST_CASE("live data go before the backlog, which drains at its rate", "[cloudwatch-sink]") {
    Bench bench(20);  // two requests a minute
    bench.limits.backlog_requests_per_second = 2;
    bench.limits.datums_in_memory_max = 100;  // five minutes
    bench.limits.datums_per_flush_max = 200;
    bench.reopen();
    for (int batch = 0; batch < 180 * 6; ++batch) {  // AWS cannot be reached
        bench.batch();
        bench.fill();
        while (!bench.http.waiting.empty())
            bench.http.refuse_connection();
        CHECK(bench.sink->stats().stretches <= 10);
        CHECK(bench.sink->stats().samples_pending <= (100 + 20) * 60);
    }
    bench.clock.advance(20s);
    std::vector<std::int64_t> order;
    std::map<int, int> by_second;
    for (int second = 0; second < 400; ++second) {
        for (int i = 0; i < 100; ++i) {
            bench.sink->poll();
            if (bench.http.waiting.empty()) break;
            const auto datum = datums_of(bench.http.waiting.front().request)[0];
            order.push_back(datum["Timestamp"].get<std::int64_t>());
            ++by_second[second];
            bench.accept();
        }
        bench.clock.advance(1s);
    }
    const auto unix_s = [](WallTime t) { return t.time_since_epoch() / 1s; };
    REQUIRE(order.size() >= 360);
    CHECK(order.front() == unix_s(kStart + 179min));
    // The last minutes are in memory, and live; then comes the oldest.
    const auto oldest = std::find(order.begin(), order.end(), unix_s(kStart));
    REQUIRE(oldest != order.end());
    CHECK(oldest - order.begin() <= 24);
    for (auto at = oldest; at != order.end(); ++at)  // in stretches of ten minutes
        CHECK(*at >= *std::max_element(oldest, at + 1) - 600);
    for (const auto& [second, requests] : by_second)
        CHECK((second < 20 || requests <= 3));
    CHECK(bench.account.sums.size() == 20 * 180);
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    CHECK(bench.account.datums == 20 * 180);
    CHECK(bench.sink->stats().backlog_datums_sent > 20 * 150);
    CHECK(bench.sink->stats().stretches == 0);
}

TEST_CASE("a start far behind the log's end leaves the gap to the backlog", "[cloudwatch-sink]") {
    Bench bench(2);
    bench.minutes(2);
    bench.clock.advance(20s);
    bench.serve();
    bench.sink.reset();
    bench.minutes(60);  // switched off, or down while others wrote the log
    bench.limits.bytes_behind_max = 1'000;
    bench.reopen();
    CHECK(bench.sink->stats().stretches == 1);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE_FALSE(bench.http.waiting.empty());
    CHECK(datums_of(bench.http.waiting.front().request)[0]["Timestamp"].get<std::int64_t>() ==
          (bench.clock.wall_now() - 80s).time_since_epoch() / 1min * 60);
    bench.serve_for(100s);
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    CHECK(bench.sink->needed_from() == bench.log.end());
}

TEST_CASE("an outage with crashes in it loses and doubles nothing", "[cloudwatch-sink]") {
    std::mt19937 random(GENERATE(1, 2, 3));
    Bench bench(15);
    bench.limits.datums_in_memory_max = 40;
    bench.limits.samples_per_flush_max = 5'000;
    bench.limits.samples_per_poll_max = 700;
    bench.reopen();
    for (int batch = 0; batch < 6 * 60; ++batch) {
        bench.batch();
        const bool down = (batch / 60) % 2 == 1;
        for (int i = 0; i < 12; ++i) {
            bench.sink->poll();
            if (bench.http.waiting.empty()) continue;
            const auto dice = random() % 20;
            if (down && dice < 16) {
                bench.http.refuse_connection();
            } else if (dice == 0) {
                if (!is_read_back(bench.http.waiting.front().request))
                    bench.account.take(bench.http.waiting.front().request);
                bench.http.fail_with(Errc::unavailable);
            } else if (dice == 1) {
                bench.http.fail_with(Errc::unavailable);
            } else if (dice == 2) {
                bench.refuse(503, "ServiceUnavailable");
            } else if (dice == 3) {
                bench.refuse(400, "ThrottlingException");
            } else if (dice == 4 && !is_read_back(bench.http.waiting.front().request)) {
                bench.refuse(413, "RequestEntityTooLarge");
            } else {
                bench.accept();
            }
        }
        if (random() % 40 == 0) {
            for (const auto& waiting : bench.http.waiting)
                if (random() % 2 == 0 && !is_read_back(waiting.request))
                    bench.account.take(waiting.request);
            bench.reopen();
        }
    }
    bench.clock.advance(80s);
    bench.serve_for(900s);
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    for (const auto& [key, value] : bench.account.sums)
        CHECK(value.first == 60);
    CHECK(bench.account.sums.size() == 15 * 60);
    CHECK(bench.sink->stats().flushes_repeated == 0);
    CHECK(bench.sink->stats().stretches == 0);
}

TEST_CASE("at the end, what was read is sent though its minute is not over", "[cloudwatch-sink]") {
    Bench bench(3);
    bench.minutes(1);
    bench.batch();
    bench.batch();
    bench.serve();
    CHECK(bench.account.samples() == 180);
    CHECK_FALSE(bench.sink->finished());
    bench.sink->finish();
    bench.serve();
    CHECK(bench.sink->finished());
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    bench.reopen();
    for (int i = 0; i < 4; ++i)
        bench.batch();
    bench.clock.advance(20s);
    bench.serve();
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
    for (const auto& [key, value] : bench.account.sums)
        CHECK(value.first == 60);
}

TEST_CASE("changed settings after a crash send the flush again, whole", "[cloudwatch-sink]") {
    Bench bench(45);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    bench.accept();
    bench.config.dimensions = {"tag.role"};
    bench.reopen();
    bench.serve_for(400s);
    CHECK(bench.sink->stats().flushes_repeated == 1);
    CHECK(bench.account.datums == 10 + 45);
}

TEST_CASE("records that fell off after a crash do not hide others", "[cloudwatch-sink]") {
    Bench bench(45);
    bench.minutes(2);
    bench.clock.advance(20s);
    bench.fill();
    bench.accept();
    bench.log.trim(6);  // the first minute
    bench.reopen();
    bench.serve();
    CHECK(bench.sink->stats().flushes_repeated == 1);
    std::size_t second_minute = 0;
    for (const auto& [key, value] : bench.account.sums)
        second_minute += key.second == (kStart + 1min).time_since_epoch() / 1s ? 1 : 0;
    CHECK(second_minute == 45);
}

TEST_CASE("a failed request is repeated after a growing pause", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    for (const auto pause : {375ms, 750ms, 1500ms, 3000ms, 6000ms, 12000ms, 15000ms, 15000ms}) {
        bench.http.refuse_connection();
        bench.clock.advance(pause - 1ms);
        bench.sink->poll();
        CHECK(bench.http.waiting.empty());
        bench.clock.advance(1ms);
        bench.sink->poll();
        REQUIRE(bench.http.waiting.size() == 1);
    }
    CHECK(bench.sink->stats().request_errors == 8);
    bench.serve();
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
}

TEST_CASE("throttling halves what goes at once, successes bring it back", "[cloudwatch-sink]") {
    Bench bench(100);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 4);
    for (int i = 0; i < 4; ++i)
        bench.refuse(400, "ThrottlingException");
    bench.clock.advance(2s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 2);
    for (int i = 0; i < 2; ++i)
        bench.refuse(400, "ThrottlingException");
    bench.clock.advance(4s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 1);
    bench.accept();
    bench.fill();
    CHECK(bench.http.waiting.size() == 2);
    bench.serve();
    CHECK(bench.account.datums == 100);
}

TEST_CASE("an expired token is replaced and the request sent again", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.refuse(400, "ExpiredTokenException");
    CHECK(bench.credentials.invalidated == 1);
    bench.clock.advance(1s);
    bench.serve();
    CHECK(bench.account.datums == 1);
}

TEST_CASE("denied data waits for an operator", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.refuse(400, "AccessDeniedException", "not authorized");
    bench.clock.advance(29s);
    bench.sink->poll();
    CHECK(bench.http.waiting.empty());
    CHECK(bench.sink->stats().last_error == "AccessDeniedException: not authorized");
    bench.clock.advance(31s);
    bench.serve();
    CHECK(bench.account.datums == 1);
}

TEST_CASE("a wrong clock is corrected by the answer's Date", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    const std::string body = R"({"__type":"x#InvalidSignatureException","message":"expired"})";
    bench.http.answer(400, body, {{"date", "Mon, 02 Mar 2026 12:01:20 GMT"}});
    REQUIRE(bench.http.waiting.size() == 1);  // at once
    CHECK(bench.sink->stats().clock_offset == 2h);
    CHECK(bench.header_of_oldest("X-Amz-Date") == "20260302T120120Z");
    // Refused again by the same clock, it is the keys that are wrong.
    bench.http.answer(400, body, {{"date", "Mon, 02 Mar 2026 12:01:20 GMT"}});
    CHECK(bench.http.waiting.empty());
}

TEST_CASE("a clock that is set right after AWS corrected it drops nothing", "[cloudwatch-sink]") {
    // Fifteen days behind: AWS's time by the old offset would put all that comes out of its window.
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.http.answer(400, R"({"__type":"x#InvalidSignatureException","message":"expired"})",
                      {{"date", "Tue, 17 Mar 2026 10:01:20 GMT"}});
    CHECK(bench.sink->stats().clock_offset == 24h * 15);
    bench.serve();  // its samples are from before
    bench.clock.step_wall(24h * 15);
    const double before = bench.account.samples();
    bench.sink->poll();
    CHECK(bench.sink->stats().clock_offset == 0h);
    const auto refused = bench.refused_by(Refusal::too_old);
    for (int minute = 0; minute < 3; ++minute) {
        bench.minutes(1);
        bench.serve();
    }
    bench.clock.advance(60s);  // its last minute is over
    bench.serve();
    CHECK(bench.refused_by(Refusal::too_old) == refused);
    CHECK(bench.account.samples() - before == 180);
}

TEST_CASE("a proxy's time is not AWS's", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.http.answer(503, "<html>", {{"date", "Mon, 02 Mar 2026 12:01:20 GMT"}});
    CHECK(bench.sink->stats().clock_offset == 0h);
    bench.clock.advance(5s);
    bench.sink->poll();
    bench.http.answer(200, "{}",
                      {{"date", "Mon, 02 Mar 2026 12:01:25 GMT"}, {"x-amzn-requestid", "1-2-3"}});
    CHECK(bench.sink->stats().clock_offset == 2h);
}

TEST_CASE("a doubt is as old as the monotonic clock says", "[cloudwatch-sink]") {
    const auto step = GENERATE(-3600s, 3600s);
    INFO(step.count());
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.http.fail_with(Errc::unavailable);  // it had not arrived
    bench.clock.step_wall(step);
    bench.clock.advance(5s);
    bench.serve();
    CHECK(bench.account.datums == 0);  // read back, and too young to be sent again
    CHECK(bench.sink->stats().read_backs > 0);
    bench.serve_for(200s);
    CHECK(bench.account.datums == 1);
    CHECK(bench.lost_by(LostAnswer::sent_again) == 1);
}

TEST_CASE("missing credentials hold the data back", "[cloudwatch-sink]") {
    Bench bench;
    bench.credentials.fails = true;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.serve();
    CHECK(bench.sink->stats().credential_errors == 1);
    bench.credentials.fails = false;
    bench.clock.advance(1s);
    bench.serve();
    CHECK(bench.account.datums == 1);
}

TEST_CASE("a request too large is halved", "[cloudwatch-sink]") {
    Bench bench(10);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    bench.refuse(413, "RequestEntityTooLarge");
    REQUIRE(bench.http.waiting.size() == 1);
    CHECK(datums_of(bench.http.waiting[0].request).size() == 5);
    bench.serve();
    CHECK(bench.account.datums == 10);
    CHECK(bench.account.sums.size() == 10);
}

TEST_CASE("the one datum that AWS refuses is found and left out", "[cloudwatch-sink]") {
    const bool named = GENERATE(true, false);
    Bench bench(10);
    bench.minutes(1);
    bench.clock.advance(20s);
    for (int i = 0; i < 50; ++i) {
        bench.sink->poll();
        if (bench.http.waiting.empty()) break;
        const auto datums = datums_of(bench.http.waiting.front().request);
        std::size_t member = 0;
        for (std::size_t j = 0; j < datums.size(); ++j)
            if (datums[j].dump().find("eth7") != std::string::npos) member = j + 1;
        if (member == 0) {
            bench.accept();
        } else {
            bench.refuse(400, "InvalidParameterValue",
                         named ? "MetricData.member." + std::to_string(member) + ".Value" : "why");
        }
    }
    CHECK(bench.account.datums == 9);
    CHECK(bench.refused_by(Refusal::refused_by_aws) == 60);
    CHECK(bench.sink->stats().last_error.starts_with("InvalidParameterValue: "));
    CHECK(bench.sink->stats().samples_pending == 0);
    CHECK(bench.sink->stats().flushes == 1);
}

TEST_CASE("a request that is refused whole does not become a thousand", "[cloudwatch-sink]") {
    Bench bench(100);
    bench.limits.searches_max = 20;
    bench.reopen();
    bench.minutes(1);
    bench.clock.advance(20s);
    int requests = 0;
    for (bench.sink->poll(); !bench.http.waiting.empty(); bench.sink->poll(), ++requests)
        bench.refuse(400, "InvalidParameterCombination");
    CHECK(requests < 60);
    CHECK(bench.refused_by(Refusal::refused_by_aws) == bench.samples);
}

TEST_CASE("samples outside AWS's window are counted, not sent", "[cloudwatch-sink]") {
    Bench bench;
    bench.log.append({{kStart - 24h * 14 - 1s, {1}},
                      {kStart - 24h * 14 + 1min, {1}},
                      {kStart + 2h - 1s, {1}},
                      {kStart + 2h + 90s, {1}},
                      {kStart - 1min, {1e200}}});
    bench.clock.advance(20s);
    bench.serve();
    CHECK(bench.account.samples() == 2);
    CHECK(bench.refused_by(Refusal::too_old) == 1);
    CHECK(bench.refused_by(Refusal::too_new) == 1);
    CHECK(bench.refused_by(Refusal::value_range) == 1);
}

TEST_CASE("a damaged cursor is not guessed at", "[cloudwatch-sink]") {
    Bench bench;
    REQUIRE(write_file_atomic(bench.dir.path() / "cursor", "nonsense"));
    const auto opened = CloudWatchSink::open(
        bench.config, {"http://127.0.0.1:1", "eu-central-1"}, bench.dir.path() / "cursor",
        {[&](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
             return bench.log.open(from);
         },
         [&] { return bench.log.end(); }},
        bench.http, bench.credentials, bench.clock, [] { return 0.5; });
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Errc::corrupt);
}

TEST_CASE("a sink that is gone ignores late answers", "[cloudwatch-sink]") {
    Bench bench;
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.sink->poll();
    auto late = bench.http.take();
    bench.sink.reset();
    late.done(HttpResponse{200, {}, "{}"});
    SUCCEED();
}
