#include "collector/ctl/top_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::int64_t kStaleMs =
    45'000;  // a figure older than this is not shown as the present one
constexpr std::int64_t kHistoryMs = 5 * 60 * 1000;
constexpr std::int64_t kHistoryStepMs = 15'000;

using Hosts = std::map<std::string, TopHost>;

std::int64_t time_of(const json& entry, const char* key) {
    const auto text = entry.find(key);
    if (text == entry.end() || !text->is_string()) return 0;
    const auto t = parse_rfc3339(text->get<std::string>());
    return t ? to_unix_ms(*t) : 0;
}

Result<json> series_of(const ApiClient& client, const std::string& metric,
                       std::map<std::string, std::string> args) {
    args["metric"] = metric;
    args["limit"] = "100000";
    RL_ASSIGN_OR_RETURN(json answer, client.get("/api/v1/series", args));
    return answer.value("series", json::array());
}

std::string attribute(const json& series, const char* key) {
    const auto attributes = series.value("attributes", json::object());
    return attributes.value(key, std::string());
}

// Calls `take(host, series, value)` for each series whose newest sample is no older than
// `stale_ms`.
template <class Take>
void for_fresh(const json& all, Hosts& hosts, std::int64_t now_ms, std::int64_t stale_ms,
               Take take) {
    for (const json& series : all) {
        const auto host = hosts.find(series.value("host", std::string()));
        if (host == hosts.end() || now_ms - time_of(series, "latest_time") > stale_ms) continue;
        take(host->second, series, series.value("latest", 0.0));
    }
}

Result<void> add_figures(const ApiClient& client, Hosts& hosts, std::int64_t now_ms) {
    RL_ASSIGN_OR_RETURN(const json cpu, series_of(client, "system.cpu.utilization",
                                                  {{"attr.state", "used"}, {"attr.cpu", ""}}));
    for_fresh(cpu, hosts, now_ms, kStaleMs,
              [](TopHost& host, const json&, double value) { host.cpu = value; });
    RL_ASSIGN_OR_RETURN(const json memory,
                        series_of(client, "system.memory.utilization", {{"attr.state", "used"}}));
    for_fresh(memory, hosts, now_ms, kStaleMs,
              [](TopHost& host, const json&, double value) { host.memory = value; });
    RL_ASSIGN_OR_RETURN(const json disk, series_of(client, "system.filesystem.utilization",
                                                   {{"attr.state", "used"}}));
    for_fresh(disk, hosts, now_ms, kStaleMs, [](TopHost& host, const json& series, double value) {
        if (host.disk && *host.disk >= value) return;
        host.disk = value;
        host.disk_mountpoint = attribute(series, "mountpoint");
    });
    RL_ASSIGN_OR_RETURN(const json network, series_of(client, "system.network.throughput", {}));
    for_fresh(
        network, hosts, now_ms, kStaleMs, [](TopHost& host, const json& series, double value) {
            auto& sum = attribute(series, "direction") == "receive" ? host.receive : host.transmit;
            sum = sum.value_or(0) + value;
        });
    // Certificates are looked at once an hour; the newest reading of each place counts.
    RL_ASSIGN_OR_RETURN(const json certificates,
                        series_of(client, "tls.certificate.expiry_time", {}));
    for_fresh(certificates, hosts, now_ms, std::int64_t{26} * 3600 * 1000,
              [&](TopHost& host, const json&, double expiry_s) {
                  const double left = expiry_s - static_cast<double>(now_ms) / 1000;
                  if (!host.certificate_seconds || left < *host.certificate_seconds)
                      host.certificate_seconds = left;
              });
    return {};
}

Result<void> add_history(const ApiClient& client, Hosts& hosts, std::int64_t now_ms) {
    const std::int64_t end_ms = now_ms - now_ms % kHistoryStepMs;
    const auto answer = client.get("/api/v1/query", {{"metric", "system.cpu.utilization"},
                                                     {"attr.state", "used"},
                                                     {"attr.cpu", ""},
                                                     {"from", std::to_string(end_ms - kHistoryMs)},
                                                     {"to", std::to_string(now_ms)},
                                                     {"step", std::to_string(kHistoryStepMs)}});
    // Of a fleet larger than one answer takes, the figures are shown without their history.
    if (!answer)
        return answer.error().code == Errc::invalid_argument ? Result<void>{}
                                                             : fail(answer.error());
    for (const json& series : answer->value("series", json::array())) {
        const auto host = hosts.find(series.value("host", std::string()));
        if (host == hosts.end()) continue;
        std::vector<double> history(static_cast<std::size_t>(kHistoryMs / kHistoryStepMs) + 1,
                                    std::numeric_limits<double>::quiet_NaN());
        for (const json& point : series.value("points", json::array())) {
            const std::int64_t step =
                (point.value("t", std::int64_t{0}) - (end_ms - kHistoryMs)) / kHistoryStepMs;
            if (step >= 0 && step < static_cast<std::int64_t>(history.size())) {
                history[static_cast<std::size_t>(step)] = point.value("avg", 0.0);
            }
        }
        host->second.cpu_history = std::move(history);
    }
    return {};
}

Result<std::vector<TopAlert>> add_alerts(const ApiClient& client, Hosts& hosts,
                                         std::int64_t now_ms) {
    RL_ASSIGN_OR_RETURN(const json answer, client.get("/api/v1/alerts", {{"state", "firing"}}));
    std::vector<TopAlert> alerts;
    for (const json& entry : answer.value("alerts", json::array())) {
        TopAlert alert;
        alert.severity = entry.value("severity", std::string());
        alert.host = entry.value("host", std::string());
        alert.summary = entry.value("summary", std::string());
        const std::int64_t since_ms = time_of(entry, "since");
        alert.since = format_rfc3339(from_unix_ms(since_ms));
        alert.age_seconds = std::max<std::int64_t>(0, (now_ms - since_ms) / 1000);
        if (const auto host = hosts.find(alert.host); host != hosts.end()) {
            ++host->second.alerts;
            if (host->second.worst.empty() || alert.severity < host->second.worst)
                host->second.worst = alert.severity;
        }
        alerts.push_back(std::move(alert));
    }
    std::stable_sort(alerts.begin(), alerts.end(),
                     [](const TopAlert& a, const TopAlert& b) { return a.severity < b.severity; });
    return alerts;
}

json optional_json(const std::optional<double>& value) {
    return value ? json(*value) : json(nullptr);
}

}  // namespace

Result<TopModel> fetch_top(const ApiClient& client, std::int64_t now_ms) {
    RL_ASSIGN_OR_RETURN(const json answer, client.get("/api/v1/hosts", {}));
    Hosts hosts;
    for (const json& entry : answer.value("hosts", json::array())) {
        TopHost host;
        host.id = entry.value("id", std::string());
        host.connected = entry.value("connected", false);
        hosts[host.id] = std::move(host);
    }
    TopModel model;
    model.time = format_rfc3339(from_unix_ms(now_ms));
    RL_TRY(add_figures(client, hosts, now_ms));
    RL_TRY(add_history(client, hosts, now_ms));
    RL_ASSIGN_OR_RETURN(model.alerts, add_alerts(client, hosts, now_ms));
    for (auto& [id, host] : hosts)
        model.hosts.push_back(std::move(host));
    return model;
}

json to_json(const TopModel& model) {
    json hosts = json::array();
    for (const TopHost& host : model.hosts) {
        hosts.push_back({{"id", host.id},
                         {"connected", host.connected},
                         {"cpu", optional_json(host.cpu)},
                         {"memory", optional_json(host.memory)},
                         {"disk", optional_json(host.disk)},
                         {"disk_mountpoint", host.disk_mountpoint},
                         {"receive_bytes_per_second", optional_json(host.receive)},
                         {"transmit_bytes_per_second", optional_json(host.transmit)},
                         {"certificate_seconds", optional_json(host.certificate_seconds)},
                         {"alerts", host.alerts},
                         {"worst", host.worst}});
    }
    json alerts = json::array();
    for (const TopAlert& alert : model.alerts) {
        alerts.push_back({{"severity", alert.severity},
                          {"host", alert.host},
                          {"summary", alert.summary},
                          {"since", alert.since}});
    }
    return {{"time", model.time}, {"hosts", hosts}, {"alerts", alerts}};
}

}  // namespace ridgeline::collector
