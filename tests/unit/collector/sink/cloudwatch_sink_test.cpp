#include "collector/sink/cloudwatch_sink.h"

#include <map>
#include <numeric>

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

nlohmann::json datums_of(const HttpRequest& request) {
    bool packed = false;
    for (const HttpHeader& header : request.headers)
        packed = packed || header.value == "gzip";
    return nlohmann::json::parse(packed ? test::gunzip(request.body) : request.body)["MetricData"];
}

// Adds up what arrives, as CloudWatch does: a repeated datum counts twice.
struct Account {
    std::map<std::pair<std::string, std::int64_t>, std::pair<double, double>> sums;  // count, sum
    std::size_t datums = 0;

    void take(const HttpRequest& request) {
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
        limits.request.datums_max = 10;
        reopen();
    }

    void reopen() {
        sink.reset();
        http.waiting.clear();
        auto opened = CloudWatchSink::open(
            config, {"http://127.0.0.1:1", "eu-central-1"}, dir.path() / "cursor",
            [this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
                return log.open(from);
            },
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
        account.take(http.waiting.front().request);
        http.answer(200, "{}");
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
        for (const HttpHeader& header : http.waiting.at(0).request.headers)
            if (header.name == name) return header.value;
        return "";
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
    bench.limits.samples_per_flush_max = 1'000;
    bench.limits.samples_per_poll_max = 100;
    bench.reopen();
    bench.minutes(30);
    bench.clock.advance(80s);
    for (int i = 0; i < 200; ++i)
        bench.serve();
    CHECK(bench.sink->stats().flushes > 5);
    CHECK(bench.account.samples() == static_cast<double>(bench.samples));
}

TEST_CASE("a crash at any step repeats at most what was in flight", "[cloudwatch-sink]") {
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
            const std::size_t unanswered = std::min(arrived, bench.http.waiting.size());
            for (std::size_t i = 0; i < unanswered; ++i)
                bench.account.take(bench.http.waiting[i].request);
            const std::size_t before = bench.account.datums;
            std::size_t repeats = 0;
            for (std::size_t i = 0; i < unanswered; ++i)
                repeats += datums_of(bench.http.waiting[i].request).size();

            bench.reopen();
            bench.clock.advance(5s);
            bench.serve();
            CHECK(bench.account.sums.size() == 45);
            CHECK(bench.account.datums == 45 + repeats);
            CHECK(bench.account.datums - before <= 45);
            CHECK(bench.sink->stats().flushes_repeated == 0);
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
    bench.serve();
    CHECK(bench.account.sums.size() == 45);
    CHECK(bench.account.datums == 55);
}

TEST_CASE("changed settings after a crash send the flush again, whole", "[cloudwatch-sink]") {
    Bench bench(45);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    bench.accept();
    bench.config.dimensions = {"tag.role"};
    bench.reopen();
    bench.serve();
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
        bench.http.fail_with(Errc::unavailable);
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

TEST_CASE("throttling leaves one request at a time, until it is over", "[cloudwatch-sink]") {
    Bench bench(100);
    bench.minutes(1);
    bench.clock.advance(20s);
    bench.fill();
    REQUIRE(bench.http.waiting.size() == 4);
    for (int i = 0; i < 4; ++i)
        bench.refuse(400, "ThrottlingException");
    bench.clock.advance(2s);
    bench.fill();
    CHECK(bench.http.waiting.size() == 1);
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
    bench.limits.searches_per_flush_max = 20;
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
                      {kStart + 2h + 30s, {1}},
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
        [&](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
            return bench.log.open(from);
        },
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
