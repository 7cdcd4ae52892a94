#include "collector/cloudwatch/metric_data.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::size_t kTokenBytesMax = 64 << 10;
constexpr std::size_t kMessageBytesMax = 512;

std::string text_of(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Result<MetricDataPage::Status> status_of(const std::string& code) {
    using Status = MetricDataPage::Status;
    if (code.empty() || code == "Complete") return Status::complete;
    if (code == "PartialData") return Status::partial;
    if (code == "InternalError") return Status::internal_error;
    if (code == "Forbidden") return Status::forbidden;
    return fail(Errc::corrupt, "StatusCode is \"" + printable(code, 50) + "\"");
}

Result<MetricDataPage::Result> read_result(const json& one, std::size_t query_count,
                                           const MetricDataWindow& window) {
    if (!one.is_object()) return fail(Errc::corrupt, "a result is no object");
    MetricDataPage::Result result;
    const std::string id = text_of(one, "Id");
    const auto number = id.starts_with('m') ? to_u64(std::string_view(id).substr(1)) : std::nullopt;
    if (!number || *number >= query_count)
        return fail(Errc::corrupt, "it answers \"" + printable(id, 50) + "\", which was not asked");
    result.query = static_cast<std::size_t>(*number);
    RL_ASSIGN_OR_RETURN(result.status, status_of(text_of(one, "StatusCode")));
    if (const auto messages = one.find("Messages"); messages != one.end() && messages->is_array() &&
                                                    !messages->empty() &&
                                                    messages->front().is_object())
        result.message = printable(text_of(messages->front(), "Value"), kMessageBytesMax);
    const json times = one.value("Timestamps", json::array());
    const json values = one.value("Values", json::array());
    if (!times.is_array() || !values.is_array() || times.size() != values.size())
        return fail(Errc::corrupt, "Timestamps and Values of " + id + " do not fit together");
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (!times[i].is_number() || !values[i].is_number())
            return fail(Errc::corrupt, "a point of " + id + " is no number");
        const double at = times[i].get<double>();
        const double value = values[i].get<double>();
        const auto from = static_cast<double>(window.from_s);
        const auto to = static_cast<double>(window.to_s);
        if (!std::isfinite(value) || !(at >= from && at < to))
            return fail(Errc::corrupt, "a point of " + id + " lies outside what was asked for");
        result.points.emplace_back(static_cast<std::int64_t>(at), value);
    }
    return result;
}

}  // namespace

std::size_t queries_per_request(const MetricDataWindow& window) {
    const auto points = static_cast<std::size_t>(std::max<std::int64_t>(window.points(), 1));
    return std::clamp<std::size_t>(kPointsPerRequestMax / points, 1, kQueriesPerRequestMax);
}

std::string metric_data_request(std::span<const AwsMetricQuery* const> queries,
                                const MetricDataWindow& window, std::string_view next_token) {
    json list = json::array();
    for (std::size_t i = 0; i < queries.size(); ++i) {
        const AwsMetricQuery& query = *queries[i];
        json metric = {{"Namespace", query.space}, {"MetricName", query.metric}};
        for (const Dimension& dimension : query.dimensions)
            metric["Dimensions"].push_back({{"Name", dimension.name}, {"Value", dimension.value}});
        list.push_back({{"Id", "m" + std::to_string(i)},
                        {"MetricStat",
                         {{"Metric", metric}, {"Period", window.period_s}, {"Stat", query.stat}}}});
    }
    json request = {{"StartTime", window.from_s},
                    {"EndTime", window.to_s},
                    {"ScanBy", "TimestampAscending"},
                    {"MetricDataQueries", list}};
    if (!next_token.empty()) request["NextToken"] = next_token;
    return request.dump();
}

Result<MetricDataPage> parse_metric_data(std::string_view body, std::size_t query_count,
                                         const MetricDataWindow& window) {
    const json document = json::parse(body, nullptr, false);
    const auto what = [](std::string why) {
        return fail(Errc::corrupt, "GetMetricData's answer cannot be used: " + why);
    };
    if (!document.is_object()) return what("it is no JSON object");
    MetricDataPage page;
    const auto results = document.find("MetricDataResults");
    if (results == document.end() || !results->is_array())
        return what("it has no MetricDataResults");
    for (const json& one : *results) {
        auto result = read_result(one, query_count, window);
        if (!result) return what(result.error().context);
        page.results.push_back(std::move(*result));
    }
    page.next_token = text_of(document, "NextToken");
    if (page.next_token.size() > kTokenBytesMax) return what("its NextToken is too long");
    return page;
}

}  // namespace ridgeline::collector
