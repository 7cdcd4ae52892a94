// One series over one period, as CloudWatch takes it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/sink/value_buckets.h"
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

// Count, sum, minimum and maximum exactly, and the values: each with how often it came while at
// most kUniqueValuesMax differ, in buckets beyond (ValueBuckets says how exact those are).
class Statistics {
  public:
    // Finite, and zero or of a magnitude within 2^-360..2^360.
    void add(double value) { add(value, 1); }
    void merge(const Statistics& other);

    std::uint64_t count() const { return count_; }
    double sum() const { return sum_; }
    double minimum() const { return minimum_; }
    double maximum() const { return maximum_; }
    // Whether values() are those that were added.
    bool exact() const { return buckets_.empty(); }
    // How far a percentile of values() may be off: 0 if exact.
    double relative_error() const { return exact() ? 0 : buckets_.relative_error(); }
    // Ascending, beginning with the minimum and ending with the maximum.
    std::vector<CountedValue> values() const;

  private:
    void add(double value, std::uint64_t count);
    void put(double value, std::uint64_t count);

    // Two columns, because most values come once: 8 bytes for each then.
    std::vector<double> values_;
    std::vector<std::uint32_t> counts_;  // empty: each came once
    ValueBuckets buckets_;
    std::uint64_t count_ = 0;
    double sum_ = 0;
    double minimum_ = 0;
    double maximum_ = 0;
};

struct Datum {
    std::shared_ptr<const MetricIdentity> metric;
    WallTime timestamp;  // the period's begin
    Statistics statistics;
    std::chrono::milliseconds period = {};  // zero: the configuration's
};

// Samples of [begin, end), both on a period's boundary, that a flush leaves to the next one because
// their period is not over. What is further ahead comes of a wrong clock and is not waited for.
struct KeptBack {
    WallTime begin;
    WallTime end;
    bool contains(WallTime t) const { return begin <= t && t < end; }
    bool operator==(const KeptBack&) const = default;
};

// Collects samples into datums. Order of the result depends on what was added, not on when.
class Aggregation {
  public:
    explicit Aggregation(std::chrono::milliseconds period) : period_(period) {}
    // Interns an identity; the number is valid until take() without arguments, or compact(). Its
    // datums are over `period`, of which the aggregation's is a multiple; zero: the aggregation's.
    std::size_t series(const MetricIdentity& metric, std::chrono::milliseconds period = {});
    // `carried`: it was kept back before, and is no more.
    void add(std::size_t series, WallTime at, double value, bool carried = false);
    std::size_t datum_count() const { return datum_count_; }
    // All datums, ordered by identity and time; the object is empty afterwards.
    std::vector<Datum> take();
    // All but those of periods in `kept`, which stay and are carried from now on. What was carried
    // already is taken whatever its period, or, with `leave_carried`, stays as well.
    std::vector<Datum> take(const KeptBack& kept, bool leave_carried);
    bool carries() const;
    // Forgets series that nothing is held of.
    void compact();

  private:
    struct Period {
        WallTime begin;
        bool carried = false;
        Statistics statistics;
    };
    struct Series {
        std::shared_ptr<const MetricIdentity> metric;
        std::chrono::milliseconds period;
        std::vector<Period> periods;  // by begin, and those carried first
    };
    struct ByIdentity {
        using is_transparent = void;
        static const MetricIdentity& of(const std::shared_ptr<const MetricIdentity>& metric) {
            return *metric;
        }
        static const MetricIdentity& of(const MetricIdentity& metric) { return metric; }
        template <class A, class B>
        bool operator()(const A& a, const B& b) const {
            return of(a) < of(b);
        }
    };

    std::chrono::milliseconds period_;
    std::map<std::shared_ptr<const MetricIdentity>, std::size_t, ByIdentity> numbers_;
    std::vector<Series> series_;
    std::size_t datum_count_ = 0;
};

}  // namespace ridgeline::collector
