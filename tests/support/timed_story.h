// Rules told as stories in which time passes as well: many hosts, their batches, and a tick every
// so often.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/rule_story.h"

namespace ridgeline::test {

class TimedStory {
  public:
    static constexpr std::int64_t kStartMs = Story::kStartMs;

    explicit TimedStory(std::string toml, double grace_s = 0)
        : toml_(std::move(toml)), grace_s_(grace_s) {
        make();
    }

    static std::int64_t at_ms(double seconds) {
        return kStartMs + static_cast<std::int64_t>(seconds * 1000);
    }

    // The log has been read; time runs from `seconds` on.
    void start(double seconds) { engine_->start_ticks(at_ms(seconds), at_ms(grace_s_) - kStartMs); }
    void tick(double seconds) {
        std::vector<collector::Transition> out;
        engine_->on_tick(at_ms(seconds), out);
        tell(out);
    }
    void ticks(double from, double to, double step = 1) {
        for (double t = from; t <= to + 1e-9; t += step)
            tick(t);
    }

    collector::HostInfo& host(const std::string& id) {
        auto& made = hosts_[id];
        made.host_id = id;
        return made;
    }
    // A batch of one sample of the host's series, taken at `seconds` by its clock and received
    // `lag` later.
    void batch(const std::string& id, double seconds, double value, double lag = 0,
               bool backlog = false) {
        batch_of(id, series_, seconds, value, lag, backlog);
    }
    void batch_of(const std::string& id, const SeriesDescriptor& series, double seconds,
                  double value, double lag = 0, bool backlog = false) {
        const std::int64_t t = at_ms(seconds);
        const std::int64_t received = t + static_cast<std::int64_t>(lag * 1000);
        const auto [it, added] =
            ids_.try_emplace(id + to_string(series), static_cast<std::uint32_t>(ids_.size()));
        descriptors_.try_emplace(it->second, series);
        const bool fresh = history_.add_new(it->second, t, value);
        std::vector<collector::Transition> out;
        engine_->on_batch(host(id), {received, t, t, backlog}, out);
        if (fresh) {
            engine_->on_samples({it->second, host(id), descriptors_.at(it->second),
                                 std::span(&t, 1), std::span(&value, 1), received},
                                out);
        }
        engine_->finish_batch(out);
        tell(out);
    }
    void alive(const std::string& id, double seconds) {
        std::vector<collector::Transition> out;
        engine_->on_alive(id, at_ms(seconds), out);
        tell(out);
    }
    void retire(const std::string& id, double seconds) {
        std::vector<collector::Transition> out;
        engine_->retire_host(id, at_ms(seconds), "host retired", out);
        tell(out);
    }
    // As a restart does: what fires and who is known is kept, and the stored samples.
    void restart(double seconds) {
        const auto firing = engine_->firing();
        std::vector<collector::HostRecord> hosts;
        for (const auto& [id, known] : engine_->known_hosts().all())
            hosts.push_back(known.record());
        make();
        engine_->restore_hosts(hosts);
        engine_->restore(firing);
        start(seconds);
    }
    void reload(const std::string& toml) {
        toml_ = toml;
        std::vector<collector::Transition> out;
        engine_->replace_rules(rules_from(toml), out);
        tell(out);
    }

    // "45:FIRING:P1:host.silent:a1", in the order of their telling.
    std::string told() const {
        std::string text;
        for (const auto& t : transitions_) {
            text += (text.empty() ? "" : " ") + std::to_string((t.time_ms - kStartMs) / 1000) +
                    ':' + std::string(collector::change_word(t.change)) + ':' +
                    std::string(to_string(t.severity)) + ':' + t.rule +
                    (t.host.empty() ? "" : ':' + t.host);
        }
        return text;
    }
    std::size_t count(collector::Change change, const std::string& rule) const {
        return static_cast<std::size_t>(
            std::count_if(transitions_.begin(), transitions_.end(),
                          [&](const auto& t) { return t.change == change && t.rule == rule; }));
    }
    void forget_told() { transitions_.clear(); }
    const std::vector<collector::Transition>& transitions() const { return transitions_; }
    collector::RuleEngine& engine() { return *engine_; }
    SeriesDescriptor& series() { return series_; }
    collector::EngineLimits& limits() { return limits_; }
    void make() {
        engine_ = std::make_unique<collector::RuleEngine>(rules_from(toml_), history_, limits_);
    }

  private:
    void tell(const std::vector<collector::Transition>& out) {
        transitions_.insert(transitions_.end(), out.begin(), out.end());
    }

    std::string toml_;
    double grace_s_;
    collector::EngineLimits limits_;
    StoryHistory history_;
    std::unique_ptr<collector::RuleEngine> engine_;
    std::map<std::string, collector::HostInfo> hosts_;
    std::map<std::string, std::uint32_t> ids_;
    std::map<std::uint32_t, SeriesDescriptor> descriptors_;
    SeriesDescriptor series_{"system.cpu.utilization", {{"state", "used"}}};
    std::vector<collector::Transition> transitions_;
};

}  // namespace ridgeline::test
