#include "collector/http/routes.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "collector/http/prometheus_text.h"
#include "collector/http/server.h"
#include "tests/support/catch.h"
#include "tests/support/fake_api_model.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using nlohmann::json;

namespace {

struct Api {
    test::FakeApiModel model;
    ApiResponse get(const std::string& path, QueryArgs args = {}) {
        ApiRequest request;
        request.path = path;
        request.args = std::move(args);
        return handle_request(model, model, request);
    }
    json ask(const std::string& path, QueryArgs args = {}) {
        const ApiResponse response = get(path, std::move(args));
        REQUIRE(response.status == 200);
        return json::parse(response.body);
    }
    std::string refusal(const std::string& path, QueryArgs args) {
        const ApiResponse response = get(path, std::move(args));
        CHECK(response.status == 400);
        return json::parse(response.body).value("error", "");
    }
};

SeriesView cpu(std::uint32_t id, const std::string& host) {
    return {id, host, "system.cpu.utilization", "1", {{"state", "used"}}, 0.25, 1'772'445'599'000};
}

}  // namespace

TEST_CASE("health and readiness are told apart", "[routes]") {
    Api api;
    CHECK(api.get("/healthz").status == 200);
    CHECK(api.get("/readyz").status == 200);
    api.model.not_ready_answer = "reading the log";
    CHECK(api.get("/readyz").status == 503);
    CHECK(api.get("/readyz").body == "reading the log\n");
    CHECK(api.get("/healthz").status == 200);
    CHECK(api.get("/nonsense").status == 404);
}

TEST_CASE("hosts and their odd names survive", "[routes]") {
    Api api;
    HostView host;
    host.id = "web\xff\"1";
    host.tags = {{"role", "web"}};
    host.last_sample_ms = 1'772'445'600'000;
    api.model.hosts_answer = {host};
    const json answer = api.ask("/api/v1/hosts");
    CHECK(answer["hosts"][0]["id"] == "web\xEF\xBF\xBD\"1");
    CHECK(answer["hosts"][0]["tags"]["role"] == "web");
    CHECK(answer["hosts"][0]["last_sample"] == "2026-03-02T10:00:00.000Z");
    CHECK(answer["hosts"][0]["last_seen"].is_null());
}

TEST_CASE("series are paged, selected by host, metric and attributes", "[routes]") {
    Api api;
    for (std::uint32_t i = 0; i < 5; ++i)
        api.model.series_answer.push_back(cpu(i, "h" + std::to_string(i)));
    const json page = api.ask("/api/v1/series", {{"limit", "2"},
                                                 {"offset", "3"},
                                                 {"host", "h*"},
                                                 {"attr.state", "used"},
                                                 {"attr.cpu", ""}});
    CHECK(page["total"] == 5);
    REQUIRE(page["series"].size() == 2);
    CHECK(page["series"][0]["id"] == 3);
    CHECK(api.model.last_filter.host == "h*");
    CHECK(api.model.last_filter.attributes ==
          std::map<std::string, std::string>{{"state", "used"}, {"cpu", ""}});
    CHECK(api.ask("/api/v1/series", {{"offset", "99"}})["series"].empty());
    CHECK(api.refusal("/api/v1/series", {{"limit", "0"}}) ==
          "limit must be a number from 1 to 100000");
    CHECK(api.refusal("/api/v1/series", {{"metrics", "x"}}) == "unknown argument \"metrics\"");
}

TEST_CASE("a query's range and step have defaults and limits", "[routes]") {
    Api api;
    api.model.series_answer = {cpu(0, "a")};
    api.model.points_answer = {{1000, 0.1, 0.3, 0.2, NAN, 3}};
    const json answer = api.ask("/api/v1/query", {{"metric", "system.cpu.utilization"}});
    CHECK(api.model.last_to_ms == api.model.now_ms());
    CHECK(api.model.last_to_ms - api.model.last_from_ms == 15 * 60'000);
    CHECK(api.model.last_step_ms == 3000);
    CHECK(answer["series"][0]["points"][0]["avg"] == 0.2);
    CHECK(answer["series"][0]["points"][0]["last"].is_null());  // not a number, not "nan"
    api.ask("/api/v1/query", {{"metric", "system.cpu.utilization"},
                              {"from", "2026-03-02T09:00:00Z"},
                              {"to", "-30m"},
                              {"step", "1m"}});
    CHECK(api.model.last_to_ms - api.model.last_from_ms == 30 * 60'000);
    CHECK(api.model.last_step_ms == 60'000);
    CHECK(api.refusal("/api/v1/query", {}) == "metric is missing");
    const std::string metric = "system.cpu.utilization";
    CHECK(api.refusal("/api/v1/query", {{"metric", metric}, {"from", "yesterday"}})
              .find("from must be a time") == 0);
    CHECK(api.refusal("/api/v1/query", {{"metric", metric}, {"from", "now"}}) ==
          "from must lie before to");
    CHECK(
        api.refusal("/api/v1/query", {{"metric", metric}, {"step", "-1s"}}).find("step must be") ==
        0);
    CHECK(api.refusal("/api/v1/query", {{"metric", metric}, {"from", "-24h"}, {"step", "1s"}})
              .find("more than 11000 points") != std::string::npos);
    for (std::uint32_t i = 0; i < 300; ++i)
        api.model.series_answer.push_back(cpu(i, "h"));
    CHECK(api.refusal("/api/v1/query", {{"metric", metric}}).find("301 series match") == 0);
}

TEST_CASE("metrics are Prometheus text, the fleet's on request", "[routes]") {
    Api api;
    api.model.series_answer = {
        cpu(0, "b"),
        {1, "a", "tls.certificate.remaining_time", "s", {{"subject", "x\ny\"z"}}, -5, 7}};
    const std::string own = api.get("/metrics").body;
    CHECK(own.find("# TYPE ridgeline_collector_batches_total "
                   "counter\nridgeline_collector_batches_total 7\n") != std::string::npos);
    CHECK(own.find("{reason=\"a\\\"b\"} 1\n") != std::string::npos);
    CHECK(own.find("system_cpu") == std::string::npos);
    const std::string fleet = api.get("/metrics", {{"hosts", "1"}}).body;
    CHECK(fleet.find(
              "system_cpu_utilization_ratio{host=\"b\",state=\"used\"} 0.25 1772445599000\n") !=
          std::string::npos);
    CHECK(fleet.find(
              "tls_certificate_remaining_time_seconds{host=\"a\",subject=\"x?y\\\"z\"} -5 7\n") !=
          std::string::npos);
}

TEST_CASE("only loopback is listened on", "[http]") {
    CHECK(check_listen_address("127.0.0.1:7180")->port == 7180);
    CHECK(check_listen_address("localhost:0")->host == "127.0.0.1");
    CHECK(check_listen_address("[::1]:80")->host == "::1");
    for (const char* bad : {"0.0.0.0:7180", "10.0.0.1:80", "example.com:80", "127.0.0.1",
                            "127.0.0.1:70000", ":80", ""}) {
        CHECK_FALSE(check_listen_address(bad));
    }
}

namespace {
ApiRequest change(const std::string& method, const std::string& path,
                  const std::string& body = "") {
    return {path, {}, method, "application/json", body};
}
}  // namespace

TEST_CASE("a token is made as it was asked for", "[routes][enroll]") {
    test::FakeApiModel model;
    const auto made = handle_request(
        model, model,
        change("POST", "/api/v1/tokens",
               R"({"ttl":"30m","max_uses":5,"tags":{"role":"web"},"endpoints":["tcp://c:1"]})"));
    CHECK(made.status == 201);
    CHECK(json::parse(made.body)["token"] == "rlt1_secret");
    CHECK(model.last_token.lifetime == std::chrono::minutes{30});
    CHECK(model.last_token.uses_max == 5);
    CHECK(model.last_token.tags == std::map<std::string, std::string>{{"role", "web"}});
    CHECK(model.last_token.endpoints == std::vector<std::string>{"tcp://c:1"});

    CHECK(handle_request(model, model, change("POST", "/api/v1/tokens")).status == 201);
    for (const char* bad : {"[]", "{", R"({"ttl":5})", R"({"ttl":"soon"})", R"({"max_uses":-1})",
                            R"({"max_uses":1e99})", R"({"tags":["a"]})", R"({"tags":{"a":1}})",
                            R"({"uses":1})", R"({"endpoints":"tcp://c:1"})"}) {
        CAPTURE(bad);
        CHECK(handle_request(model, model, change("POST", "/api/v1/tokens", bad)).status == 400);
    }
}

TEST_CASE("a list of tokens shows no secret", "[routes][enroll]") {
    test::FakeApiModel model;
    TokenView token;
    token.id = "0123abcd";
    model.tokens_answer = {token};
    ApiRequest request;
    request.path = "/api/v1/tokens";
    const json answer = json::parse(handle_request(model, model, request).body);
    CHECK(answer["tokens"][0]["id"] == "0123abcd");
    CHECK_FALSE(answer["tokens"][0].contains("token"));
}

TEST_CASE("what changes something says so in method and type", "[routes][enroll]") {
    test::FakeApiModel model;
    const auto status = [&](ApiRequest request) {
        return handle_request(model, model, request).status;
    };
    CHECK(status(change("DELETE", "/api/v1/tokens/0123abcd")) == 200);
    CHECK(status(change("DELETE", "/api/v1/tokens/other")) == 404);
    CHECK(status(change("GET", "/api/v1/tokens/0123abcd")) == 405);
    CHECK(status(change("POST", "/api/v1/hosts/web:1/revoke", "{}")) == 200);
    CHECK(model.last_revoked == "web:1");
    CHECK(status(change("POST", "/api/v1/hosts/nobody/revoke", "{}")) == 404);
    CHECK(status(change("GET", "/api/v1/hosts/web/revoke")) == 405);
    CHECK(status(change("POST", "/api/v1/hosts/web/rename", R"({"name":"shop"})")) == 200);
    CHECK(model.last_renamed == "web");
    CHECK(model.last_name == "shop");
    CHECK(status(change("POST", "/api/v1/hosts/web/rename", "{}")) == 400);
    CHECK(status(change("POST", "/api/v1/hosts/web/explode", "{}")) == 404);
    CHECK(status(change("POST", "/api/v1/hosts", "{}")) == 405);
    CHECK(status(change("DELETE", "/api/v1/alerts")) == 405);

    // A form on a strange site can send this; it cannot send application/json unasked.
    model.last_revoked.clear();
    ApiRequest form = change("POST", "/api/v1/hosts/web/revoke", "{}");
    form.content_type = "text/plain";
    CHECK(status(form) == 415);
    form.content_type = "";
    CHECK(status(form) == 415);
    CHECK(model.last_revoked.empty());
}
