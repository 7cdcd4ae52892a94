// One heartbeat rule: a dead man's switch for every known host, and the one alert that stands for
// all of them when many go silent at once.
//
// A host that goes alone is told the moment its time is over. When others are overdue as well it
// waits, `mass.within` at most, for it to become clear whether this is one loss of many; while such
// a loss lasts its hosts are held, and those still dark when it is over are told one by one. No
// clock: ticks and messages bring the time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/rule/deadlines.h"
#include "collector/rule/known_hosts.h"
#include "collector/rule/rule.h"
#include "collector/rule/transition.h"

namespace ridgeline::collector {

class HostSilence {
  public:
    // `hosts` must outlive it.
    HostSilence(Rule rule, const KnownHosts& hosts) : rule_(std::move(rule)), hosts_(&hosts) {}
    HostSilence(HostSilence&&) = delete;

    void on_heard(const KnownHost& host, std::vector<Transition>& out);
    // Its tags have changed.
    void on_tags(const KnownHost& host, std::vector<Transition>& out);
    void on_tick(std::int64_t now_ms, std::vector<Transition>& out);
    // No time runs before `floor_ms`: the start with its grace.
    void start(std::int64_t floor_ms);
    void retire(const std::string& host, std::int64_t now_ms, const std::string& reason,
                std::vector<Transition>& out);

    // Silent beyond its time, told or held.
    bool dark(const std::string& host) const;
    // Whether the host is silent is not known yet, since the start.
    bool undecided(const std::string& host) const;
    bool watches(const std::string& host) const { return watched_.contains(host); }
    // When it will have been silent beyond its time; nullopt: not watched, or not started.
    std::optional<std::int64_t> silent_at_ms(const std::string& host) const;

    std::vector<FiringCondition> firing() const;
    void restore(const FiringCondition& condition);
    // The same rule in other words, or one of other numbers: what is told stays so.
    void change(Rule rule, std::vector<Transition>& out);

    const Rule& rule() const { return rule_; }
    std::size_t dark_count() const { return held_ + told_; }

  private:
    enum class State : std::uint8_t { present, held, told };
    struct Watched {
        std::string id;
        const Rule* rule = nullptr;  // with the overrides that apply
        State state = State::present;
        std::int64_t dark_ms = 0;   // when its time was over
        std::int64_t since_ms = 0;  // last heard before
        Deadlines<Watched>::Token token = 0;
    };
    struct Mass {
        std::int64_t since_ms = 0;
        std::size_t hosts_min = 0;  // fewer dark ones are no mass; 0: not known since a restart
        std::optional<std::int64_t> below_since_ms;
    };

    const Rule& effective(const HostInfo& info);
    bool wants(const HostInfo& info);
    Watched& watch(const KnownHost& host);
    std::int64_t silent_at_ms(const Watched& watched, const KnownHost& host) const;
    std::optional<std::int64_t> on_due(Watched& watched, std::int64_t now_ms);
    std::size_t mass_min() const;
    std::size_t overdue(std::int64_t now_ms) const;
    void judge_alone(std::int64_t now_ms, std::vector<Transition>& out);
    void judge_mass(std::int64_t now_ms, std::vector<Transition>& out);
    void tell(Watched& watched, std::int64_t now_ms, std::vector<Transition>& out);
    void tell_mass(Change change, std::int64_t now_ms, std::vector<Transition>& out);
    Transition single(const Watched& watched, Change change, std::int64_t time_ms) const;
    void untell(Watched& watched, std::int64_t now_ms, const std::string& reason,
                std::vector<Transition>& out);
    std::string mass_key() const;
    std::vector<Watched*> held_in_order();
    std::string names_of_held();

    Rule rule_;
    const KnownHosts* hosts_;
    std::map<std::uint32_t, Rule> variants_;            // by the overrides that apply
    std::unordered_map<std::string, Watched> watched_;  // by host; nodes do not move
    Deadlines<Watched> deadlines_;
    std::optional<std::int64_t> floor_ms_;  // nullopt: not started
    std::optional<Mass> mass_;
    std::size_t held_ = 0;
    std::size_t told_ = 0;
};

}  // namespace ridgeline::collector
