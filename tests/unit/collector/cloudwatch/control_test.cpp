#include "collector/cloudwatch/control.h"

#include "tests/support/catch.h"
#include "tests/support/fake_http.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

class Keys final : public CredentialsProvider {
  public:
    void fetch(CredentialsDone done) override { done(AwsCredentials{"AKID", "secret", "", {}}); }
};

// CloudWatch as far as this needs it.
struct Story {
    Story() {
        control.emplace(
            http, keys, clock, [] { return 1.0; }, [this](const ControlJob&) { ++ended; });
    }

    CloudWatchControl::Order order(std::size_t alarms, bool dry_run = false) {
        CloudWatchControl::Order made;
        made.dry_run = dry_run;
        made.regions = {{"eu-central-1", "http://eu"}};
        made.wish.owner = "me";
        made.wish.alarm_prefix = "ridgeline";
        made.wish.dashboard_prefix = "Ridgeline";
        for (std::size_t i = 0; i < alarms; ++i) {
            made.wish.alarms.alarms.push_back(
                {"eu-central-1",
                 "r",
                 "h",
                 {{"AlarmName", "ridgeline/" + std::to_string(i)},
                  {"AlarmDescription", "[ridgeline me rule=r host=h]"},
                  {"MetricName", "m"},
                  {"Namespace", "n"},
                  {"Statistic", "Average"},
                  {"Period", 60},
                  {"EvaluationPeriods", 1},
                  {"Threshold", 1.0},
                  {"ComparisonOperator", "GreaterThanThreshold"}}});
        }
        return made;
    }

    static std::string operation_of(const HttpRequest& request) {
        for (const HttpHeader& header : request.headers)
            if (header.name == "X-Amz-Target")
                return header.value.substr(header.value.find('.') + 1);
        return "";
    }

    void serve() {
        const HttpRequest& request = http.waiting.front().request;
        const std::string operation = operation_of(request);
        calls.push_back(operation);
        times.push_back(clock.mono_now());
        const json input = json::parse(request.body);
        if (failures[operation] > 0) {
            --failures[operation];
            return http.answer(status, json{{"__type", "x#" + code}, {"message", "no"}}.dump());
        }
        if (operation == "DescribeAlarms") {
            const std::size_t first = std::stoul(input.value("NextToken", "0"));
            json page = json::array();
            std::size_t i = 0;
            for (const auto& [name, alarm] : held)
                if (i++ >= first && page.size() < 2) page.push_back(alarm);
            json answer = {{"MetricAlarms", page}};
            if (first + page.size() < held.size()) answer["NextToken"] = std::to_string(first + 2);
            return http.answer(200, answer.dump());
        }
        if (operation == "ListDashboards")
            return http.answer(200, json{{"DashboardEntries", json::array()}}.dump());
        if (operation == "PutMetricAlarm") held[input["AlarmName"]] = input;
        if (operation == "DeleteAlarms")
            for (const json& name : input["AlarmNames"])
                held.erase(name.get<std::string>());
        http.answer(200, "{}");
    }

    // Until it has ended.
    void run() {
        for (int i = 0; i < 100'000 && control->running(); ++i) {
            control->poll();
            if (!http.waiting.empty()) serve();
            clock.advance(10ms);
        }
        REQUIRE_FALSE(control->running());
        CHECK(http.waiting.empty());
    }
    std::size_t count(const std::string& operation) const {
        return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), operation));
    }

    test::ManualClock clock;
    test::FakeHttp http;
    Keys keys;
    std::map<std::string, json> held;
    std::map<std::string, int> failures;  // left, by operation
    int status = 400;
    std::string code = "ThrottlingException";
    std::vector<std::string> calls;
    std::vector<MonoTime> times;
    int ended = 0;
    std::optional<CloudWatchControl> control;
};

}  // namespace

TEST_CASE("what is applied a second time changes nothing", "[control]") {
    Story story;
    REQUIRE(story.control->start(story.order(5)));
    CHECK_FALSE(story.control->start(story.order(5)));  // one at a time
    story.run();
    CHECK(story.control->job()->state == ControlJob::State::done);
    CHECK(story.control->job()->plan.to_do() == 0);
    CHECK(story.held.size() == 5);
    CHECK(story.ended == 1);
    REQUIRE(story.control->start(story.order(5)));
    story.run();
    CHECK(story.count("PutMetricAlarm") == 5);
    CHECK(story.control->job()->writes == 0);
    CHECK(story.control->job()->plan.unchanged == 5);
    CHECK(story.count("DescribeAlarms") == 1 + 3);  // pages of two
    REQUIRE(story.control->start(story.order(4)));
    story.run();
    CHECK(story.held.size() == 4);
    auto destroy = story.order(0);
    destroy.destroys = true;
    story.held["ridgeline/by-hand"] = {{"AlarmName", "ridgeline/by-hand"}};
    REQUIRE(story.control->start(std::move(destroy)));
    story.run();
    CHECK(story.held.size() == 1);
    CHECK(story.count("DeleteAlarms") == 2);
}

TEST_CASE("a dry run writes nothing", "[control]") {
    Story story;
    REQUIRE(story.control->start(story.order(3, true)));
    story.run();
    CHECK(story.control->job()->plan.to_do() == 3);
    CHECK(story.count("PutMetricAlarm") == 0);
}

TEST_CASE("writes keep below three a second", "[control]") {
    Story story;
    REQUIRE(story.control->start(story.order(20)));
    story.run();
    std::optional<MonoTime> before;
    for (std::size_t i = 0; i < story.calls.size(); ++i) {
        if (story.calls[i] != "PutMetricAlarm") continue;
        if (before) CHECK(story.times[i] - *before >= 334ms);
        before = story.times[i];
    }
}

TEST_CASE("throttling, conflicts and lost answers are waited out", "[control]") {
    Story story;
    story.failures["PutMetricAlarm"] = 3;
    SECTION("throttled") {}
    SECTION("conflict") {
        story.status = 409;
        story.code = "ConflictException";
    }
    SECTION("down") {
        story.status = 503;
        story.code = "ServiceUnavailable";
    }
    const MonoTime begin = story.clock.mono_now();
    REQUIRE(story.control->start(story.order(1)));
    story.run();
    CHECK(story.control->job()->plan.to_do() == 0);
    CHECK(story.count("PutMetricAlarm") == 4);
    CHECK(story.clock.mono_now() - begin >= 500ms + 1s + 2s);
}

TEST_CASE("what stays throttled is given up, and the rest done", "[control]") {
    Story story;
    story.failures["PutMetricAlarm"] = 8;
    REQUIRE(story.control->start(story.order(2)));
    story.run();
    const ControlPlan& plan = story.control->job()->plan;
    CHECK(plan.to_do() == 1);
    CHECK(plan.changes[0].error.find("ThrottlingException") == 0);
    CHECK(plan.changes[1].done);
}

TEST_CASE("what is denied is asked for once, and the permission named", "[control]") {
    Story story;
    story.failures["PutMetricAlarm"] = 100;
    story.code = "AccessDeniedException";
    REQUIRE(story.control->start(story.order(3)));
    story.run();
    CHECK(story.count("PutMetricAlarm") == 1);
    for (const ControlChange& change : story.control->job()->plan.changes)
        CHECK(change.error.find("Allow cloudwatch:PutMetricAlarm in the IAM policy") !=
              std::string::npos);

    Story blind;
    blind.failures["DescribeAlarms"] = 1;
    blind.code = "AccessDeniedException";
    REQUIRE(blind.control->start(blind.order(3)));
    blind.run();
    CHECK(blind.control->job()->state == ControlJob::State::failed);
    CHECK(blind.control->job()->error.find("Allow cloudwatch:DescribeAlarms") != std::string::npos);
    CHECK(blind.count("PutMetricAlarm") == 0);
}

TEST_CASE("an answer that is none ends the plan, not the collector", "[control]") {
    Story story;
    REQUIRE(story.control->start(story.order(1)));
    story.http.answer(200, "[]");
    CHECK(story.control->job()->state == ControlJob::State::failed);
    REQUIRE(story.control->start(story.order(1)));
    story.clock.advance(1s);
    story.control->poll();
    story.http.answer(200, "not JSON");
    CHECK(story.control->job()->error == "DescribeAlarms is answered with what is no JSON");
}
