#include "collector/trial/rule_test_run.h"

#include <algorithm>
#include <cmath>

#include "collector/trial/rule_run.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

// Of a failure's values: enough to see what the rule saw.
constexpr std::size_t kShownSeries = 5;
constexpr std::size_t kShownSamples = 20;
// A value that an average came to is not the one that was written to the last bit.
constexpr double kValueTolerance = 1e-6;

std::string_view to_string(ConditionState state) {
    switch (state) {
        case ConditionState::ok:
            return "ok";
        case ConditionState::pending:
            return "pending";
        case ConditionState::firing:
            return "firing";
        case ConditionState::clearing:
            return "clearing";
    }
    return "?";
}

// All that is known of one alert identity at an instant.
struct Identity {
    std::string rule;
    std::string host;
    Attributes attributes;
    std::string state = "ok";
    std::optional<Severity> severity;
    std::optional<double> value;
    std::string unit;
    std::string summary;
    std::uint64_t fired = 0;
    bool firing = false;
    bool stale = false;
};

struct Sample {
    std::int64_t received_ms;
    std::size_t host;
    std::size_t series;  // of the host
    std::int64_t time_ms;
    double value;
};

struct TestHost {
    std::shared_ptr<HostInfo> info;
    std::shared_ptr<Schema> schema;
};

class TestRun {
  public:
    TestRun(const RuleTest& test, std::span<const Rule> rules) : test_(test), run_(window()) {
        for (const Rule& rule : rules) {
            if (test.rule.empty() || rule.id == test.rule) rules_.push_back(rule);
        }
        run_.add(rules_);
    }

    TestOutcome run() {
        outcome_ = {test_.name, test_.place, {}};
        if (!rules_are_known()) return std::move(outcome_);
        lay_out();
        now_ms_ = to_unix_ms(test_.start);
        run_.start_ticks(now_ms_, 0);
        std::vector<const Expectation*> expect;
        for (const Expectation& e : test_.expect)
            expect.push_back(&e);
        std::stable_sort(expect.begin(), expect.end(),
                         [](const auto* a, const auto* b) { return a->at < b->at; });
        for (const Expectation* e : expect) {
            pass_until(to_unix_ms(test_.start + e->at));
            check(*e);
        }
        const std::int64_t last_ms = samples_.empty() ? 0 : samples_.back().received_ms;
        pass_until(std::max({now_ms_, last_ms, to_unix_ms(test_.start + test_.until)}));
        check_count();
        return std::move(outcome_);
    }

  private:
    // Tests are short: nothing leaves the window.
    static SeriesStoreOptions window() {
        SeriesStoreOptions options;
        options.window = 24h * 800;
        return options;
    }

    bool rules_are_known() {
        const auto known = [&](const std::string& id) {
            return std::any_of(rules_.begin(), rules_.end(),
                               [&](const Rule& rule) { return rule.id == id; });
        };
        const auto missing = [&](const ConfigPlace& place, const std::string& id) {
            if (known(id)) return false;
            outcome_.failures.push_back(
                {place, "", "rule " + id, "no such rule is on in the rules that were read", {}});
            return true;
        };
        bool all = test_.rule.empty() || !missing(test_.place, test_.rule);
        for (const Expectation& e : test_.expect) {
            if (e.rule != test_.rule && missing(e.place, e.rule)) all = false;
        }
        return all;
    }

    std::size_t host_index(const TestSeries& series) {
        for (std::size_t i = 0; i < hosts_.size(); ++i) {
            if (hosts_[i].info->host_id == series.host) return i;
        }
        hosts_.push_back({std::make_shared<HostInfo>(), std::make_shared<Schema>()});
        hosts_.back().info->host_id = series.host;
        hosts_.back().info->tags = series.tags;
        return hosts_.size() - 1;
    }

    // A group for each series, as each has its own times. In the order of receipt.
    void lay_out() {
        for (const TestSeries& series : test_.series) {
            const std::size_t host = host_index(series);
            Schema& schema = *hosts_[host].schema;
            schema.groups.push_back({"test", {series.series}});
            const std::int64_t start_ms = to_unix_ms(test_.start);
            for (std::size_t i = 0; i < series.values.size(); ++i) {
                if (!series.values[i]) continue;
                const std::int64_t t = start_ms + series.from.count() +
                                       static_cast<std::int64_t>(i) * series.interval.count();
                const std::int64_t received_ms = std::max(t, start_ms + series.held_until.count());
                samples_.push_back(
                    {received_ms, host, schema.groups.size() - 1, t, *series.values[i]});
            }
        }
        std::stable_sort(samples_.begin(), samples_.end(), [](const Sample& a, const Sample& b) {
            return std::tie(a.received_ms, a.host, a.series, a.time_ms) <
                   std::tie(b.received_ms, b.host, b.series, b.time_ms);
        });
    }

    // What is received at a tick's instant comes before the tick.
    void pass_until(std::int64_t until_ms) {
        while (now_ms_ < until_ms) {
            const std::int64_t next_ms = now_ms_ + RuleRun::kTickMs;
            feed_until(std::min(next_ms, until_ms));
            if (next_ms > until_ms) break;
            now_ms_ = next_ms;
            run_.tick(now_ms_, transitions_);
            note_all();
        }
        feed_until(until_ms);
    }

    void feed_until(std::int64_t until_ms) {
        while (next_ < samples_.size() && samples_[next_].received_ms <= until_ms) {
            const std::size_t first = next_;
            const auto of_first = [&](const Sample& sample) {
                return sample.host == samples_[first].host &&
                       sample.received_ms == samples_[first].received_ms;
            };
            while (next_ < samples_.size() && of_first(samples_[next_]))
                ++next_;
            const std::span<const Sample> received(&samples_[first], next_ - first);
            take(received, true);
            take(received, false);
        }
    }

    // Those of one host's samples that were held up, or the others, as one batch.
    void take(std::span<const Sample> received, bool held) {
        const TestHost& host = hosts_[received.front().host];
        LogBatch batch;
        batch.host = host.info;
        batch.schema = host.schema;
        batch.received = from_unix_ms(received.front().received_ms);
        batch.backlog = held;
        batch.block.groups.resize(host.schema->groups.size());
        for (SampleGroup& group : batch.block.groups)
            group.series_count = 1;
        bool any = false;
        for (const Sample& sample : received) {
            if ((sample.time_ms < sample.received_ms) != held) continue;
            SampleGroup& group = batch.block.groups[sample.series];
            group.timestamps_ms.push_back(sample.time_ms);
            group.values.push_back(sample.value);
            any = true;
        }
        if (!any) return;
        run_.take(batch, transitions_);
        note_all();
    }

    void note_all() {
        for (const Transition& transition : transitions_[0])
            note(transition);
        transitions_[0].clear();
    }

    void note(const Transition& transition) {
        Identity& identity = told_[transition.key];
        identity.rule = transition.rule;
        identity.host = transition.host;
        identity.attributes = transition.attributes;
        identity.severity = transition.severity;
        identity.value = transition.value;
        identity.unit = transition.unit;
        identity.summary = transition.summary;
        identity.firing =
            transition.change != Change::resolved && transition.change != Change::episode;
        identity.state = identity.firing ? "firing" : "ok";
        identity.stale = transition.change == Change::stale;
        if (transition.change == Change::fired) ++identity.fired;
    }

    std::vector<Identity> matching(const Expectation& expect) const {
        std::map<std::string, Identity> all = told_;
        const auto look = [&](const ConditionView& view) {
            Identity& identity = all[view.key];
            identity.rule = view.rule.id;
            identity.host = view.host;
            if (identity.attributes.empty()) identity.attributes = view.attributes;
            const auto firing = view.condition.firing();
            // What fires in data that came late, and was not told, is not over the line yet.
            const bool held = firing && !firing->announced;
            identity.state = held ? "pending" : to_string(view.condition.state());
            if (view.condition.has_value()) identity.value = view.condition.newest_value();
            identity.unit = view.rule.unit;
            identity.stale = view.stale_since_ms != 0;
            if (!firing || held) identity.severity.reset();
        };
        run_.engine(0).for_each_condition(look);
        run_.engine(0).for_each_group(look);
        std::vector<Identity> found;
        for (auto& [key, identity] : all) {
            const bool matches = identity.rule == expect.rule &&
                                 (expect.host.empty() || identity.host == expect.host) &&
                                 std::all_of(expect.attributes.begin(), expect.attributes.end(),
                                             [&](const auto& wanted) {
                                                 const std::string* value = find_attribute(
                                                     identity.attributes, wanted.first);
                                                 return value != nullptr && *value == wanted.second;
                                             });
            if (matches) found.push_back(std::move(identity));
        }
        return found;
    }

    void fail(const Expectation& expect, std::string expected, std::string got) {
        const WallTime at = test_.start + expect.at;
        outcome_.failures.push_back({expect.place,
                                     format_duration(expect.at) + " (" + format_rfc3339(at) + ")",
                                     std::move(expected), std::move(got), seen(expect)});
    }

    void check(const Expectation& expect) {
        const std::vector<Identity> found = matching(expect);
        if (expect.alerts) {
            std::uint64_t fired = 0;
            for (const Identity& identity : found)
                fired += identity.fired;
            if (fired != *expect.alerts)
                fail(expect, "alerts " + std::to_string(*expect.alerts), std::to_string(fired));
        }
        if (!expect.state && !expect.stale && !expect.severity && !expect.value && !expect.summary)
            return;
        if (found.size() > 1) {
            std::string which;
            for (const Identity& identity : found)
                which += ' ' +
                         ridgeline::to_string(SeriesDescriptor{identity.host, identity.attributes});
            return fail(expect, "one alert",
                        std::to_string(found.size()) +
                            " that match; tell them apart by host or attributes:" + which);
        }
        check_one(expect, found.empty() ? Identity{} : found.front());
    }

    void check_one(const Expectation& expect, const Identity& got) {
        if (expect.state && *expect.state != got.state)
            fail(expect, "state " + *expect.state, got.state);
        if (expect.stale && *expect.stale != got.stale) {
            fail(expect, *expect.stale ? "stale" : "not stale",
                 got.stale ? "its data stay away" : "its data come");
        }
        if (expect.severity && expect.severity != got.severity) {
            fail(expect, "severity " + std::string(to_string(*expect.severity)),
                 got.severity ? std::string(to_string(*got.severity)) : "none; it is " + got.state);
        }
        if (expect.summary && *expect.summary != got.summary)
            fail(expect, "summary \"" + *expect.summary + '"', '"' + got.summary + '"');
        if (!expect.value) return;
        if (!got.value) return fail(expect, "value " + *expect.value, "no sample so far");
        const auto wanted = parse_quantity(*expect.value, got.unit);
        if (!wanted) return fail(expect, "value " + *expect.value, wanted.error().context);
        if (std::abs(*wanted - *got.value) > kValueTolerance * std::max(1.0, std::abs(*wanted)))
            fail(expect, "value " + *expect.value, format_quantity(*got.value, got.unit));
    }

    void check_count() {
        if (!test_.alerts) return;
        std::uint64_t fired = 0;
        for (const auto& [key, identity] : told_)
            fired += identity.fired;
        if (fired == *test_.alerts) return;
        std::vector<std::string> which;
        for (const auto& [key, identity] : told_) {
            if (identity.fired > 0)
                which.push_back(std::to_string(identity.fired) + "x " + identity.rule + " on " +
                                identity.host + ": " + identity.summary);
        }
        outcome_.failures.push_back({test_.place, "", "alerts " + std::to_string(*test_.alerts),
                                     std::to_string(fired), std::move(which)});
    }

    // The newest values of the series that the rule looks at, equal ones together.
    std::vector<std::string> seen(const Expectation& expect) const {
        std::vector<std::string> lines;
        const std::int64_t at_ms = to_unix_ms(test_.start + expect.at);
        for (const Rule& rule : rules_) {
            if (rule.id != expect.rule || rule.metric == nullptr) continue;
            if (rule.heartbeat) return heard(expect);
            SeriesSelector selector;
            selector.host = expect.host;
            selector.metric = std::string(rule.metric->name);
            for (const SeriesId id : run_.series().find(selector)) {
                if (lines.size() == kShownSeries) return lines;
                lines.push_back(run_.series().host_of(id) + ' ' +
                                ridgeline::to_string(run_.series().descriptor_of(id)) + ": " +
                                newest(id, at_ms, rule.metric->unit));
            }
        }
        if (lines.empty()) lines.emplace_back("no sample that the rule could look at");
        return lines;
    }

    // When each host was heard of last.
    std::vector<std::string> heard(const Expectation& expect) const {
        std::vector<std::string> lines;
        const KnownHosts& known = run_.engine(0).known_hosts();
        for (const TestHost& host : hosts_) {
            if (!expect.host.empty() && host.info->host_id != expect.host) continue;
            const KnownHost* met = known.find(host.info->host_id);
            if (met == nullptr || lines.size() == kShownSeries) continue;
            lines.push_back(host.info->host_id + ": heard of last at " + offset(met->heard_ms()));
        }
        return lines;
    }

    std::string offset(std::int64_t time_ms) const {
        return format_duration(std::chrono::milliseconds{time_ms - to_unix_ms(test_.start)});
    }

    std::string newest(SeriesId id, std::int64_t at_ms, std::string_view unit) const {
        std::vector<double> values;
        std::int64_t newest_ms = 0;
        run_.series().window_of(id).for_each(INT64_MIN, at_ms, [&](std::int64_t t, double value) {
            values.push_back(value);
            newest_ms = t;
        });
        const std::size_t first = values.size() > kShownSamples ? values.size() - kShownSamples : 0;
        std::string text;
        for (std::size_t i = first; i < values.size();) {
            std::size_t same = i;
            while (same < values.size() && values[same] == values[i])
                ++same;
            text += format_quantity(values[i], unit);
            if (same - i > 1) text += 'x' + std::to_string(same - i);
            text += ' ';
            i = same;
        }
        if (values.empty()) return "nothing yet";
        return text + "(the newest at " + offset(newest_ms) + ')';
    }

    const RuleTest& test_;
    std::vector<Rule> rules_;
    RuleRun run_;
    std::vector<TestHost> hosts_;
    std::vector<Sample> samples_;
    std::size_t next_ = 0;
    std::int64_t now_ms_ = 0;                              // of the last tick
    std::vector<std::vector<Transition>> transitions_{1};  // the rules' one set's
    std::map<std::string, Identity> told_;                 // by key
    TestOutcome outcome_;
};

}  // namespace

TestOutcome run_rule_test(const RuleTest& test, std::span<const Rule> rules) {
    return TestRun(test, rules).run();
}

}  // namespace ridgeline::collector
