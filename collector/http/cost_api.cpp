#include "collector/http/cost_api.h"

#include <algorithm>

#include "collector/http/json_reply.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

// The dearest first are all there; of a fleet's hosts a reader wants no more.
constexpr std::size_t kRowsMax = 10'000;

json rows_json(const std::map<std::string, double>& months, const CloudWatchBill& bill) {
    std::vector<std::pair<std::string, double>> rows(months.begin(), months.end());
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    if (rows.size() > kRowsMax) rows.resize(kRowsMax);
    json list = json::array();
    for (const auto& [name, metric_months] : rows) {
        list.push_back({{"name", name},
                        {"metric_months", metric_months},
                        {"usd", metric_months * bill.blended}});
    }
    return list;
}

json bill_json(const CloudWatchUsage& usage, const CloudWatchPrices& prices) {
    const CloudWatchBill bill = make_bill(usage, prices);
    return {{"total", bill.total()},
            {"items",
             {{{"name", "custom metrics"}, {"count", usage.metric_months}, {"usd", bill.metrics}},
              {{"name", "PutMetricData requests"},
               {"count", usage.put_requests},
               {"usd", bill.requests}},
              {{"name", "metrics read"}, {"count", usage.metrics_read}, {"usd", bill.reads}},
              {{"name", "alarm metrics"},
               {"count", usage.alarm_metrics + usage.alarm_metrics_high_resolution},
               {"usd", bill.alarms}},
              {{"name", "dashboards"}, {"count", usage.dashboards}, {"usd", bill.dashboards}}}},
            {"series", usage.series},
            {"put_bytes", usage.put_bytes},
            {"metric_blended", bill.blended},
            {"metric_marginal", bill.marginal},
            {"by_metric", rows_json(usage.by_metric, bill)},
            {"by_host", rows_json(usage.by_host, bill)},
            {"by_tag", rows_json(usage.by_tag, bill)}};
}

// The settings of a what-if, read as the configuration's own are.
Result<std::optional<CloudWatchConfig>> what_if(const CloudWatchConfig& now,
                                                const QueryArgs& args) {
    if (args.empty()) return std::optional<CloudWatchConfig>();
    CloudWatchConfig config = now;
    std::string text = "[cloudwatch]\n";
    for (const auto& [key, value] : args) {
        for (const char c : value) {
            if (c == '"' || c == '\\' || c < ' ' || c > '~')
                return fail(Errc::invalid_argument, key + " has a character that no name has");
        }
        const bool list = key == "include" || key == "exclude" || key == "dimensions";
        text += key + " = " + (list ? "[" : "");
        bool first = true;
        for (const std::string_view item :
             list ? split(value, ',') : std::vector{std::string_view(value)}) {
            if (list && item.empty()) continue;
            text += std::string(first ? "" : ", ") + '"' + std::string(item) + '"';
            first = false;
        }
        text += list ? "]\n" : "\n";
    }
    ConfigDocument document = ConfigDocument::parse(text, "what-if");
    ConfigTable root = document.root();
    ConfigTable table = root.table("cloudwatch");
    const CloudWatchConfig read = read_cloudwatch_config(table);
    if (!document.ok())
        return fail(Errc::invalid_argument, "what-if: " + document.errors().front().message);
    if (args.contains("include")) config.include = read.include;
    if (args.contains("exclude")) config.exclude = read.exclude;
    if (args.contains("dimensions")) config.dimensions = read.dimensions;
    if (args.contains("period")) config.period = read.period;
    if (args.contains("naming")) config.naming = read.naming;
    return std::optional(config);
}

}  // namespace

std::optional<ApiResponse> handle_cost(const std::function<CostModel()>& model,
                                       const ApiRequest& request) {
    if (request.path != "/api/v1/cost") return {};
    if (!request.reads()) return json_not_allowed("GET, HEAD");
    if (const auto ok = QueryReader(request.args)
                            .only({"include", "exclude", "dimensions", "period", "naming"});
        !ok)
        return json_refusal(ok.error());
    const CostModel cost = model();
    if (!cost.prices) {
        return json_refusal(503, cost.prices.error().context,
                            "name a table in collector.toml: [cloudwatch] prices = \"…\"");
    }
    const auto other = what_if(cost.config, request.args);
    if (!other) return json_refusal(other.error());
    // Switched off, nothing is sent; what-if is about what would be.
    CloudWatchConfig nothing = cost.config;
    nothing.include.clear();
    json answer = {
        {"prices", {{"date", cost.prices->date}, {"currency", cost.prices->currency}}},
        {"enabled", cost.config.enabled},
        {"now", bill_json(cost.usage(cost.config.enabled ? cost.config : nothing), *cost.prices)}};
    if (*other) answer["what_if"] = bill_json(cost.usage(**other), *cost.prices);
    if (cost.budget) {
        answer["budget"] = {{"usd_per_month", cost.budget->usd_per_month},
                            {"estimate", cost.budget->estimate},
                            {"admitted", cost.budget->admitted},
                            {"refused", cost.budget->refused},
                            {"example", cost.budget->example}};
    }
    return json_answer(answer);
}

}  // namespace ridgeline::collector
