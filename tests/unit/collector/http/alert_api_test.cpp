// Alerts, silences, rules and the audit log over HTTP, without sockets.
#include "collector/http/alert_api.h"

#include <nlohmann/json.hpp>

#include "collector/http/audit_api.h"
#include "collector/http/explain_api.h"
#include "collector/http/rule_api.h"
#include "collector/http/silence_api.h"
#include "common/base/units.h"
#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using nlohmann::json;

namespace {

class Api {
  public:
    Api() : desk_(AlertDesk::open(book_, clock, [] { return AlertDesk::HostTags{}; }).value()) {
        fire("web-1", Severity::p3);
        fire("web\xff\x1b[2J", Severity::p1);
    }

    void fire(const std::string& host, Severity severity) {
        Transition t;
        t.change = Change::fired;
        t.key = t.host = host;
        t.rule = "cpu";
        t.severity = severity;
        t.time_ms = t.since_ms = to_unix_ms(clock.wall_now());
        t.value = 0.93;
        t.threshold = 0.8;
        t.unit = "1";
        t.summary = "hot";
        REQUIRE(book_.commit(++position_, {}, {t}));
    }

    ApiResponse send(const std::string& method, const std::string& path, const std::string& body,
                     const std::string& author = "anna", QueryArgs args = {}) {
        const ApiRequest request{path, std::move(args), method,     "application/json",
                                 body, author,          "127.0.0.1"};
        return answer(request);
    }
    ApiResponse answer(const ApiRequest& request) {
        if (auto found = handle_alerts(*desk_, engine_, request)) return *found;
        if (auto found = handle_silences(*desk_, request)) return *found;
        if (auto found = handle_audit(*desk_, request)) return *found;
        if (auto found = handle_rules(book_, engine_, {}, request)) return *found;
        if (auto found =
                handle_explain({engine_, series_, {}, to_unix_ms(clock.wall_now())}, request))
            return *found;
        FAIL("nobody answers " << request.path);
        return {};
    }
    json get(const std::string& path, QueryArgs args = {}) {
        const ApiResponse response = send("GET", path, "", "", std::move(args));
        REQUIRE(response.status == 200);
        return json::parse(response.body);
    }
    unsigned post(const std::string& path, const std::string& body,
                  const std::string& author = "anna") {
        const ApiResponse response = send("POST", path, body, author);
        last = json::parse(response.body);
        return response.status;
    }

    // The host is heard of, with one sample of this series.
    void sample(const std::string& host, const std::string& state, std::int64_t t_ms,
                double value) {
        const HostInfo info{host, {}, {}, {}, {}};
        const SeriesDescriptor series{"system.cpu.utilization", {{"state", state}}};
        std::vector<Transition> out;
        engine_.on_batch(info, {t_ms, t_ms, t_ms, false}, out);
        engine_.on_samples({7, info, series, std::span(&t_ms, 1), std::span(&value, 1), t_ms}, out);
        engine_.finish_batch(out);
    }

    test::ManualClock clock;
    json last;

  private:
    test::TempDir dir_;
    AlertBook book_ =
        std::move(AlertBook::open(dir_.path() / "state.db", clock.wall_now()).value().book);
    std::unique_ptr<AlertDesk> desk_;
    SeriesStore series_{SeriesStoreOptions{}};
    test::StoryHistory history_;
    RuleEngine engine_{test::rules_from(R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
where = { state = "used" }
op = ">"
levels = [ { at = "80%", for = "5m", severity = "P3" } ]
)"),
                       history_};
    LogPosition position_ = 0;
};

}  // namespace

TEST_CASE("alerts are asked for by state, severity, host, rule and page", "[alert_api]") {
    Api api;
    CHECK(api.get("/api/v1/alerts")["alerts"].size() == 2);
    CHECK(api.get("/api/v1/alerts", {{"severity", "P1"}})["alerts"].size() == 1);
    CHECK(api.get("/api/v1/alerts", {{"host", "web-?"}})["alerts"][0]["id"] == 1);
    CHECK(api.get("/api/v1/alerts", {{"rule", "mem"}})["alerts"].empty());
    CHECK(api.get("/api/v1/alerts", {{"state", "resolved"}})["alerts"].empty());
    CHECK(api.get("/api/v1/alerts", {{"limit", "1"}, {"offset", "1"}})["alerts"].size() == 1);
    for (const auto& [key, value] : QueryArgs{{"state", "on fire"},
                                              {"severity", "P7"},
                                              {"since", "x"},
                                              {"limit", "0"},
                                              {"offset", "-1"},
                                              {"colour", "red"}})
        CHECK(api.send("GET", "/api/v1/alerts", "", "", {{key, value}}).status == 400);
    CHECK(api.send("DELETE", "/api/v1/alerts", "{}").status == 405);
}

TEST_CASE("an acknowledgement over HTTP: 200, then 409, unknown 404, and its timeline",
          "[alert_api]") {
    Api api;
    CHECK(api.post("/api/v1/alerts/1/ack", R"({"comment":"on it","for":"2h"})") == 200);
    CHECK(api.last["acknowledged"]["author"] == "anna");
    CHECK(api.last["acknowledged"]["until"] == "2026-03-02T12:00:00.000Z");
    CHECK(api.post("/api/v1/alerts/1/ack", "{}", "ben") == 409);
    CHECK(api.last["error"].get<std::string>().find("acknowledged already, by anna") !=
          std::string::npos);
    CHECK(api.post("/api/v1/alerts/99/ack", "{}") == 404);
    CHECK(api.post("/api/v1/alerts/1/comment", R"({"text":"swap is full"})") == 201);
    const json alert = api.get("/api/v1/alerts/1");
    REQUIRE(alert["timeline"].size() == 3);
    CHECK(alert["timeline"][0]["what"] == "firing");
    CHECK(alert["timeline"][0]["value"] == 0.93);
    CHECK(alert["timeline"][1]["what"] == "acknowledged");
    CHECK(alert["timeline"][2]["text"] == "swap is full");
    CHECK(api.get("/api/v1/alerts/1", {{"limit", "1"}, {"offset", "2"}})["timeline"][0]["what"] ==
          "comment");
    CHECK(api.post("/api/v1/alerts/1/unack", "{}") == 200);
    CHECK(api.last["acknowledged"].is_null());
    const json audit = api.get("/api/v1/audit", {{"author", "an*"}})["audit"];
    REQUIRE(audit.size() == 3);
    CHECK(audit[0]["action"] == "alert.unacknowledge");
    CHECK(audit[2]["address"] == "127.0.0.1");
    CHECK(audit[2]["after"] == "by anna until 2026-03-02T12:00:00Z: on it");
}

TEST_CASE("hostile bodies are refused with what is wrong", "[alert_api]") {
    Api api;
    const std::string deep = std::string(20'000, '[') + std::string(20'000, ']');
    for (const std::string& body :
         {std::string("["), std::string("[]"), std::string("7"), std::string("\xff\xfe"),
          std::string("{\"comment\":\"\xc3\"}"), std::string(R"({"comment":7})"),
          std::string(R"({"for":"soon"})"), std::string(R"({"for":-1})"),
          std::string(R"({"for":"99y"})"), std::string(R"({"comment":"a\u001b[2Jb"})"),
          std::string(R"({"comment":"a\u009bb"})"), std::string(R"({"comment":"a\nb"})"),
          std::string(R"({"sudo":true})"), deep,
          "{\"comment\":\"" + std::string(1001, 'x') + "\"}"}) {
        INFO(body.substr(0, 60));
        CHECK(api.post("/api/v1/alerts/1/ack", body) == 400);
        CHECK_FALSE(api.last["error"].get<std::string>().empty());
    }
    CHECK(api.post("/api/v1/alerts/1/ack", "{}", "") == 400);
    CHECK(api.post("/api/v1/alerts/1/ack", "{}", "a\x1b[31m") == 400);
    for (const char* path :
         {"/api/v1/alerts/0/ack", "/api/v1/alerts/-1/ack", "/api/v1/alerts/x",
          "/api/v1/alerts/99999999999999999999/ack", "/api/v1/alerts/1/explode", "/api/v1/alerts/",
          "/api/v1/silences/1/explode", "/api/v1/silences/x", "/api/v1/silences/"})
        CHECK(api.post(path, "{}") == 404);
    ApiRequest form{"/api/v1/alerts/1/ack", {}, "POST", "text/plain", "{}", "anna", ""};
    CHECK(api.answer(form).status == 415);
    form.path = "/api/v1/silences";
    CHECK(api.answer(form).status == 415);
    CHECK(api.get("/api/v1/alerts/1")["acknowledged"].is_null());
    CHECK(api.get("/api/v1/audit")["audit"].empty());
}

TEST_CASE("a silence over HTTP needs its end, its comment and its author", "[alert_api]") {
    Api api;
    const std::string path = "/api/v1/silences";
    const std::string host = R"("matchers":{"host":"web-1"})";
    CHECK(api.post(path, "{" + host + R"(,"comment":"x"})") == 400);
    CHECK(api.post(path, "{" + host + R"(,"for":"1h","until":"2026-03-02T12:00:00Z"})") == 400);
    CHECK(api.post(path, "{" + host + R"(,"for":"1h"})") == 400);
    CHECK(api.post(path, "{" + host + R"(,"for":"1h","comment":"x"})", "") == 400);
    CHECK(api.post(path, R"({"for":"1h","comment":"x"})") == 400);
    CHECK(api.post(path, R"({"matchers":[],"for":"1h","comment":"x"})") == 400);
    CHECK(api.post(path, R"({"matchers":{},"for":"1h","comment":"x"})") == 409);
    CHECK(api.post(path, R"({"matchers":{},"for":"1h","comment":"x","force":"yes"})") == 400);
    CHECK(api.get(path)["silences"].empty());
    CHECK(api.post(path + "/preview", "{" + host + "}") == 200);
    CHECK(api.last["alerts_total"] == 1);
    CHECK(api.post(path, "{" + host + R"(,"for":"1h","comment":"x"})") == 201);
    CHECK(api.get("/api/v1/alerts/1")["silence"] == 1);
    CHECK(api.get("/api/v1/alerts/2")["silence"].is_null());
    CHECK(api.post(path + "/1/extend", R"({"for":"3h"})") == 200);
    CHECK(api.last["ends"] == "2026-03-02T13:00:00.000Z");
    CHECK(api.post(path + "/1/expire", "{}") == 200);
    CHECK(api.post(path + "/1/expire", "{}") == 404);
    CHECK(api.get(path)["silences"].empty());
    CHECK(api.get(path, {{"ended", "1"}})["silences"][0]["state"] == "ended");
}

TEST_CASE("rules are listed with what fires of them", "[alert_api]") {
    Api api;
    const json rules = api.get("/api/v1/rules")["rules"];
    REQUIRE(rules.size() == 1);
    CHECK(rules[0]["id"] == "cpu");
    CHECK(rules[0]["firing"] == 2);
    CHECK(rules[0]["levels"][0]["for"] == "5m");
}

TEST_CASE("the audit log never holds a token's secret", "[alert_api]") {
    const ApiRequest create{"/api/v1/tokens", {}, "POST", "application/json", "{}"};
    const ApiResponse made{
        201, "application/json",
        R"({"id":"0123abcd","token":"rlt1_secret","expires":"2026-03-02T11:00:00Z","max_uses":3})"};
    const auto change = audited_change(create, made);
    REQUIRE(change);
    CHECK(change->action == "token.create");
    CHECK(change->subject == "token 0123abcd");
    CHECK(change->after == "until 2026-03-02T11:00:00Z, for 3 hosts");
    CHECK_FALSE(audited_change(create, {400, "application/json", "{}"}));
}

TEST_CASE("why a rule does not fire yet, and when it would", "[alert_api]") {
    Api api;
    const std::int64_t begin = to_unix_ms(api.clock.wall_now());
    for (int i = 0; i <= 4; ++i)
        api.sample("web-1", "used", begin + i * 15'000, i == 0 ? 0.5 : 0.9);
    const json answer = api.get("/api/v1/rules/explain", {{"rule", "cpu"}, {"host", "web-1"}});
    REQUIRE(answer["conditions"].size() == 1);
    const json& condition = answer["conditions"][0];
    CHECK(condition["state"] == "pending");
    CHECK(condition["value"] == 0.9);
    CHECK(condition["clear"]["op"] == "not >");
    const auto time = [&](std::int64_t ms) { return format_rfc3339(from_unix_ms(begin + ms)); };
    REQUIRE(condition["levels"].size() == 1);
    CHECK(condition["levels"][0]["breaching_since"].get<std::string>().substr(0, 19) ==
          time(15'000).substr(0, 19));
    CHECK(condition["levels"][0]["fires_at"].get<std::string>().substr(0, 19) ==
          time(315'000).substr(0, 19));
    CHECK(answer["why"] == "");
}

TEST_CASE("why a rule does not apply to a host", "[alert_api]") {
    Api api;
    api.sample("web-1", "idle", to_unix_ms(api.clock.wall_now()), 0.5);
    const auto ask = [&](const char* rule, const char* host) {
        const ApiResponse response =
            api.send("GET", "/api/v1/rules/explain", "", "", {{"rule", rule}, {"host", host}});
        const json body = json::parse(response.body);
        return response.status == 200
                   ? body["why"].get<std::string>()
                   : body["error"].get<std::string>() + ' ' + body["hint"].get<std::string>();
    };
    CHECK(ask("cpu", "web-1") == "the host sends no system.cpu.utilization");  // it left the window
    CHECK(ask("cpi", "web-1") == "there is no rule \"cpi\" did you mean \"cpu\"?");
    CHECK(ask("cpu", "web-2") == "there is no host \"web-2\" did you mean \"web-1\"?");
    CHECK(api.send("GET", "/api/v1/rules/explain", "", "", {{"rule", "cpu"}}).status == 400);
    CHECK(api.send("POST", "/api/v1/rules/explain", "{}").status == 405);
}
