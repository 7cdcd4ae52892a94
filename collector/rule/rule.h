// A rule, as values: what it looks at, when it fires, when it clears, what it says. The language is
// described in RULES.md.
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
#include "collector/rule/reduction.h"
#include "collector/rule/summary.h"
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
bool upward(Op op);
bool downward(Op op);

// `m_of_n`: of the last `n` slots, `m` must breach.
struct Slots {
    static constexpr std::size_t kMax = 100;
    std::size_t m = 0;
    std::size_t n = 0;
};

struct Level {
    double at = 0;
    std::chrono::milliseconds sustained{};  // `for`
    std::optional<Slots> slots;             // in its place
    Severity severity = Severity::p4;
};

// Attribute -> what its value must be.
using Where = std::map<std::string, TextMatcher>;

// Another metric of the same host that a rule looks at. A series of it belongs to a series of the
// rule's metric when both agree in the attributes `join`.
struct Companion {
    enum class Role : std::uint8_t {
        condition,  // `and`
        divisor,    // `divide_by`
        target,     // what a forecast reaches
        boot,       // system.boot_time: no increase of a counter is made across a reboot
    };
    Role role = Role::condition;
    const MetricInfo* metric = nullptr;  // of the catalog
    Where where;
    std::vector<std::string> join;
    Reduction reduction;
    // Of a condition:
    Op op = Op::greater;
    double at = 0;
    std::optional<double> clear;

    bool selects(const SeriesDescriptor& series) const;
    // Equal for series that belong together.
    std::string join_key(const SeriesDescriptor& series) const;
};

struct ForecastSettings {
    std::chrono::milliseconds window = std::chrono::hours{6};
    std::optional<double> reaches;  // nullopt: what the companion `target` says
    std::size_t points_min = 60;
    double used_min = 0;          // as a share of what is to be reached
    double reset_on_drop = 0.02;  // likewise
};

// `no_data`: what becomes of a condition whose samples stay away for longer than `stale_after`.
struct NoData {
    enum class Policy : std::uint8_t {
        hold,           // what fires goes on firing
        ok,             // it resolves after clear_for
        fire,           // it fires after the mildest level's `for`
        resolve_after,  // it resolves after `after`
    };
    Policy policy = Policy::hold;
    std::chrono::milliseconds after{};
    // At least; of a slow series or a slow sender, three of its intervals.
    std::chrono::milliseconds stale_after = std::chrono::seconds{45};
};

// `mass` of a heartbeat rule: so many hosts silent at once are one problem, not many.
struct MassLoss {
    double share = 0.2;         // of the hosts the rule watches
    std::size_t hosts_min = 5;  // and at least so many
    std::chrono::milliseconds within = std::chrono::seconds{60};
    Severity severity = Severity::p1;
    std::string summary;
};

// `kind = "heartbeat"`: fires for every host that has not been heard of for the level's time.
struct Heartbeat {
    std::optional<MassLoss> mass;
};

// `fleet`: one value made of the newest values of many series.
struct Fleet {
    enum class Agg : std::uint8_t { share, count, avg, min, max, sum };
    static constexpr std::size_t kAggCount = 6;
    Agg agg = Agg::share;
    // What share and count count by.
    Op op = Op::greater;
    double at = 0;
    std::size_t members_min = 1;    // with fewer fresh ones there is no value
    bool missing_breaches = false;  // silent members count as breaching, rather than not at all
};
std::string_view to_string(Fleet::Agg agg);
bool counts_breaches(Fleet::Agg agg);

struct Override;

struct Rule {
    std::string id;
    std::string was;                     // the id it had before
    std::string file;                    // it was read from
    const MetricInfo* metric = nullptr;  // of the catalog; of a heartbeat rule, host_silence()
    Where where;
    // Series of which one of these attributes matches are left out; "host" and "tag.NAME" likewise.
    Where unless;
    TextMatcher host;
    std::map<std::string, TextMatcher> tags;
    Reduction reduction;
    std::optional<ForecastSettings> forecast;  // then the value is the time until it is reached
    std::vector<Companion> companions;
    std::string unit;  // of the value that is compared
    Op op = Op::greater;
    std::vector<Level> levels;    // the mildest first
    std::optional<double> clear;  // dead band between it and the mildest level
    std::chrono::milliseconds clear_for = std::chrono::minutes{1};
    bool may_lower = true;  // `lower_severity`
    // The least gap between two samples that breaks a run; of slow series, a larger one does.
    std::chrono::milliseconds max_gap = kMaxGapDefault;
    std::chrono::milliseconds slot{};  // of m_of_n; zero: the time between two samples
    // Attributes that tell alerts of one host apart; nullopt: all that `where` does not pin to one
    // value. Series that agree in these are one stream of samples (a renewed certificate goes on
    // where the old one stopped).
    std::optional<std::vector<std::string>> by;
    NoData no_data;
    std::optional<Heartbeat> heartbeat;
    std::optional<Fleet> fleet;
    // Alerts of the same host that are held back while this rule's fires (ids, globs), and rules
    // that hold back this one's.
    std::vector<std::string> inhibits;
    std::vector<std::string> inhibited_by;
    SummaryTemplate summary;
    std::string runbook;
    // `cloudwatch_alarm = true`: where that is written, "file:line:column"; empty: it is not.
    std::string cloudwatch_alarm;
    bool enabled = true;
    std::vector<Override> overrides;  // for some hosts and series; a later one wins
    // Equal for rules that behave alike: a reload keeps the state of those.
    std::string fingerprint;

    bool selects(const HostInfo& host_info, const SeriesDescriptor& series) const;
    bool selects_host(const HostInfo& host_info) const;  // as far as that depends on the host
    // The attributes of `series` that make up the alert's identity, with the host.
    Attributes identity_of(const SeriesDescriptor& series) const;
    bool tells_apart(std::string_view attribute) const;  // is it part of the identity
    // The mildest level's threshold and the dead band's far edge, seen from level `index`.
    double clear_threshold(std::size_t index) const;
    // How far back samples can matter to the present state.
    std::chrono::milliseconds horizon() const;
};

// What heartbeat rules look at: how long a host has not been heard of. In no catalog, since no
// agent sends it.
const MetricInfo& host_silence();

// What `rule.override` says of some of the rule's hosts and identities. What it does not name
// stays.
struct Override {
    TextMatcher host;
    std::map<std::string, TextMatcher> tags;
    Where where;  // attributes of the identity
    std::optional<bool> enabled;
    std::vector<Level> levels;  // empty: not named
    std::optional<double> clear;
    std::optional<std::chrono::milliseconds> clear_for;
    std::optional<std::chrono::milliseconds> max_gap;
    std::optional<bool> may_lower;
    std::optional<SummaryTemplate> summary;
    std::optional<std::string> runbook;

    bool applies_to(const HostInfo& host_info, const Attributes& identity) const;
};

// `rule` with the overrides whose bit is set, in their order; without overrides of its own.
Rule with_overrides(const Rule& rule, std::uint32_t which);
// Bit i: the rule's override i applies.
std::uint32_t overrides_for(const Rule& rule, const HostInfo& host_info,
                            const Attributes& identity);
inline constexpr std::size_t kOverridesMax = 32;

}  // namespace ridgeline::collector
