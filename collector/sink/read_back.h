// Whether a request whose answer was lost has arrived: asked of CloudWatch itself. Pure.
//
// PutMetricData has no idempotency token, and takes a request whole or not at all. So every request
// carries one datum of our own, its marker, and reading the marker back says what became of the
// request. All markers are one metric, ridgeline.cloudwatch.request{writer}; a marker is a second
// and a slot, and counts 2^slot samples there, so that the second's SampleCount, read as bits, says
// which of its requests arrived. No slot is given twice. The marker's value is 1 plus the second of
// its minute: of a minute whose Maximum is 1, the SampleCount of the whole minute says the same,
// and that can be read for 15 days, where single seconds are kept for three hours.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/sink/datum.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

struct Marker {
    std::int64_t second = 0;  // Unix time
    unsigned slot = 0;
    auto operator<=>(const Marker&) const = default;
};

// A double counts exactly up to 2^53.
inline constexpr unsigned kMarkerSlots = 50;

// Hands out markers: the slots of a minute's first second, then those of the second after, 3,000 a
// minute.
class MarkerBook {
  public:
    // `last`: the newest that may ever have been given out.
    explicit MarkerBook(std::optional<Marker> last = std::nullopt) : last_(last) {}
    Marker next(WallTime now);
    const std::optional<Marker>& last() const { return last_; }

  private:
    std::optional<Marker> last_;
};

// The one metric that all markers of a writer are.
MetricIdentity marker_metric(std::string_view writer);
// A request that carries none is known by this number, and can never be read back.
inline Marker no_marker(std::int64_t number) {
    return {-number, 0};
}

// The marker as a MetricDatum.
std::string marker_json(const Marker& marker, std::string_view writer);

// One GetMetricStatistics request: the seconds, or with `by_minute` the minutes, of [from_s, to_s).
struct ReadBackQuery {
    std::int64_t from_s = 0;
    std::int64_t to_s = 0;
    bool by_minute = false;
};

// What can be read of the oldest of `markers` (not empty) and the others near it. nullopt: it can
// never be.
std::optional<ReadBackQuery> read_back_query(const std::vector<Marker>& markers, WallTime now);
std::string read_back_json(const ReadBackQuery& query, std::string_view name_space,
                           std::string_view writer);

enum class Arrival : std::uint8_t {
    unknown,  // the query does not cover it
    arrived,
    absent,  // so far: CloudWatch shows data with a delay
};

class ReadBackAnswer {
  public:
    // Errc::corrupt when the body is not GetMetricStatistics' answer.
    static Result<ReadBackAnswer> parse(std::string_view body, const ReadBackQuery& query);
    Arrival arrival_of(const Marker& marker) const;

  private:
    struct Point {
        std::int64_t at_s = 0;
        std::uint64_t bits = 0;
        double maximum = 0;
    };
    ReadBackQuery query_;
    std::vector<Point> points_;
};

}  // namespace ridgeline::collector
