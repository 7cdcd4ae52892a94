#include "collector/cloudwatch/alarm_plan.h"

#include "collector/cloudwatch/alarm.h"
#include "tests/support/catch.h"
#include "tests/support/rule_story.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::int64_t kNowMs = 1'772'445'600'000;

struct Fleet1 {
    Fleet1() {
        writer.enabled = true;
        writer.include = {"*"};
    }

    // A sample of each series on the host, `age` ago.
    void has(const std::string& host, std::vector<SeriesDescriptor> series,
             std::chrono::milliseconds age = 0ms, std::map<std::string, std::string> tags = {}) {
        HostInfo info;
        info.host_id = host;
        info.tags = std::move(tags);
        hosts.meet(info);
        for (auto& one : series)
            normalise(one.attributes);
        LogBatch batch;
        batch.host = std::make_shared<const HostInfo>(info);
        batch.schema = std::make_shared<const Schema>(Schema{{{"s", series}}});
        SampleGroup group;
        group.series_count = series.size();
        group.timestamps_ms = {kNowMs - age.count()};
        group.values.assign(series.size(), 1.0);
        batch.block.groups.push_back(group);
        batch.received = from_unix_ms(kNowMs);
        store.append(batch, [](const auto&) {});
    }

    WantedAlarms plan(const std::string& toml) {
        rules = test::rules_from(toml);
        return plan_alarms({rules, store, hosts, writer, aws, config, "0badcafe", "eu-central-1"});
    }
    json only(const std::string& toml) {
        WantedAlarms made = plan(toml);
        for (const PlanProblem& problem : made.problems)
            UNSCOPED_INFO(problem.why);
        REQUIRE(made.alarms.size() == 1);
        return made.alarms[0].input;
    }
    std::string trouble(const std::string& toml) {
        const WantedAlarms made = plan(toml);
        CHECK(made.alarms.empty());
        REQUIRE(made.problems.size() == 1);
        CHECK(made.problems[0].where.starts_with("rules.toml:"));
        return made.problems[0].why;
    }

    SeriesStore store{{}};
    KnownHosts hosts;
    CloudWatchConfig writer;
    std::vector<AwsMetricsTarget> aws;
    AlarmsConfig config;
    std::vector<Rule> rules;
};

std::string rule(const std::string& metric, const std::string& rest) {
    return "[[rule]]\nid = \"r\"\nmetric = \"" + metric + "\"\ncloudwatch_alarm = true\n" + rest +
           '\n';
}

const SeriesDescriptor kCpu{"system.cpu.utilization", {{"state", "used"}}};
const SeriesDescriptor kMemory{"system.memory.utilization", {{"state", "used"}}};
const SeriesDescriptor kUptime{"system.uptime", {}};

json dimensions(std::initializer_list<std::pair<const char*, const char*>> pairs) {
    json list = json::array();
    for (const auto& [name, value] : pairs)
        list.push_back({{"Name", name}, {"Value", value}});
    return list;
}

AwsMetricsTarget shop() {
    auto document = ConfigDocument::parse(
        "[[aws_metrics]]\nname = \"shop\"\nalb = [\"app/a/1\"]\nrds = [\"db\"]\n"
        "cloudfront = [\"E1\"]\ntags = { env = \"prod\" }\n",
        "t");
    ConfigTable root = document.root();
    return {read_aws_metrics(root).at(0), "eu-west-1", "http://a", "us-east-1", "http://b"};
}

}  // namespace

TEST_CASE("an alarm looks at the metric as the writer sends it", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.writer.dimensions = {"host", "tag.role"};
    fleet.has("web1", {kCpu}, 0ms, {{"role", "web"}});
    const json alarm = fleet.only(rule("system.cpu.utilization",
                                       "where = { state = \"used\" }\nwindow = \"1m\"\nrunbook = "
                                       "\"https://w/x\"\nlevels = [ { at = \"80%\", for = \"5m\", "
                                       "severity = \"P3\" } ]"));
    CHECK(alarm["AlarmName"] == "ridgeline/r/web1/P3");
    CHECK(alarm["Namespace"] == "Ridgeline");
    CHECK(alarm["MetricName"] == "system.cpu.utilization");
    CHECK(alarm["Dimensions"] ==
          dimensions({{"host", "web1"}, {"role", "web"}, {"state", "used"}}));
    CHECK(alarm["Statistic"] == "Average");
    CHECK(alarm["Period"] == 60);
    CHECK(alarm["EvaluationPeriods"] == 5);
    CHECK(alarm["DatapointsToAlarm"] == 5);
    CHECK(alarm["Threshold"] == 0.8);
    CHECK(alarm["ComparisonOperator"] == "GreaterThanThreshold");
    CHECK(alarm["TreatMissingData"] == "ignore");
    CHECK(alarm["AlarmDescription"] ==
          "r P3: avg of system.cpu.utilization{state=\"used\"} on web1 > 80.0% for 5m. Runbook: "
          "https://w/x [ridgeline 0badcafe rule=r host=web1]");
    CHECK(beyond_limits(alarm).empty());

    fleet.writer.naming = CloudWatchNaming::cwagent;
    fleet.has("web1", {kMemory}, 0ms, {{"role", "web"}});
    const json agent = fleet.only(rule(
        "system.memory.utilization", "where = { state = \"used\" }\nlevels = [ { at = \"7%\" } ]"));
    CHECK(agent["MetricName"] == "mem_used_percent");
    CHECK(agent["Threshold"] == 7.0);  // percent, and not 7.000000000000001
}

TEST_CASE("levels are alarms of their own, or the gravest one alone", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.has("web1", {kUptime});
    fleet.config.actions[Severity::p1] = {"arn:aws:sns:eu-central-1:1:a",
                                          "arn:aws:sns:us-east-1:1:b"};
    const std::string toml =
        rule("system.uptime",
             "levels = [ { at = 5, severity = \"P3\" }, { at = 9, severity = \"P1\" } ]");
    WantedAlarms made = fleet.plan(toml);
    REQUIRE(made.alarms.size() == 2);
    CHECK(made.alarms[0].input["AlarmName"] == "ridgeline/r/web1/P3");
    CHECK_FALSE(made.alarms[0].input.contains("AlarmActions"));
    CHECK(made.alarms[1].input["AlarmActions"] == json::array({"arn:aws:sns:eu-central-1:1:a"}));
    CHECK(made.alarms[1].input["OKActions"] == json::array({"arn:aws:sns:eu-central-1:1:a"}));
    REQUIRE(made.problems.size() == 1);
    CHECK(made.problems[0].why.find("us-east-1:1:b, which is in another region") !=
          std::string::npos);
    fleet.config.gravest_only = true;
    fleet.config.ok_actions = false;
    made = fleet.plan(toml);
    REQUIRE(made.alarms.size() == 1);
    CHECK(made.alarms[0].input["Threshold"] == 9.0);
    CHECK_FALSE(made.alarms[0].input.contains("OKActions"));
}

TEST_CASE("a statistic says what the rule says of single samples and of windows", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.has("web1", {kUptime});
    const auto stat = [&](const std::string& rest) {
        const json alarm = fleet.only(rule("system.uptime", rest));
        return alarm.value("Statistic", alarm.value("ExtendedStatistic", "")) + ' ' +
               alarm["Period"].dump() + '*' + alarm["EvaluationPeriods"].dump();
    };
    // Every sample of the time must breach; or the first one does.
    CHECK(stat("levels = [ { at = 5, for = \"3m\" } ]") == "Minimum 60*3");
    CHECK(stat("levels = [ { at = 5 } ]") == "Maximum 60*1");
    CHECK(stat("op = \"<\"\nlevels = [ { at = 5, for = \"90s\" } ]") == "Maximum 60*2");
    CHECK(stat("op = \"<=\"\nlevels = [ { at = 5 } ]") == "Minimum 60*1");
    CHECK(stat("window = \"5m\"\nagg = \"p95\"\nlevels = [ { at = 5, for = \"12m\" } ]") ==
          "p95 300*3");
    CHECK(stat("window = \"90s\"\nagg = \"max\"\nlevels = [ { at = 5 } ]") == "Maximum 120*1");
    CHECK(stat("window = \"2m\"\nagg = \"sum\"\nlevels = [ { at = 5 } ]") == "Sum 120*1");
    CHECK(stat("window = \"1m\"\nagg = \"count\"\nlevels = [ { at = 5 } ]") == "SampleCount 60*1");
    CHECK(stat("levels = [ { at = 5, for = \"3d\" } ]") == "Minimum 3600*72");
    // High resolution costs more, and is for rules that look so closely.
    fleet.writer.period = 1s;
    CHECK(stat("levels = [ { at = 5, for = \"3m\" } ]") == "Minimum 60*3");
    CHECK(stat("levels = [ { at = 5, for = \"30s\" } ]") == "Minimum 10*3");
    CHECK(stat("window = \"15s\"\nlevels = [ { at = 5, for = \"40s\" } ]") == "Average 20*2");
    fleet.writer.period = 5min;
    CHECK(stat("window = \"1m\"\nlevels = [ { at = 5, for = \"10m\" } ]") == "Average 300*2");
    CHECK(fleet
              .trouble(
                  rule("system.uptime", "window = \"1m\"\nagg = \"sum\"\nlevels = [ { at = 5 } ]"))
              .find("no multiple of CloudWatch's points") != std::string::npos);
}

TEST_CASE("m of n, missing data and overrides", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.has("web1", {kUptime});
    fleet.has("ci7", {kUptime}, 0ms, {{"role", "build"}});
    fleet.has("old1", {kUptime});
    const WantedAlarms made =
        fleet.plan(rule("system.uptime",
                        "slot = \"2m\"\nno_data = \"fire\"\nlevels = [ { at = "
                        "5, m_of_n = [3, 5] } ]\n[[rule.override]]\ntags = { "
                        "role = \"build\" }\nlevels = [ { at = 7, m_of_n = "
                        "[1, 2] } ]\n[[rule.override]]\nhost = "
                        "\"old*\"\nenabled = false"));
    REQUIRE(made.alarms.size() == 2);
    CHECK(made.problems.empty());
    const json& build = made.alarms[0].input;
    const json& web = made.alarms[1].input;
    CHECK(build["Threshold"] == 7.0);
    CHECK(web["Period"] == 120);
    CHECK(web["EvaluationPeriods"] == 5);
    CHECK(web["DatapointsToAlarm"] == 3);
    CHECK(web["Statistic"] == "Maximum");
    CHECK(web["TreatMissingData"] == "breaching");
    const auto missing = [&](const std::string& no_data) {
        Fleet1 one;
        one.has("web1", {kUptime});
        return one.only(
            rule("system.uptime",
                 "no_data = \"" + no_data + "\"\nlevels = [ { at = 5 } ]"))["TreatMissingData"];
    };
    CHECK(missing("hold") == "ignore");
    CHECK(missing("ok") == "notBreaching");
    CHECK(missing("resolve_after:1h") == "missing");
}

TEST_CASE("ratios and rates are metric mathematics over both metrics", "[alarm_plan]") {
    Fleet1 fleet;
    for (const char* interface : {"eth0", "eth1"}) {
        fleet.has(
            "web1",
            {{"system.network.errors", {{"interface", interface}, {"direction", "receive"}}},
             {"system.network.packets", {{"interface", interface}, {"direction", "receive"}}}});
    }
    const std::string toml =
        rule("system.network.errors",
             "where = { interface = \"eth1\" }\nagg = \"delta\"\nwindow = "
             "\"5m\"\ndivide_by = { metric = \"system.network.packets\" }\nlevels "
             "= [ { at = \"1%\", for = \"5m\" } ]");
    const json alarm = fleet.only(toml);
    const json& metrics = alarm["Metrics"];
    REQUIRE(metrics.size() == 3);
    CHECK(metrics[0] ==
          json{{"Id", "e1"}, {"Expression", "DIFF(m1) / DIFF(m2)"}, {"ReturnData", true}});
    CHECK(metrics[2]["MetricStat"]["Metric"]["MetricName"] == "system.network.packets");
    CHECK(metrics[2]["MetricStat"]["Metric"]["Dimensions"] ==
          dimensions({{"host", "web1"}, {"direction", "receive"}, {"interface", "eth1"}}));
    CHECK(metrics[1]["MetricStat"]["Stat"] == "Maximum");
    CHECK(metrics[1]["MetricStat"]["Period"] == 300);
    CHECK_FALSE(alarm.contains("Period"));
    CHECK(use_of(alarm) == AlarmUse{2, 0});
    const json rate = fleet.only(rule("system.network.errors",
                                      "where = { interface = \"eth1\" }\nagg = \"rate\"\nwindow = "
                                      "\"2m\"\nlevels = [ { at = 10 } ]"));
    CHECK(rate["Metrics"][0]["Expression"] == "RATE(m1)");
    fleet.writer.exclude = {"*.packets"};
    CHECK(fleet.trouble(toml) ==
          "divide_by: system.network.packets is not written to CloudWatch; exclude of [cloudwatch] "
          "leaves it out");
}

TEST_CASE("AWS's own metrics are looked at where they are", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.writer.enabled = false;  // nothing of it is written by the collector
    fleet.aws = {shop()};
    json alarm = fleet.only(rule("aws.rds.cpu_utilization",
                                 "tags = { env = \"prod\" }\nwindow = "
                                 "\"5m\"\nlevels = [ { at = \"80%\", for = "
                                 "\"10m\" } ]"));
    CHECK(alarm["Namespace"] == "AWS/RDS");
    CHECK(alarm["Threshold"] == 80.0);  // percent there
    CHECK(alarm["Dimensions"] == dimensions({{"DBInstanceIdentifier", "db"}}));
    CHECK(alarm["Period"] == 300);
    alarm = fleet.only(rule("aws.applicationelb.target_response_time",
                            "levels = [ { at = \"500ms\", for = \"5m\" } ]"));
    CHECK(alarm["ExtendedStatistic"] == "p95");
    alarm =
        fleet.only(rule("aws.applicationelb.http_code_target_5xx_count",
                        "agg = \"sum\"\nwindow = \"5m\"\ndivide_by = { metric = "
                        "\"aws.applicationelb.request_count\" }\nlevels = [ { at = \"0.1%\" } ]"));
    CHECK(alarm["Metrics"][0]["Expression"] == "FILL(m1, 0) / m2");
    CHECK(alarm["Threshold"] == 0.001);
    const WantedAlarms global =
        fleet.plan(rule("aws.cloudfront.5xx_error_rate", "levels = [ { at = \"1%\" } ]"));
    REQUIRE(global.alarms.size() == 1);
    CHECK(global.alarms[0].region == "us-east-1");
    CHECK(fleet.trouble(rule("aws.applicationelb.target_response_time",
                             "window = \"5m\"\nagg = \"max\"\nlevels = [ { at = 1 } ]")) ==
          "CloudWatch makes no max of the statistic p95");
}

TEST_CASE("a silent host is one that sends no samples to CloudWatch", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.has("web1", {kUptime, kCpu, {"tls.certificate.readable", {{"path", "/x"}}}});
    fleet.has("web2", {{"tls.certificate.readable", {{"path", "/x"}}}});
    HostInfo gone;
    gone.host_id = "web3";
    fleet.hosts.meet(gone);
    const std::string toml =
        "[[rule]]\nid = \"dead\"\nkind = \"heartbeat\"\nmissing = \"10m\"\ncloudwatch_alarm = "
        "true\n";
    const WantedAlarms made = fleet.plan(toml);
    REQUIRE(made.alarms.size() == 1);
    const json& alarm = made.alarms[0].input;
    CHECK(alarm["MetricName"] == "system.cpu.utilization");
    CHECK(alarm["Statistic"] == "SampleCount");
    CHECK(alarm["ComparisonOperator"] == "LessThanThreshold");
    CHECK(alarm["Threshold"] == 1.0);
    CHECK(alarm["TreatMissingData"] == "breaching");
    CHECK(alarm["EvaluationPeriods"] == 10);
    REQUIRE(made.problems.size() == 1);
    CHECK(made.problems[0].why.find("web2") != std::string::npos);
    CHECK(made.away == std::set<std::pair<std::string, std::string>>{{"dead", "web3"}});
}

TEST_CASE("what another of its identity has replaced has no alarm", "[alarm_plan]") {
    Fleet1 fleet;
    const auto certificate = [](const char* serial) {
        return SeriesDescriptor{"tls.certificate.remaining_time",
                                {{"path", "/c"}, {"serial", serial}, {"kind", "leaf"}}};
    };
    fleet.has("web1", {certificate("1")}, 5h);
    fleet.has("web1", {certificate("2")});
    const std::string toml = rule("tls.certificate.remaining_time",
                                  "by = [\"path\"]\nop = \"<\"\nlevels = [ { at = \"30d\" } ]");
    const json alarm = fleet.only(toml);
    CHECK(alarm["Period"] == 3600);
    CHECK(alarm["Dimensions"].dump().find("\"2\"") != std::string::npos);
    CHECK(alarm["AlarmName"] == "ridgeline/r/web1/path=/c/P4");
    // Two at once are told apart.
    fleet.has("web1", {certificate("3")});
    const WantedAlarms both = fleet.plan(toml);
    REQUIRE(both.alarms.size() == 2);
    CHECK(both.alarms[0].input["AlarmName"] != both.alarms[1].input["AlarmName"]);
}

TEST_CASE("what has no metric there is said once, with the rule's place", "[alarm_plan]") {
    Fleet1 fleet;
    fleet.has("web1", {kUptime});
    const std::string toml = rule("system.uptime", "levels = [ { at = 5 } ]");
    fleet.writer.include = {"system.cpu.*"};
    CHECK(fleet.trouble(toml) ==
          "system.uptime is not written to CloudWatch; add it to include of [cloudwatch]");
    fleet.writer.enabled = false;
    CHECK(fleet.trouble(toml) == "[cloudwatch] is not enabled, so nothing is written there");
    fleet.writer = {};
    fleet.writer.enabled = true;
    CHECK(fleet.trouble(rule("system.cpu.utilization", "levels = [ { at = 5 } ]"))
              .find("nothing that it looks at") == 0);
    CHECK(fleet.plan("[[rule]]\nid = \"r\"\nmetric = \"system.uptime\"\nlevels = [ { at = 5 } ]\n")
              .alarms.empty());
}

TEST_CASE("names and descriptions keep to CloudWatch's lengths", "[alarm_plan]") {
    Fleet1 fleet;
    const std::string longer(400, 'x');
    fleet.has("web1", {{"system.filesystem.utilization",
                        {{"mountpoint", '/' + longer + 'a'}, {"state", "used"}}},
                       {"system.filesystem.utilization",
                        {{"mountpoint", '/' + longer + 'b'}, {"state", "used"}}}});
    const WantedAlarms made =
        fleet.plan(rule("system.filesystem.utilization",
                        "by = [\"mountpoint\"]\nrunbook = \"https://w/" + std::string(2000, 'y') +
                            "\"\nlevels = [ { at = 0.9 } ]"));
    REQUIRE(made.alarms.size() == 2);
    CHECK(made.alarms[0].input["AlarmName"] != made.alarms[1].input["AlarmName"]);
    for (const WantedAlarm& alarm : made.alarms) {
        CHECK(beyond_limits(alarm.input).empty());
        CHECK(find_mark(alarm.input["AlarmDescription"].get<std::string>()) ==
              ControlMark{"0badcafe", "r", "web1"});
    }
}
