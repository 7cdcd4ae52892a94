// The sink through the real libcurl against an endpoint that recomputes every signature with AWS's
// own library.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/aws/curl_client.h"
#include "collector/aws/sigv4.h"
#include "collector/sink/cloudwatch_sink.h"
#include "common/net/uv.h"
#include "fake_log.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const Environment kKeys = {{"AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"},
                           {"AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
                           {"AWS_SESSION_TOKEN", "token/with+signs=="}};

// tests/support/cloudwatch_endpoint.py as a child, on a port of its own choice.
class Endpoint {
  public:
    explicit Endpoint(std::vector<std::string> arguments) {
        int out[2];
        REQUIRE(::pipe(out) == 0);
        child_ = ::fork();
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            ::dup2(out[1], STDOUT_FILENO);
            ::close(out[0]);
            for (const auto& [name, value] : kKeys)
                ::setenv(name.c_str(), value.c_str(), 1);
            const std::string script = RIDGELINE_FIXTURES "/../support/cloudwatch_endpoint.py";
            std::vector<char*> argv;
            arguments.insert(arguments.begin(), {"/usr/bin/python3", script});
            for (std::string& argument : arguments)
                argv.push_back(argument.data());
            argv.push_back(nullptr);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::close(out[1]);
        output_.reset(::fdopen(out[0], "r"));
        const std::string line = next_line();
        REQUIRE(line.starts_with("listening on http://127.0.0.1:"));
        url = line.substr(std::string("listening on ").size());
    }
    ~Endpoint() {
        ::kill(child_, SIGTERM);
        ::waitpid(child_, nullptr, 0);
    }
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    std::string url;

  private:
    std::string next_line() {
        char line[256] = {};
        if (std::fgets(line, sizeof line, output_.get()) == nullptr) return "";
        std::string text = line;
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
        return text;
    }

    struct Closer {
        void operator()(FILE* file) const { std::fclose(file); }
    };
    pid_t child_ = -1;
    std::unique_ptr<FILE, Closer> output_;
};

// Ten minutes of 40 series, ending with the last whole minute.
test::FakeLog ten_minutes(WallTime now) {
    test::FakeLog::Series series;
    for (int i = 0; i < 40; ++i)
        series.push_back(
            {"system.network.utilization", {{"interface", "eth" + std::to_string(i)}}});
    test::FakeLog log(series);
    const WallTime begin{now.time_since_epoch() / 1min * 1min - 11min};
    for (int second = 0; second < 600; second += 10) {
        std::vector<test::FakeLog::Row> rows;
        for (int i = 0; i < 10; ++i) {
            std::vector<double> values;
            for (int s = 0; s < 40; ++s)
                values.push_back(0.001 * ((second + i) * s % 997));
            rows.push_back({begin + std::chrono::seconds{second + i}, values});
        }
        log.append(rows);
    }
    return log;
}

// The real time, as the endpoint checks signatures with it, but standing still: what a turn of the
// minute during the run would add is another flush.
class StandingClock final : public Clock {
  public:
    WallTime wall_now() const override { return begun_; }
    MonoTime mono_now() const override { return system_.mono_now(); }

  private:
    SystemClock system_;
    WallTime begun_ = system_.wall_now();
};

struct Run {
    explicit Run(const Endpoint& endpoint, const std::filesystem::path& cursor)
        : credentials(std::make_unique<EnvironmentCredentials>(kKeys)),
          log(ten_minutes(clock.wall_now())),
          timer(loop, [this] {
              sink->poll();
              if (sink->stats().flushes > 0 || ++polls == 400) {
                  timer.stop();
                  loop.stop();
              }
          }) {
        CloudWatchLimits limits;
        limits.request.datums_max = 101;  // four requests
        limits.backoff_first = 50ms;
        limits.throttle_first = 50ms;
        limits.flush_lag = 0ms;
        auto opened = CloudWatchSink::open(
            {}, {endpoint.url, "eu-central-1"}, cursor,
            {[this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
                 return log.open(from);
             },
             [this] { return log.end(); }},
            http, *credentials, clock, [] { return 0.5; }, limits);
        REQUIRE(opened);
        sink = std::move(*opened);
        timer.start(0ms, 25ms);
        loop.run();
    }
    const CloudWatchStats& stats() const { return sink->stats(); }

    net::Loop loop;
    StandingClock clock;
    CurlClient http{loop};
    std::unique_ptr<CredentialsProvider> credentials;
    test::FakeLog log;
    std::unique_ptr<CloudWatchSink> sink;
    int polls = 0;
    net::Timer timer;
};

}  // namespace

TEST_CASE("AWS's own library accepts what the sink sends", "[cloudwatch-endpoint]") {
    const test::TempDir dir;
    const auto record = dir.path() / "record";
    const Endpoint endpoint({"--region", "eu-central-1", "--quiet", "--record", record.string()});
    const Run run(endpoint, dir.path() / "cursor");
    CHECK(run.stats().last_error == "");
    CHECK(run.stats().answers[static_cast<std::size_t>(AnswerClass::ok)] == 4);
    CHECK(run.stats().datums_sent == 400);
    CHECK(run.stats().samples_sent == 24'000);

    std::ifstream lines(record);
    std::uint64_t samples = 0;
    std::size_t datums = 0;
    for (std::string line; std::getline(lines, line);) {
        const auto datum = nlohmann::json::parse(line);
        if (datum["MetricName"] == "ridgeline.cloudwatch.request") continue;  // a marker
        samples += datum["count"].get<std::uint64_t>();
        ++datums;
    }
    CHECK(datums == 400);
    CHECK(samples == 24'000);
}

TEST_CASE("every passing failure ends with all datums sent once", "[cloudwatch-endpoint]") {
    const char* mode = GENERATE("throttle", "unavailable", "expired", "too-large");
    INFO(mode);
    const test::TempDir dir;
    const Endpoint endpoint({"--quiet", "--fail", mode, "--times", "2"});
    const Run run(endpoint, dir.path() / "cursor");
    CHECK(run.stats().flushes == 1);
    CHECK(run.stats().datums_sent == 400);
    CHECK(run.stats().last_error != "");
}

TEST_CASE("a wrong secret is refused", "[cloudwatch-endpoint]") {
    const test::TempDir dir;
    const Endpoint endpoint({"--quiet"});
    net::Loop loop;
    CurlClient http(loop);
    HttpRequest request = put_metric_data(endpoint.url, R"({"Namespace":"N","MetricData":[]})");
    REQUIRE(sign_request(request, {"AKIDEXAMPLE", "wrong", "token/with+signs==", {}},
                         {"eu-central-1", "monitoring"}, SystemClock().wall_now()));
    Answer answer;
    http.send(std::move(request), [&](const Result<HttpResponse>& response) {
        REQUIRE(response);
        answer = classify_answer(*response);
    });
    loop.run();
    CHECK(answer.code == "InvalidSignatureException");
    CHECK(answer.answer_class == AnswerClass::clock_skew);
}
