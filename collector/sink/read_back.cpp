#include "collector/sink/read_back.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

constexpr std::int64_t kMinute = 60;
// GetMetricStatistics gives 1,440 points (its page in the API Reference).
constexpr std::int64_t kPointsMax = 1'440;
// MetricDatum$StorageResolution: seconds are kept for 3 hours, minutes for 15 days. A quarter of an
// hour, and a day, less, so that what is asked for is there.
constexpr std::int64_t kSecondsReadable = 3 * 3600 - 900;
constexpr std::int64_t kMinutesReadable = 14 * 86'400;
// A clock that was set back is followed, but not by the minute.
constexpr std::int64_t kAheadMax = 3'600;
constexpr const char* kMetric = "ridgeline.cloudwatch.request";

std::int64_t minute_of(std::int64_t second) {
    return second / kMinute * kMinute;
}

}  // namespace

Marker MarkerBook::next(WallTime now) {
    const std::int64_t minute = minute_of(to_unix_ms(now) / 1000);
    Marker marker{minute, 0};
    if (last_ && last_->second >= minute && last_->second < minute + kAheadMax) {
        marker = *last_;
        if (++marker.slot == kMarkerSlots) {
            marker.slot = 0;
            ++marker.second;
        }
    }
    last_ = marker;
    return marker;
}

MetricIdentity marker_metric(std::string_view writer) {
    return {kMetric, {{"writer", std::string(writer)}}, "None"};
}

std::string marker_json(const Marker& marker, std::string_view writer) {
    const double count = std::ldexp(1.0, static_cast<int>(marker.slot));
    const auto value = static_cast<double>(marker.second % kMinute + 1);
    std::string out = std::string(R"({"MetricName":")") + kMetric +
                      R"(","Dimensions":[{"Name":"writer","Value":")";
    out.append(writer).append(R"("}],"Timestamp":)").append(std::to_string(marker.second));
    out.append(R"(,"StatisticValues":{"SampleCount":)").append(shortest(count));
    out.append(R"(,"Sum":)").append(shortest(count * value));
    out.append(R"(,"Minimum":)").append(shortest(value));
    out.append(R"(,"Maximum":)").append(shortest(value));
    return out + R"(},"Unit":"None","StorageResolution":1})";
}

std::optional<ReadBackQuery> read_back_query(const std::vector<Marker>& markers, WallTime now) {
    const auto [oldest, newest] = std::minmax_element(markers.begin(), markers.end());
    const std::int64_t now_s = to_unix_ms(now) / 1000;
    if (oldest->second > now_s - kSecondsReadable) {
        return ReadBackQuery{oldest->second,
                             std::min(newest->second + 1, oldest->second + kPointsMax), false};
    }
    const bool first_second = oldest->second % kMinute == 0;
    if (!first_second || oldest->second < now_s - kMinutesReadable) return std::nullopt;
    const std::int64_t last = std::min(minute_of(newest->second), now_s - kSecondsReadable);
    return ReadBackQuery{oldest->second,
                         std::min(minute_of(last) + kMinute, oldest->second + kPointsMax * kMinute),
                         true};
}

std::string read_back_json(const ReadBackQuery& query, std::string_view name_space,
                           std::string_view writer) {
    return nlohmann::json{{"Namespace", name_space},
                          {"MetricName", kMetric},
                          {"Dimensions", {{{"Name", "writer"}, {"Value", writer}}}},
                          {"StartTime", query.from_s},
                          {"EndTime", query.to_s},
                          {"Period", query.by_minute ? kMinute : 1},
                          {"Statistics", {"SampleCount", "Maximum"}}}
        .dump();
}

Result<ReadBackAnswer> ReadBackAnswer::parse(std::string_view body, const ReadBackQuery& query) {
    const auto document = nlohmann::json::parse(body, nullptr, false);
    const auto bad = [] {
        return fail(Errc::corrupt, "the answer to GetMetricStatistics cannot be used");
    };
    if (!document.is_object()) return bad();
    ReadBackAnswer answer;
    answer.query_ = query;
    const auto points = document.find("Datapoints");
    if (points == document.end()) return answer;  // an empty list is left out by some
    if (!points->is_array() || points->size() > static_cast<std::size_t>(kPointsMax)) return bad();
    for (const auto& point : *points) {
        if (!point.is_object()) return bad();
        double numbers[3] = {};
        const char* names[3] = {"Timestamp", "SampleCount", "Maximum"};
        for (std::size_t i = 0; i < 3; ++i) {
            const auto it = point.find(names[i]);
            if (it == point.end() || !it->is_number()) return bad();
            numbers[i] = it->get<double>();
        }
        const double limit = std::ldexp(1.0, 53);
        if (!(std::abs(numbers[0]) < limit) || !(numbers[1] >= 0 && numbers[1] < limit))
            return bad();
        answer.points_.push_back({static_cast<std::int64_t>(numbers[0]),
                                  static_cast<std::uint64_t>(numbers[1]), numbers[2]});
    }
    return answer;
}

Arrival ReadBackAnswer::arrival_of(const Marker& marker) const {
    if (marker.second < query_.from_s || marker.second >= query_.to_s) return Arrival::unknown;
    if (query_.by_minute && marker.second % kMinute != 0) return Arrival::unknown;
    for (const Point& point : points_) {
        if (point.at_s != marker.second) continue;
        // Seconds after the first were used too, and their bits are in the sum.
        if (query_.by_minute && point.maximum != 1) return Arrival::unknown;
        return ((point.bits >> marker.slot) & 1) != 0 ? Arrival::arrived : Arrival::absent;
    }
    return Arrival::absent;
}

}  // namespace ridgeline::collector
