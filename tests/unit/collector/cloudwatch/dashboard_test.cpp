#include "collector/cloudwatch/dashboard.h"

#include "tests/support/catch.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Fleet1 {
    Fleet1() {
        writer.enabled = true;
        writer.include = {"*"};
    }
    void has(const std::string& host, const std::vector<SeriesDescriptor>& series) {
        HostInfo info;
        info.host_id = host;
        hosts.meet(info);
        LogBatch batch;
        batch.host = std::make_shared<const HostInfo>(info);
        batch.schema = std::make_shared<const Schema>(Schema{{{"s", series}}});
        SampleGroup group;
        group.series_count = series.size();
        group.timestamps_ms = {1'772'445'600'000};
        group.values.assign(series.size(), 1.0);
        batch.block.groups.push_back(group);
        batch.received = from_unix_ms(1'772'445'600'000);
        store.append(batch, [](const auto&) {});
    }
    WantedDashboards make() {
        return make_dashboards({store, hosts, writer, aws, config, "me", "eu-central-1"});
    }
    json board(const std::string& name) {
        for (const WantedDashboard& board : make().dashboards) {
            CHECK(faults_of(board.body).empty());
            CHECK(is_marked(board.body, "me"));
            CHECK_FALSE(is_marked(board.body, "you"));
            if (board.name == name) return board.body;
        }
        return {};
    }

    SeriesStore store{{}};
    KnownHosts hosts;
    CloudWatchConfig writer;
    std::vector<AwsMetricsTarget> aws;
    DashboardsConfig config;
};

const json* widget(const json& body, const std::string& title) {
    for (const json& one : body.at("widgets"))
        if (one["properties"].value("title", "") == title) return &one;
    return nullptr;
}

std::string expression(const json& body, const std::string& title) {
    const json* found = widget(body, title);
    return found == nullptr ? "" : (*found)["properties"]["metrics"][0][0]["expression"];
}

}  // namespace

TEST_CASE("searches find each metric by the dimensions it is written with", "[dashboard]") {
    Fleet1 fleet;
    fleet.has("web1", {{"system.cpu.utilization", {{"state", "used"}}},
                       {"system.cpu.utilization", {{"cpu", "0"}, {"state", "used"}}},
                       {"tls.certificate.remaining_time", {{"path", "/c"}}}});
    const json all = fleet.board("Ridgeline-fleet");
    CHECK(expression(all, "CPU used") ==
          "SEARCH('{Ridgeline,host,state} MetricName=\"system.cpu.utilization\" state=\"used\"', "
          "'Average', 60)");
    REQUIRE(widget(all, "CPU used") != nullptr);
    CHECK((*widget(all, "CPU used"))["properties"]["metrics"].size() == 1);
    CHECK(all["widgets"][0]["type"] == "text");
    CHECK(all["widgets"][0]["properties"]["markdown"].get<std::string>().find("lost then") !=
          std::string::npos);

    const json host = fleet.board("Ridgeline-host");
    REQUIRE(widget(host, "system.cpu.utilization") != nullptr);
    CHECK((*widget(host, "system.cpu.utilization"))["properties"]["metrics"].size() == 2);
    CHECK(expression(host, "tls.certificate.remaining_time").find("host=\"RIDGELINE_HOST\"") !=
          std::string::npos);
    const json& variable = host["variables"][0];
    CHECK(variable["pattern"] == "RIDGELINE_HOST");
    CHECK(variable["populateFrom"] == "host");
    CHECK(variable["search"].get<std::string>().find("MetricName=\"system.cpu.utilization\"") !=
          std::string::npos);

    CHECK(expression(fleet.board("Ridgeline-certificates"), "Days left") ==
          "SORT(SEARCH('{Ridgeline,host,path} MetricName=\"tls.certificate.remaining_time\"', "
          "'Minimum', 3600) / 86400, MIN, ASC, 50)");
}

TEST_CASE("a dimension with a dot is quoted, and a window that moves on changes nothing",
          "[dashboard]") {
    Fleet1 fleet;
    fleet.writer.space = "My.Space";
    fleet.has("web1", {{"system.uptime", {}}});
    CHECK(expression(fleet.board("Ridgeline-host"), "system.uptime").find("{\"My.Space\",host}") !=
          std::string::npos);
    const json before = fleet.board("Ridgeline-host");
    fleet.has("web2", {{"system.uptime", {}}});
    CHECK(fleet.board("Ridgeline-host") == before);
}

TEST_CASE("AWS's own are shown by their ids, where they are", "[dashboard]") {
    Fleet1 fleet;
    CHECK(fleet.board("Ridgeline-aws").is_null());  // nothing to show, nothing to pay for
    auto document = ConfigDocument::parse(
        "[[aws_metrics]]\nname = \"shop\"\nalb = [\"app/a/1\"]\ncloudfront = [\"E1\"]\n", "t");
    ConfigTable root = document.root();
    fleet.aws = {{read_aws_metrics(root).at(0), "eu-west-1", "", "us-east-1", ""}};
    fleet.config.resources["rds"] = {"db1", "db2"};
    fleet.config.guardduty_rule = "gd";
    fleet.config.guardduty_log_group = "/aws/events/gd";
    const json body = fleet.board("Ridgeline-aws");
    const json& requests = (*widget(body, "ALB: requests"))["properties"]["metrics"];
    CHECK(requests ==
          json::array({json::array({"AWS/ApplicationELB",
                                    "RequestCount",
                                    "LoadBalancer",
                                    "app/a/1",
                                    {{"region", "eu-west-1"}, {"label", "app/a/1"}}})}));
    CHECK((*widget(body, "CloudFront: requests"))["properties"]["metrics"][0][5] == "Global");
    CHECK((*widget(body, "RDS: connections"))["properties"]["metrics"].size() == 2);
    CHECK((*widget(body, "GuardDuty: findings"))["type"] == "log");
    CHECK(widget(body, "EC2: failed status checks") == nullptr);
}

TEST_CASE("what cannot be made is said, and what has no place is refused", "[dashboard]") {
    Fleet1 fleet;
    fleet.writer.dimensions = {"tag.role"};
    fleet.has("web1", {{"system.uptime", {}}});
    std::map<std::string, std::string> why;
    for (const PlanProblem& problem : fleet.make().problems)
        why[problem.what] = problem.why;
    CHECK(why["dashboard host"] == "[cloudwatch] dimensions lacks \"host\"");
    CHECK(why["dashboard certificates"] ==
          "nothing that it would show is written to CloudWatch yet");
    fleet.config.boards = {"aws"};
    for (int i = 0; i < 501; ++i)
        fleet.config.resources["rds"].push_back("db" + std::to_string(i));
    REQUIRE(fleet.make().problems.size() == 1);
    CHECK(fleet.make().problems[0].why.find("more than 500 metrics") != std::string::npos);
}
