// Evaluates all rules over all series, sample by sample, on the samples' own time; and by ticks
// what only time can tell: that samples stay away, that a host is silent, how a fleet does.
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
#include "collector/rule/deadlines.h"
#include "collector/rule/fleet_rule.h"
#include "collector/rule/freshness.h"
#include "collector/rule/host_silence.h"
#include "collector/rule/joins.h"
#include "collector/rule/known_hosts.h"
#include "collector/rule/rule.h"
#include "collector/rule/transition.h"

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

// An alert that goes on under another key, since its rule has another id (`was`).
struct RenamedAlert {
    std::string from_key;
    std::string to_key;
    std::string rule;  // the new id
};

struct EngineLimits {
    // A rule with more keeps those it has; the others are counted and one alert tells of them.
    std::size_t identities_per_rule = 100'000;
};

class RuleEngine {
  public:
    RuleEngine(std::vector<Rule> rules, const SampleHistory& history, EngineLimits limits = {});

    // The samples of one series of a batch. Rules that look at several series wait for
    // finish_batch(): a batch holds what a host sampled in the same stretch of time. `host` and
    // `series` must live until then.
    void on_samples(const SeriesSamples& samples, std::vector<Transition>& out);
    void finish_batch(std::vector<Transition>& out);
    // A series that is in the history, but whose samples were judged before the start: rules that
    // look at it beside another one know of it before its next sample, and what fires or is missed
    // of it is known should there never be one.
    void meet_series(std::uint32_t series_id, const HostInfo& host, const SeriesDescriptor& series,
                     std::vector<Transition>& out);

    // A batch of the host has come, before its samples are given to on_samples().
    void on_batch(const HostInfo& host, const BatchTimes& times, std::vector<Transition>& out);
    // It spoke, whatever it said.
    void on_alive(const std::string& host, std::int64_t now_ms, std::vector<Transition>& out);

    // Time runs from now on: the log that was there at the start is read, or the clock has jumped.
    // For `grace_ms` more nothing is held against those who have not been heard of yet.
    void start_ticks(std::int64_t now_ms, std::int64_t grace_ms);
    // By the collector's clock, each later than the one before. Costs what has come due, not what
    // is watched. Nothing happens before start_ticks().
    void on_tick(std::int64_t now_ms, std::vector<Transition>& out);
    bool ticking() const { return floor_ms_.has_value(); }

    // The host is not expected any more: what fires for it resolves, and what it has sent up to now
    // is not judged.
    void retire_host(const std::string& host, std::int64_t now_ms, const std::string& reason,
                     std::vector<Transition>& out);
    const KnownHosts& known_hosts() const { return known_hosts_; }
    void restore_hosts(const std::vector<HostRecord>& hosts);

    // What holds back an alert of this identity, in words; nullopt: nothing. An inhibitor that
    // could not be judged since the start holds back too.
    std::optional<std::string> inhibitor_of(const std::string& rule, const std::string& host,
                                            const Attributes& attributes) const;

    // Rules over their limit, with how many series wait for a place.
    std::map<std::string, std::size_t> overflowing() const;

    // Rules whose fingerprint is unchanged keep their conditions; a changed rule's firing
    // conditions stay firing until a sample clears them under the new rule; those of a rule that is
    // gone resolve. Returns the alerts that go on under another key.
    std::vector<RenamedAlert> replace_rules(std::vector<Rule> rules, std::vector<Transition>& out);
    // What fires under rules that are not known now waits for them: a file that cannot be read may
    // hold them.
    void keep_unknown(bool keep) { keep_unknown_ = keep; }

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
    struct Standing {
        ConditionState state = ConditionState::ok;
        std::int64_t stale_since_ms = 0;  // 0: its data come
    };
    // Of the condition with this key; nullopt: there is none.
    std::optional<Standing> standing(const std::string& key) const;
    void for_each_condition(const std::function<void(const ConditionView&)>& visit) const;
    // The groups of fleet rules; `host` and `attributes` are what a group's members have in common.
    void for_each_group(const std::function<void(const ConditionView&)>& visit) const;
    // By a heartbeat rule's name: when the host will be silent too long. Nullopt: not watched, or
    // no time runs yet.
    std::optional<std::int64_t> silent_at_ms(const std::string& rule,
                                             const std::string& host) const;
    std::span<const Rule> rules() const { return rules_; }
    std::size_t condition_count() const { return conditions_.size(); }

  private:
    static constexpr std::size_t kPrimary = SIZE_MAX;  // not of a companion; sorts behind them
    static constexpr std::uint32_t kNotFiring = UINT32_MAX;
    // A sample that is to be judged with those of other series.
    struct Waiting {
        std::int64_t time_ms;
        double value;
        std::size_t companion;           // or kPrimary
        const SeriesDescriptor* series;  // while its batch is under way; null in what is stored
    };
    struct Entry {
        Entry(const Rule& with, std::uint32_t rule_index, std::uint32_t applied, std::string on,
              Attributes identity)
            : rule(&with),
              index(rule_index),
              overrides(applied),
              host(std::move(on)),
              attributes(std::move(identity)),
              condition(with) {}

        const Rule* rule;         // with the overrides that apply
        std::uint32_t index;      // of the rule in rules_
        std::uint32_t overrides;  // that apply
        const std::string* key = nullptr;
        std::string host;
        Attributes attributes;  // of the identity
        Condition condition;
        bool primed = false;  // its history was read
        // Samples of companions may have gone by in this batch before it was joined to them.
        bool missed_some = false;
        std::vector<std::uint32_t> series;  // that lead here
        std::vector<std::string> joins;     // with companions, a series' after the other's
        std::int64_t fed_ms = INT64_MIN;    // of all that was judged, companions' samples too
        std::vector<Waiting> waiting;
        const SeriesDescriptor* seen = nullptr;  // in this batch
        Freshness freshness;
        Deadlines<Entry>::Token look = 0;         // at its freshness
        std::uint32_t firing_place = kNotFiring;  // in firing_entries_

        // Judged together with other series, at the batch's end.
        bool waits() const { return series.size() > 1 || !rule->companions.empty(); }
    };
    using JoinTable = Joins<Entry>;
    struct Feed {  // a companion's series into what it was joined to
        JoinTable::Join* join;
        std::string key;
    };
    struct Host {
        HostInfo info;
        std::uint32_t generation = 1;  // of its tags: rules may select other series now; from 1
        std::size_t series = 0;
    };
    static constexpr std::uint32_t kUnbound = UINT32_MAX;
    struct SeriesBindings {
        std::string host;
        std::uint32_t generation = 0;  // 0: not met yet; kUnbound: of rules that are gone
        std::vector<Entry*> entries;
        std::vector<Feed> feeds;
        std::vector<FleetRule*> fleets;
        std::vector<std::uint32_t> refused;  // rules that had no room for it
        std::uint64_t refused_at = 0;        // rooms_ then
    };
    struct Room {
        std::size_t conditions = 0;
        std::size_t refused = 0;
    };

    Host& meet_host(const HostInfo& host);
    SeriesBindings& bind(const SeriesSamples& samples, std::vector<Transition>& out);
    void bind_rule(std::uint32_t index, const SeriesSamples& samples, SeriesBindings& bindings);
    void bind_companions(const SeriesSamples& samples, SeriesBindings& bindings);
    void unbind(std::uint32_t series_id, SeriesBindings& bindings);
    void drop(Entry* entry);
    void list_firing(Entry& entry, bool fires);
    // To be called after everything that may begin or end it.
    void note_firing(Entry& entry) { list_firing(entry, entry.condition.fires()); }
    void release(Entry* entry, std::vector<Transition>& out);
    const Rule& effective(std::uint32_t index, std::uint32_t overrides);
    void index_rules();
    bool has_room(std::uint32_t rule) const;
    void retry_refused(const SeriesSamples& samples, SeriesBindings& bindings);
    void feed_fleets(const SeriesSamples& samples, const SeriesBindings& bindings);
    void keep_timed_rules(std::vector<std::unique_ptr<HostSilence>> silences,
                          std::vector<std::unique_ptr<FleetRule>> fleets,
                          const std::map<std::string, std::string, std::less<>>& fingerprints,
                          std::vector<Transition>& out);
    bool restore_timed(const FiringCondition& condition);
    void watch(Entry& entry);
    std::optional<std::int64_t> look_at(Entry& entry, std::int64_t now_ms,
                                        std::vector<Transition>& out);
    void look_at_unmet(std::int64_t now_ms, std::vector<Transition>& out);
    void read_what_is_there(Entry& entry);
    const Rule* rule_of(std::string_view id) const;
    bool fires(const Rule& inhibitor, const std::string& host, const Attributes& attributes) const;

    void evaluate(Entry& entry, const SeriesSamples& samples, std::vector<Transition>& out);
    void evaluate_waiting(Entry& entry, std::int64_t received_ms, std::vector<Transition>& out);
    void feed(Entry& entry, const Waiting& sample, std::int64_t received_ms,
              std::vector<Transition>& out) const;
    void read_history(Entry& entry, std::int64_t from_ms, std::int64_t to_ms);
    template <class IsNew>
    void prime(Entry& entry, std::int64_t first_ms, const IsNew& is_new);
    static void put_in_order(std::vector<Waiting>& samples, const Rule& rule);
    std::int64_t with_run_up(const Entry& entry, std::int64_t from_ms) const;
    void gather(const Entry& entry, std::int64_t from_ms, std::int64_t to_ms);
    void settle(Entry& entry, std::int64_t received_ms, std::vector<Transition>& out) const;
    void emit(const Entry& entry, const Condition::Outcome& outcome,
              std::vector<Transition>& out) const;

    std::vector<Rule> rules_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, Rule> variants_;  // with overrides
    std::unordered_map<std::string, std::vector<std::uint32_t>> rules_by_metric_;
    struct CompanionOf {
        std::uint32_t rule;
        std::size_t companion;
    };
    std::unordered_map<std::string, std::vector<CompanionOf>> companions_by_metric_;
    const SampleHistory& history_;
    std::unordered_map<std::string, Entry> conditions_;  // by key; nodes do not move
    // Those that fire, told or not: what is asked for with every transition costs what fires, not
    // what is watched.
    std::vector<Entry*> firing_entries_;
    std::unordered_map<std::uint32_t, SeriesBindings> by_series_;
    std::unordered_map<std::string, Host> hosts_;
    JoinTable joins_;
    std::map<std::string, FiringCondition> to_restore_;  // read at start, not yet met by a sample
    std::int64_t unmet_look_ms_ = 0;                     // when one of those may be due
    EngineLimits limits_;
    std::vector<Room> rooms_;        // by rule
    std::uint64_t rooms_freed_ = 0;  // grows when a condition goes
    bool keep_unknown_ = false;
    KnownHosts known_hosts_;
    std::map<std::string, std::int64_t> retired_;  // when; what they sent before is not judged
    std::vector<std::unique_ptr<HostSilence>> silences_;
    std::vector<std::unique_ptr<FleetRule>> fleets_;
    std::vector<FleetRule*> fleet_of_rule_;  // null for the others
    Deadlines<Entry> looks_;
    std::optional<std::int64_t> floor_ms_;  // no time runs before it
    // Who sends has sent by then, since the start or since the rules have changed.
    std::int64_t met_by_ms_ = INT64_MIN;
    std::int64_t now_ms_ = INT64_MIN;  // of the last tick
    // By rule and host, of rules that hold back others; made when asked for, void after a change.
    mutable std::map<std::pair<std::string, std::string>, std::vector<Attributes>> firing_of_;
    mutable bool firing_of_known_ = false;
    // Of the batch under way:
    std::int64_t offset_ms_ = 0;          // collector's clock minus the host's
    std::int64_t batch_interval_ms_ = 0;  // of the host
    bool retired_now_ = false;            // its samples are of a host that was retired since
    const HostInfo* batch_host_ = nullptr;
    Host* host_ = nullptr;
    std::int64_t received_ms_ = 0;
    std::vector<Entry*> waiting_;
    // Scratch, kept for its memory.
    std::vector<Waiting> gathered_;
};

}  // namespace ridgeline::collector
