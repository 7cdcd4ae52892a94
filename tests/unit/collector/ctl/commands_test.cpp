// The commands against a real HTTP server on loopback that serves a fake model.
#include "collector/ctl/commands.h"

#include <atomic>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "collector/http/server.h"
#include "tests/support/catch.h"
#include "tests/support/fake_api_model.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

// Serves `model` on a thread of its own while it lives.
class Served {
  public:
    explicit Served(test::FakeApiModel& model) {
        std::atomic<bool> ready = false;
        thread_ = std::thread([&, this] {
            net::Loop loop;
            {
                auto server = HttpServer::start(loop, {"127.0.0.1", 0}, [&](const ApiRequest& r) {
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
    ApiClient client() const { return ApiClient("http://127.0.0.1:" + std::to_string(port_)); }

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
    AlertView alert;
    alert.id = 1;
    alert.rule = "cpu.sustained";
    alert.host = "web-1";
    alert.severity = "P3";
    alert.state = "firing";
    alert.since_ms = model.now_ms();
    alert.summary = "web-1: CPU 93% for 5m";
    model.alerts_answer = {alert};
    return model;
}

}  // namespace

TEST_CASE("hosts, series and alerts are printed as tables and as JSON", "[ctl]") {
    auto model = small_fleet();
    const Served served(model);
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
    CHECK(out.str().find("P3   firing  2026-03-02T10:00:00") != std::string::npos);
    out.str("");
    OutputOptions as_json;
    as_json.json = true;
    CHECK(run_alerts(served.client(), {"", true}, as_json, out, err) == kExitFiring);
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
