// Rules told as stories: a rule in TOML, samples at seconds, and the transitions that came of them,
// in words.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "collector/alert/alert_text.h"
#include "collector/rule/engine.h"
#include "collector/rule/rule_parser.h"

namespace ridgeline::test {

inline std::vector<collector::Rule> rules_from(const std::string& toml) {
    auto document = ConfigDocument::parse(toml, "rules.toml");
    auto rules = collector::read_rules(document);
    if (!document.ok()) throw std::runtime_error(to_string(document.errors()));
    return rules;
}

// Every sample that was ever fed, by series.
class StoryHistory final : public collector::SampleHistory {
  public:
    void add(std::uint32_t id, std::int64_t t, double v) { samples_[id].emplace(t, v); }
    // False when there is a sample of that time already: the first stays.
    bool add_new(std::uint32_t id, std::int64_t t, double v) {
        return samples_[id].emplace(t, v).second;
    }
    void for_each(std::uint32_t id, std::int64_t from, std::int64_t to,
                  const std::function<void(std::int64_t, double)>& visit) const override {
        const auto it = samples_.find(id);
        if (it == samples_.end()) return;
        for (auto s = it->second.lower_bound(from); s != it->second.end() && s->first <= to; ++s)
            visit(s->first, s->second);
    }

  private:
    std::map<std::uint32_t, std::map<std::int64_t, double>> samples_;
};

class Story {
  public:
    // 2026-03-02T10:00:00Z: the stories' second 0.
    static constexpr std::int64_t kStartMs = 1'772'445'600'000;

    explicit Story(const std::string& toml)
        : toml_(toml),
          engine_(std::make_unique<collector::RuleEngine>(rules_from(toml), history_)) {
        host_.host_id = "a1";
    }

    // One sample `t_seconds` into the story, received `lag_seconds` after.
    void at(double t_seconds, double value, double lag_seconds = 0) {
        of(0, series_, t_seconds, value, lag_seconds);
    }
    void of(std::uint32_t id, const SeriesDescriptor& series, double t_seconds, double value,
            double lag_seconds = 0) {
        const std::int64_t t = ms_of(t_seconds);
        history_.add(id, t, value);
        known_[id] = series;
        std::vector<collector::Transition> out;
        engine_->on_samples({id, host_, series, std::span(&t, 1), std::span(&value, 1),
                             t + static_cast<std::int64_t>(lag_seconds * 1000)},
                            out);
        engine_->finish_batch(out);
        for (const auto& transition : out)
            tell(transition);
    }
    struct Given {
        std::uint32_t id;
        SeriesDescriptor series;
        double t_seconds;
        double value;
    };
    // A batch: the series in the order in which they are met first, each one's samples by time.
    void batch(std::vector<Given> samples, double lag_seconds = 0) {
        std::vector<std::uint32_t> order;
        double newest = 0;
        for (const Given& sample : samples) {
            history_.add(sample.id, ms_of(sample.t_seconds), sample.value);
            known_[sample.id] = sample.series;
            newest = std::max(newest, sample.t_seconds);
            if (std::find(order.begin(), order.end(), sample.id) == order.end())
                order.push_back(sample.id);
        }
        std::stable_sort(samples.begin(), samples.end(),
                         [](const Given& a, const Given& b) { return a.t_seconds < b.t_seconds; });
        std::vector<collector::Transition> out;
        for (const std::uint32_t id : order) {
            std::vector<std::int64_t> times;
            std::vector<double> values;
            const SeriesDescriptor* series = nullptr;
            for (const Given& sample : samples) {
                if (sample.id != id) continue;
                series = &sample.series;
                times.push_back(ms_of(sample.t_seconds));
                values.push_back(sample.value);
            }
            engine_->on_samples({id, host_, *series, times, values, ms_of(newest + lag_seconds)},
                                out);
        }
        engine_->finish_batch(out);
        for (const auto& transition : out)
            tell(transition);
    }
    // Samples of `value` every `step` seconds, from <= t <= to.
    void hold(double from, double to, double value, double step = 15) {
        for (double t = from; t <= to + 1e-9; t += step)
            at(t, value);
    }
    // As a restart does: all that is kept is what fires, and the stored samples.
    void restart() {
        const auto firing = engine_->firing();
        engine_ = std::make_unique<collector::RuleEngine>(rules_from(toml_), history_);
        engine_->restore(firing);
        std::vector<collector::Transition> out;
        for (const auto& [id, series] : known_)
            engine_->meet_series(id, host_, series, out);
        engine_->finish_batch(out);
        for (const auto& transition : out)
            tell(transition);
    }
    std::vector<collector::RenamedAlert> reload(const std::string& toml) {
        toml_ = toml;
        std::vector<collector::Transition> out;
        auto renamed = engine_->replace_rules(rules_from(toml), out);
        for (const auto& transition : out)
            tell(transition);
        return renamed;
    }
    // All that was stored is gone, as after a trim.
    void lose_history() { history_ = {}; }

    // "300:FIRING:P3 390:RESOLVED:P3"
    const std::string& told() const { return told_; }
    const std::vector<collector::Transition>& transitions() const { return transitions_; }
    collector::RuleEngine& engine() { return *engine_; }
    SeriesDescriptor& series() { return series_; }
    collector::HostInfo& host() { return host_; }

  private:
    static std::int64_t ms_of(double t_seconds) {
        return kStartMs + static_cast<std::int64_t>(t_seconds * 1000);
    }
    void tell(const collector::Transition& transition) {
        if (!told_.empty()) told_ += ' ';
        told_ += std::to_string((transition.time_ms - kStartMs) / 1000) + ':' +
                 std::string(collector::change_word(transition.change)) + ':' +
                 std::string(collector::to_string(transition.severity));
        transitions_.push_back(transition);
    }

    std::string toml_;
    StoryHistory history_;
    std::unique_ptr<collector::RuleEngine> engine_;
    collector::HostInfo host_;
    SeriesDescriptor series_{"system.cpu.utilization", {{"state", "used"}}};
    std::map<std::uint32_t, SeriesDescriptor> known_;
    std::string told_;
    std::vector<collector::Transition> transitions_;
};

}  // namespace ridgeline::test
