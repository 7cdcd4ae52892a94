// One series over one period, as CloudWatch takes it: the values themselves while they are few, a
// statistic set beyond. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"

namespace ridgeline::collector {

// PutMetricData takes 150 unique values in a datum (MetricDatum$Values in the CloudWatch API
// Reference).
inline constexpr std::size_t kUniqueValuesMax = 150;

struct Dimension {
    std::string name;
    std::string value;
    auto operator<=>(const Dimension&) const = default;
};

// What CloudWatch tells metrics apart by; the unit belongs to it, because data of different units
// are aggregated apart.
struct MetricIdentity {
    std::string name;
    std::vector<Dimension> dimensions;
    std::string_view unit = "None";  // one of CloudWatch's 27 names, static text
    auto operator<=>(const MetricIdentity&) const = default;
};

class Statistics {
  public:
    void add(double value);

    std::uint64_t count() const { return count_; }
    double sum() const { return sum_; }
    double minimum() const { return minimum_; }
    double maximum() const { return maximum_; }
    // Every value with how often it came, ascending; empty once more than kUniqueValuesMax differ.
    const std::vector<std::pair<double, std::uint32_t>>& values() const { return values_; }
    bool exact() const { return !values_.empty(); }

  private:
    std::vector<std::pair<double, std::uint32_t>> values_;
    bool overflowed_ = false;
    std::uint64_t count_ = 0;
    double sum_ = 0;
    double minimum_ = 0;
    double maximum_ = 0;
};

struct Datum {
    MetricIdentity metric;
    WallTime timestamp;  // the period's begin
    Statistics statistics;
    std::chrono::milliseconds period = {};  // zero: the configuration's
};

// Collects samples into datums. Order of the result depends on what was added, not on when.
class Aggregation {
  public:
    explicit Aggregation(std::chrono::milliseconds period) : period_(period) {}
    // Interns an identity; the number is valid until take(). Its datums are over `period`, of which
    // the aggregation's is a multiple; zero: the aggregation's.
    std::size_t series(const MetricIdentity& metric, std::chrono::milliseconds period = {});
    void add(std::size_t series, WallTime at, double value);
    std::size_t datum_count() const { return datum_count_; }
    // All datums, ordered by identity and time; the object is empty afterwards.
    std::vector<Datum> take();

  private:
    std::chrono::milliseconds period_;
    std::map<MetricIdentity, std::size_t> numbers_;
    struct Series {
        std::chrono::milliseconds period;
        std::map<WallTime, Statistics> periods;
    };
    std::vector<Series> series_;
    std::size_t datum_count_ = 0;
};

}  // namespace ridgeline::collector
