// Evaluates all rules over all series, sample by sample, on the samples' own time.
//
// A series that no rule looks at costs one look-up a batch. The engine never reads a clock
// and never sends anything: it turns samples into transitions, and what must outlive a restart into
// a list of firing conditions. Given the same log it gives the same transitions, whatever restarts
// lie between. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/rule/condition.h"
#include "collector/rule/rule.h"

namespace ridgeline::collector {

// Stored samples, for what has to look back: the first sample after a start, and late data.
class SampleHistory {
  public:
    virtual ~SampleHistory() = default;
    virtual void for_each(std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
                          const std::function<void(std::int64_t, double)>& visit) const = 0;
};

struct SeriesSamples {
    std::uint32_t series_id = 0;
    const HostInfo& host;
    const SeriesDescriptor& series;
    std::span<const std::int64_t> times_ms;  // ascending, new ones only
    std::span<const double> values;          // finite
    std::int64_t received_ms = 0;
};

// Something a person may want to know of.
struct Transition {
    Change change = Change::none;
    std::string key;  // the alert's identity: rule, host and attributes
    std::string rule;
    std::string host;
    Attributes attributes;
    Severity severity = Severity::p4;
    std::int64_t time_ms = 0;
    std::int64_t since_ms = 0;
    double value = 0;
    double threshold = 0;
    std::string unit;
    std::string summary;
    std::string runbook;
    std::string reason;  // why it was resolved when no sample did it: "rule removed"
};

struct FiringCondition {
    std::string key;
    std::string fingerprint;  // of the rule it fired under
    Condition::Firing firing;
};

class RuleEngine {
  public:
    RuleEngine(std::vector<Rule> rules, const SampleHistory& history);

    void on_samples(const SeriesSamples& samples, std::vector<Transition>& out);

    // Rules whose fingerprint is unchanged keep their conditions; a changed rule's firing
    // conditions stay firing until a sample clears them under the new rule; those of a rule that is
    // gone resolve.
    void replace_rules(std::vector<Rule> rules, std::vector<Transition>& out);

    // The series is no more. What it kept in view goes with it, unless that fires: an alert ends by
    // a sample or by its rule's end, not by silence.
    void forget(std::uint32_t series_id);

    std::vector<FiringCondition> firing() const;
    void restore(const std::vector<FiringCondition>& firing);

    struct Pending {
        std::string key;
        std::string rule;
        std::string host;
        Attributes attributes;
        std::int64_t since_ms = 0;
        double value = 0;
    };
    std::vector<Pending> pending() const;
    std::span<const Rule> rules() const { return rules_; }
    std::size_t condition_count() const { return conditions_.size(); }

  private:
    struct Entry {
        std::uint32_t rule = 0;
        std::string host;
        Attributes attributes;  // of the identity
        Condition condition;
        bool primed = false;    // its history was read
        std::size_t bound = 0;  // series that lead here
    };
    struct Binding {
        Entry* entry;
        const std::string* key;
    };
    struct SeriesBindings {
        bool resolved = false;
        std::vector<Binding> bindings;
    };

    const std::vector<Binding>& bind(const SeriesSamples& samples);
    void evaluate(const Binding& binding, const SeriesSamples& samples,
                  std::vector<Transition>& out);
    void read_history(Entry& entry, std::uint32_t series_id, std::int64_t from_ms,
                      std::int64_t to_ms) const;
    void emit(const Binding& binding, const SeriesSamples& samples,
              const Condition::Outcome& outcome, std::vector<Transition>& out) const;

    std::vector<Rule> rules_;
    std::unordered_map<std::string, std::vector<std::uint32_t>> rules_by_metric_;
    const SampleHistory& history_;
    std::unordered_map<std::string, Entry> conditions_;  // by key; nodes do not move
    std::unordered_map<std::uint32_t, SeriesBindings> by_series_;
    std::map<std::string, FiringCondition> to_restore_;  // read at start, not yet met by a sample
};

// "cpu.sustained{host=\"web1\",device=…}"
std::string alert_key(const Rule& rule, const std::string& host, const Attributes& attributes);

}  // namespace ridgeline::collector
