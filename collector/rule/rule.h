// A rule, as values: what it looks at, when it fires, when it clears, what it says.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/rule/matcher.h"
#include "common/metric/catalog.h"
#include "common/metric/series.h"

namespace ridgeline::collector {

// Smaller is graver, as people say it: P1 pages at once, P4 can wait a day.
enum class Severity : std::uint8_t { p1 = 1, p2 = 2, p3 = 3, p4 = 4 };
std::string_view to_string(Severity severity);
std::optional<Severity> parse_severity(std::string_view text);

enum class Op : std::uint8_t { greater, greater_equal, less, less_equal, equal, not_equal };
std::string_view to_string(Op op);
bool holds(double value, Op op, double threshold);

enum class Agg : std::uint8_t { last, avg };

struct Level {
    double at = 0;
    std::chrono::milliseconds sustained{};  // `for`
    Severity severity = Severity::p4;
};

struct Rule {
    std::string id;
    const MetricInfo* metric = nullptr;  // of the catalog
    std::map<std::string, TextMatcher> where;
    TextMatcher host;
    std::map<std::string, TextMatcher> tags;
    std::chrono::milliseconds window{};  // zero: the sample itself
    Agg agg = Agg::last;
    Op op = Op::greater;
    std::vector<Level> levels;    // the mildest first
    std::optional<double> clear;  // dead band between it and the mildest level
    std::chrono::milliseconds clear_for = std::chrono::minutes{1};
    // Attributes that tell alerts of one host apart; nullopt: all that `where` does not pin to one
    // value. Series that agree in these are one stream of samples (a renewed certificate goes on
    // where the old one stopped).
    std::optional<std::vector<std::string>> by;
    std::string summary;
    std::string runbook;
    bool enabled = true;
    // Equal for rules that behave alike: a reload keeps the state of those.
    std::string fingerprint;

    bool selects(const HostInfo& host_info, const SeriesDescriptor& series) const;
    // The attributes of `series` that make up the alert's identity, with the host.
    Attributes identity_of(const SeriesDescriptor& series) const;
    // The mildest level's threshold and the dead band's far edge, seen from level `index`.
    double clear_threshold(std::size_t index) const;
};

// Fills {host} {value} {threshold} {severity} {held} {rule} and {<attribute>}; what it does not
// know stays as it is.
std::string render_summary(const Rule& rule, const std::string& host, const Attributes& attributes,
                           double value, const Level& level, std::chrono::milliseconds held);

}  // namespace ridgeline::collector
