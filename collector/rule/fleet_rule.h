// One fleet rule: many series' newest values made into one value a group, which a condition judges.
//
// A sample costs O(1): it moves its series' share of the group's sums (O(log n) for min and max).
// Groups are judged at fixed steps of the collector's clock, over what is fresh then; after a start
// the steps of the recent past are made up from the stored samples first, so that a restart changes
// nothing. No clock: ticks bring the time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/rule/condition.h"
#include "collector/rule/deadlines.h"
#include "collector/rule/exact_sum.h"
#include "collector/rule/freshness.h"
#include "collector/rule/rule.h"
#include "collector/rule/signal.h"
#include "collector/rule/transition.h"

namespace ridgeline::collector {

class SampleHistory;

// The values of a group's members, and what the rule makes of them.
class FleetSum {
  public:
    explicit FleetSum(const Fleet& fleet) : fleet_(&fleet) {}
    void add(double value);
    void remove(double value);
    void add_missing() { ++missing_; }
    void remove_missing() { --missing_; }
    // Nullopt with too few members.
    std::optional<double> value() const;
    std::size_t members() const { return members_; }

  private:
    const Fleet* fleet_;
    std::size_t members_ = 0;
    std::size_t breaching_ = 0;
    std::size_t missing_ = 0;
    ExactSum sum_;
    std::multiset<double> sorted_;  // for min and max alone
};

// A series of a fleet, as it is fed.
struct FleetSamples {
    std::uint32_t series_id = 0;
    const HostInfo& host;
    const SeriesDescriptor& series;
    std::span<const std::int64_t> times_ms;
    std::span<const double> values;
    std::int64_t offset_ms = 0;          // collector's clock minus the host's
    std::int64_t batch_interval_ms = 0;  // of its sender
};

class FleetRule {
  public:
    // Judged from `floor_ms` on: before that too few hosts have been heard of.
    FleetRule(const Rule& rule, const SampleHistory& history, std::optional<std::int64_t> floor_ms);
    FleetRule(FleetRule&&) = delete;

    void on_samples(const FleetSamples& samples);
    // The series is no more, or no longer the rule's.
    void leave(std::uint32_t series_id);
    // Groups without a member resolve, with `reason`.
    void end_empty(std::int64_t now_ms, const std::string& reason, std::vector<Transition>& out);
    void start(std::int64_t floor_ms) {
        floor_ms_ = floor_ms;
        primed_ = false;
    }
    void on_tick(std::int64_t now_ms, std::vector<Transition>& out);

    std::vector<FiringCondition> firing() const;
    void restore(const FiringCondition& condition);
    // In other words, judged alike.
    void reword(const Rule& rule);

    const Rule& rule() const { return rule_; }
    std::size_t group_count() const { return groups_.size(); }
    void for_each_group(const std::function<void(const ConditionView&)>& visit) const;

  private:
    struct Group {
        Group(const Rule& rule, const Fleet& fleet) : sum(fleet), condition(rule) {}
        std::string key;
        HostInfo info;  // the host and the tags that all its members have
        Attributes attributes;
        std::size_t members = 0;  // fresh or not
        FleetSum sum;
        Condition condition;
        Freshness freshness;
        std::optional<std::int64_t> look_ms = INT64_MIN;  // at its freshness
    };
    struct Member {
        explicit Member(const Reduction& reduction) : signal(reduction) {}
        Group* group = nullptr;
        Signal signal;
        std::int64_t newest_ms = INT64_MIN;  // by the collector's clock
        std::int64_t silent_after_ms = 0;
        std::int64_t offset_ms = 0;
        std::optional<double> counted;  // in the group's sum
        bool missing = false;           // counted as missing
        Deadlines<Member>::Token token = 0;
    };

    Member& join(const FleetSamples& samples);
    Group& group_of(const HostInfo& host, const SeriesDescriptor& series);
    void count(Member& member, std::optional<double> value);
    std::optional<std::int64_t> on_due(Member& member, std::int64_t now_ms);
    std::int64_t step_ms() const;
    void make_up(std::int64_t now_ms, std::vector<Transition>& out);
    void make_up(Group& group, std::int64_t from_ms, std::int64_t to_ms);
    void tell(const Group& group, const Condition::Outcome& outcome, std::string reason,
              std::vector<Transition>& out) const;
    void resolve(Group& group, std::int64_t now_ms, const std::string& reason,
                 std::vector<Transition>& out) const;

    Rule rule_;        // as written: what a member's value is
    Rule group_rule_;  // how a group's value is judged
    const SampleHistory* history_;
    std::optional<std::int64_t> floor_ms_;
    bool primed_ = false;
    std::int64_t judged_ms_ = INT64_MIN;                 // the last step
    std::map<std::string, Group> groups_;                // by key; nodes do not move
    std::unordered_map<std::uint32_t, Member> members_;  // by series; nodes do not move
    Deadlines<Member> deadlines_;
    std::map<std::string, FiringCondition> to_restore_;  // of groups without a member so far
};

}  // namespace ridgeline::collector
