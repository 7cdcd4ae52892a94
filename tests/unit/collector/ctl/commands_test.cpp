// The commands against a real HTTP server on loopback that serves a fake model.
#include "collector/ctl/commands.h"

#include <atomic>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "collector/http/alert_api.h"
#include "collector/http/server.h"
#include "tests/support/catch.h"
#include "tests/support/fake_api_model.h"
#include "tests/support/manual_clock.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// Serves `model` on a thread of its own while it lives.
class Served {
  public:
    explicit Served(test::FakeApiModel& model, const std::vector<Transition>& firing = {}) {
        std::atomic<bool> ready = false;
        thread_ = std::thread([&, this] {
            const test::TempDir dir;
            const test::ManualClock clock;
            AlertBook book =
                std::move(AlertBook::open(dir.path() / "state.db", clock.wall_now()).value().book);
            REQUIRE(book.commit(1, {}, firing));
            const auto desk =
                AlertDesk::open(book, clock, [] { return AlertDesk::HostTags{}; }).value();
            const test::StoryHistory history;
            const RuleEngine engine({}, history);
            net::Loop loop;
            {
                auto server = HttpServer::start(loop, {"127.0.0.1", 0}, [&](const ApiRequest& r) {
                                  if (auto answer = handle_alerts(*desk, engine, r)) return *answer;
                                  return handle_request(model, model, r);
                              }).value();
                net::Timer watch(loop, [&] {
                    if (stop_) loop.stop();
                });
                watch.start(2ms, 2ms);
                port_ = server->port();
                ready = true;
                loop.run();
            }
        });
        while (!ready)
            std::this_thread::yield();
    }
    ~Served() {
        stop_ = true;
        thread_.join();
    }
    ApiClient client(const std::string& author = "") const {
        return ApiClient("http://127.0.0.1:" + std::to_string(port_), author);
    }

  private:
    std::atomic<bool> stop_ = false;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

test::FakeApiModel small_fleet() {
    test::FakeApiModel model;
    HostView host;
    host.id = "web-1";
    host.enrolled = "token";
    host.connected = true;
    host.tags = {{"role", "web"}};
    host.series = 129;
    host.last_sample_ms = model.now_ms();
    model.hosts_answer = {host};
    model.series_answer = {
        {0, "web-1", "system.cpu.utilization", "1", {{"state", "used"}}, 0.5, model.now_ms()}};
    return model;
}

Transition hot() {
    Transition t;
    t.change = Change::fired;
    t.key = "cpu.sustained@web-1";
    t.rule = "cpu.sustained";
    t.host = "web-1";
    t.severity = Severity::p3;
    t.time_ms = t.since_ms = 1'772'445'600'000;
    t.value = 0.93;
    t.threshold = 0.8;
    t.unit = "1";
    t.summary = "web-1: CPU 93% for 5m";
    return t;
}

}  // namespace

TEST_CASE("hosts, series and alerts are printed as tables and as JSON", "[ctl]") {
    auto model = small_fleet();
    const Served served(model, {hot()});
    std::ostringstream out, err;
    CHECK(run_hosts(served.client(), {}, out, err) == kExitOk);
    CHECK(out.str() ==
          "HOST   KEY BY  CONNECTED  LAST SAMPLE (UTC)    SERIES  LOST  TAGS\n"
          "web-1  token   yes        2026-03-02T10:00:00     129     0  role=web\n");
    out.str("");
    CHECK(run_series(served.client(), {}, {}, out, err) == kExitOk);
    CHECK(out.str().find("web-1  system.cpu.utilization   50.0%  state=used") != std::string::npos);
    out.str("");
    CHECK(run_alerts(served.client(), {}, {}, out, err) == kExitOk);
    CHECK(out.str().find(" 1  P3   firing  2026-03-02T10:00:00") != std::string::npos);
    out.str("");
    OutputOptions as_json;
    as_json.json = true;
    AlertsOptions all;
    all.exit_code = true;
    CHECK(run_alerts(served.client(), all, as_json, out, err) == kExitFiring);
    CHECK(nlohmann::json::parse(out.str())["alerts"][0]["rule"] == "cpu.sustained");
    out.str("");
    CHECK(run_top(served.client(), {true, 1s}, as_json, out, err) == kExitOk);
    CHECK(nlohmann::json::parse(out.str())["hosts"][0]["id"] == "web-1");
    CHECK(err.str().empty());
}

TEST_CASE("an empty fleet is said in words", "[ctl]") {
    test::FakeApiModel model;
    const Served served(model);
    std::ostringstream out, err;
    CHECK(run_hosts(served.client(), {}, out, err) == kExitOk);
    CHECK(run_series(served.client(), {}, {}, out, err) == kExitOk);
    CHECK(run_alerts(served.client(), {}, {}, out, err) == kExitOk);
    CHECK(out.str() ==
          "no host has sent anything yet; ridgeline token create makes a token for one\nno series "
          "match\nnothing fires\n");
}

TEST_CASE("a collector that is not there is told with what to do", "[ctl]") {
    const ApiClient nobody("http://127.0.0.1:1");
    std::ostringstream out, err;
    CHECK(run_hosts(nobody, {}, out, err) == kExitUnreachable);
    CHECK(err.str().find("no answer from the collector at http://127.0.0.1:1") !=
          std::string::npos);
    CHECK(err.str().find("--url or RIDGELINE_URL") != std::string::npos);
    CHECK(out.str().empty());
}

TEST_CASE("an alert is taken on, commented and shown; a second person is told", "[ctl]") {
    auto model = small_fleet();
    const Served served(model, {hot()});
    std::ostringstream out, err;
    const ApiClient anna = served.client("anna");
    CHECK(run_ack(anna, 1, {"on it", "2h"}, {}, out, err) == kExitOk);
    CHECK(out.str() ==
          "alert 1 is acknowledged by anna until 2026-03-02T12:00:00.000Z; it is told again if it "
          "gets graver\n");
    CHECK(run_ack(served.client("ben"), 1, {}, {}, out, err) == kExitUnreachable);
    CHECK(err.str().find("alert 1 is acknowledged already, by anna until") != std::string::npos);
    err.str("");
    CHECK(run_comment(anna, 1, "bad \x1b[2J", {}, out, err) == kExitUnreachable);
    CHECK(err.str().find('\x1b') == std::string::npos);
    CHECK(run_comment(anna, 1, "disk was full", {}, out, err) == kExitOk);
    out.str("");
    OutputOptions wide;
    wide.width = 200;
    CHECK(run_alert_show(anna, 1, wide, out, err) == kExitOk);
    CHECK(out.str().find("alert 1: P3 firing, cpu.sustained on web-1\n") == 0);
    CHECK(out.str().find("2026-03-02T10:00:00  firing        P3, 93.0% (threshold 80.0%)\n") !=
          std::string::npos);
    CHECK(out.str().find("comment       anna: disk was full\n") != std::string::npos);
    out.str("");
    CHECK(run_alerts(anna, {}, wide, out, err) == kExitOk);
    CHECK(out.str().find("acked by anna") != std::string::npos);
    // A line break in the author's name is no header of its own.
    CHECK(run_comment(served.client("x\r\nContent-Type: text/plain"), 1, "y", {}, out, err) ==
          kExitOk);
}
