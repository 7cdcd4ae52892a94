#include "tests/simulation/alerts/day.h"

#include <algorithm>
#include <stdexcept>

#include "collector/alert/alert_text.h"
#include "collector/rule/rule_parser.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::sim {

using namespace collector;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kTickMs = 10'000;
constexpr std::int64_t kBatchTicks = 3;
constexpr std::chrono::milliseconds kWindow = 3h;  // longer than any outage here
constexpr std::size_t kBatchesPerTick = 40;        // what a host sends of its backlog at a time

template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().context);
    return std::move(*result);
}
void must(const Result<void>& result) {
    if (!result) throw std::runtime_error(result.error().context);
}

std::string event_text(std::string_view what, int severity, std::string_view rule,
                       std::string_view host, const Attributes& attributes, std::int64_t time_ms) {
    return std::string(what) + " P" + std::to_string(severity) + ' ' + std::string(rule) + ' ' +
           std::string(host) + to_string(SeriesDescriptor{"", attributes}) + ' ' +
           std::to_string(time_ms / 1000);
}

// The packaged rules once more, from the maintenance plan's numbers and not from their file.
std::vector<OracleRule> plan() {
    constexpr std::int64_t m = 60'000;
    constexpr double day = 86'400;
    return {
        {"cpu.sustained", true, false, m, {{0.8, 5 * m, 3}, {0.95, 5 * m, 2}}, 0.75, 2 * m},
        {"memory.sustained", true, false, m, {{0.85, 5 * m, 3}, {0.95, 5 * m, 2}}, 0.8, 2 * m},
        {"filesystem.full", true, false, 0, {{0.9, 5 * m, 3}, {0.97, 2 * m, 1}}, 0.88, 2 * m},
        {"filesystem.readonly", true, true, 0, {{1, m, 1}}, {}, m},
        {"filesystem.unresponsive", true, true, 0, {{1, m, 2}}, {}, m},
        {"network.saturated", true, false, m, {{0.8, 5 * m, 3}}, 0.7, 2 * m},
        {"certificate.expiry",
         false,
         false,
         0,
         {{30 * day, 0, 4}, {14 * day, 0, 3}, {7 * day, 0, 2}, {0, 0, 1}},
         {},
         120 * m,
         false},
    };
}

class Oracle {
  public:
    explicit Oracle(const std::vector<SimHost>& hosts) : rules_(plan()) {
        for (const SimHost& host : hosts) {
            auto& streams = streams_[host.id];
            for (const SeriesStory& story : host.stories) {
                const auto rule =
                    std::find_if(rules_.begin(), rules_.end(),
                                 [&](const OracleRule& r) { return r.id == story.rule; });
                streams.push_back(
                    rule == rules_.end()
                        ? Stream{}
                        : Stream{std::make_unique<OracleStream>(*rule, story.interval_ms),
                                 story.rule, story.series.attributes});
            }
        }
    }

    void receive(const SimHost& host, const SampleBlock& block, std::int64_t now_ms) {
        auto& streams = streams_[host.id];
        for (std::size_t i = 0; i < streams.size(); ++i) {
            if (!streams[i].oracle) continue;
            std::vector<std::pair<std::int64_t, double>> samples;
            const SampleGroup& group = block.groups[i];
            for (std::size_t s = 0; s < group.timestamps_ms.size(); ++s) {
                if (has_value(group.values[s]))
                    samples.emplace_back(group.timestamps_ms[s], group.values[s]);
            }
            if (samples.empty()) continue;
            std::vector<OracleEvent> events;
            streams[i].oracle->receive(samples, now_ms, events);
            for (const OracleEvent& event : events) {
                ++counts_[event.what];
                expected_.push_back(event_text(event.what, event.severity, streams[i].rule, host.id,
                                               streams[i].attributes, event.time_ms));
            }
        }
    }

    const std::vector<std::string>& expected() const { return expected_; }
    const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

  private:
    struct Stream {
        std::unique_ptr<OracleStream> oracle;
        std::string rule;
        Attributes attributes;
    };
    std::vector<OracleRule> rules_;
    std::map<std::string, std::vector<Stream>> streams_;  // of a host, by story
    std::vector<std::string> expected_;
    std::map<std::string, std::uint64_t> counts_;
};

void compare(std::vector<std::string> expected, std::vector<std::string> told, DayReport& report) {
    std::sort(expected.begin(), expected.end());
    std::sort(told.begin(), told.end());
    std::set_difference(expected.begin(), expected.end(), told.begin(), told.end(),
                        std::back_inserter(report.missed));
    std::vector<std::string> beyond;
    std::set_difference(told.begin(), told.end(), expected.begin(), expected.end(),
                        std::back_inserter(beyond));
    for (const std::string& event : beyond) {
        const bool known = std::binary_search(expected.begin(), expected.end(), event);
        (known ? report.doubled : report.spurious).push_back(event);
    }
}

class Day {
  public:
    explicit Day(const DayOptions& options)
        : options_(options), chance_(options.seed), collector_(clock_, options.rules) {
        for (std::size_t i = 0; i < options.hosts; ++i)
            hosts_.push_back(make_host(i, chance_));
        oracle_ = std::make_unique<Oracle>(hosts_);
    }

    DayReport run() {
        collector_.start();
        const std::int64_t ticks = options_.hours * 3'600'000LL / kTickMs;
        const std::int64_t restart_ticks = options_.restart_every_s * 1000 / kTickMs;
        std::int64_t restart_at = chance_.between(1, restart_ticks);
        for (std::int64_t tick = 1; tick <= ticks; ++tick) {
            faults_ = true;
            if (tick == restart_at) {
                die();
                restart_at += chance_.between(restart_ticks * 9 / 10, restart_ticks * 11 / 10);
            }
            step(tick);
        }
        // Everything heals, and what waits is sent.
        faults_ = false;
        for (SimHost& host : hosts_)
            host.cut_off_until_ms = host.frozen_until_ms = 0;
        down_until_ms_ = 0;
        for (std::int64_t tick = ticks + 1; tick <= ticks + 180; ++tick)
            step(tick);
        compare(oracle_->expected(), collector_.told(), report_);
        report_.expected = oracle_->counts();
        const std::uint64_t alerts = report_.expected["FIRING"] + report_.expected["EPISODE"];
        const std::uint64_t stored = collector_.alerts_in_book();
        if (stored > alerts)
            report_.doubled.push_back(std::to_string(stored - alerts) + " rows in the alert book");
        if (stored < alerts)
            report_.missed.push_back(std::to_string(alerts - stored) + " rows in the alert book");
        return std::move(report_);
    }

    // An hour into the log and nothing else.
    void record(std::int64_t ticks) {
        collector_.start();
        evaluate_ = false;
        for (std::int64_t tick = 1; tick <= ticks; ++tick) {
            faults_ = true;
            step(tick);
        }
    }
    SimCollector& collector() { return collector_; }
    std::uint64_t batches() { return report_.counts["batches"]; }

  private:
    std::int64_t now_ms() const { return to_unix_ms(clock_.wall_now()); }

    void step(std::int64_t tick) {
        clock_.advance(std::chrono::milliseconds{kTickMs});
        for (SimHost& host : hosts_) {
            if (faults_) trouble(host);
            sample(host, now_ms(), chance_);
            if (tick % kBatchTicks == 0) close_batch(host, now_ms());
        }
        if (!collector_.running()) {
            for (SimHost& host : hosts_)
                host.connected_ms = 0;
            if (now_ms() < down_until_ms_) return;
            collector_.start();
        }
        for (SimHost& host : hosts_)
            send(host);
        settle();
        if (!evaluate_) return;
        while (collector_.pump(static_cast<std::size_t>(chance_.between(1, 64)))) {
        }
        if (chance_.once_in(6)) collector_.checkpoint();
        if (tick % 6 == 0) collector_.housekeep();
    }

    void trouble(SimHost& host) {
        if (chance_.once_in(1500)) {
            ++report_.counts["outages of the network"];
            host.cut_off_until_ms = now_ms() + chance_.between(1, 600) * 10'000;
        }
        if (chance_.once_in(2000)) {
            ++report_.counts["gaps (an agent stood still)"];
            host.frozen_until_ms = now_ms() + chance_.between(10, 120) * 10'000;
        }
        if (chance_.once_in(3000)) {
            ++report_.counts["agents restarted"];
            ++host.epoch;
            host.sequence = 0;
        }
    }

    void send(SimHost& host) {
        if (now_ms() < host.cut_off_until_ms) {
            host.connected_ms = 0;
            return;
        }
        if (host.connected_ms == 0) host.connected_ms = now_ms();
        if (chance_.once_in(10)) return;  // it is slow
        auto& waiting = host.waiting;
        if (chance_.once_in(20)) {
            ++report_.counts["times out of order"];
            for (std::size_t i = waiting.size(); i > 1; --i)
                std::swap(waiting[i - 1], waiting[static_cast<std::size_t>(chance_.between(
                                              0, static_cast<std::int64_t>(i) - 1))]);
        }
        for (std::size_t n = 0; n < kBatchesPerTick && !waiting.empty(); ++n) {
            append(host, waiting.front());
            waiting.pop_front();
        }
        if (!host.acked.empty() && chance_.once_in(30)) repeat(host);
    }

    void append(SimHost& host, SentBatch batch) {
        batch.backlog = batch.made_ms < host.connected_ms;
        if (collector_.contains(host, batch)) {
            ++report_.counts["batches that came twice"];
            host.acked.push_back(batch);
            return;
        }
        collector_.append(host, batch);
        host.unacked.push_back(batch);
        appended_.push_back({&host, batch.block, now_ms()});
    }

    // A batch once more; or its samples with other values under another number.
    void repeat(SimHost& host) {
        SentBatch again = host.acked[static_cast<std::size_t>(
            chance_.between(0, static_cast<std::int64_t>(host.acked.size()) - 1))];
        if (chance_.once_in(2)) return append(host, again);
        ++report_.counts["batches that contradict an earlier one"];
        for (SampleGroup& group : again.block.groups) {
            for (double& value : group.values)
                value = 0.97;
        }
        again.epoch = host.epoch;
        again.sequence = ++host.sequence;
        append(host, again);
    }

    // What was appended is on disk: it is acked, and counts.
    void settle() {
        collector_.sync();
        for (const Appended& a : appended_) {
            ++report_.counts["batches"];
            report_.counts["samples"] += a.block.sample_count();
            for (const SampleGroup& group : a.block.groups) {
                for (const std::int64_t t : group.timestamps_ms)
                    report_.counts["samples two minutes late or more"] += now_ms() - t >= 120'000;
            }
            oracle_->receive(*a.host, a.block, a.received_ms);
        }
        appended_.clear();
        for (SimHost& host : hosts_) {
            std::move(host.unacked.begin(), host.unacked.end(), std::back_inserter(host.acked));
            host.unacked.clear();
            if (host.acked.size() > 20) host.acked.erase(host.acked.begin(), host.acked.end() - 10);
        }
    }

    void die() {
        if (!collector_.running()) return;
        ++report_.counts["restarts"];
        switch (chance_.between(0, 3)) {
            case 0:
                ++report_.counts["restarts: asked to stop"];
                collector_.checkpoint();
                collector_.kill(false);
                break;
            case 1:
                ++report_.counts["restarts: killed before a commit"];
                collector_.kill(false);
                break;
            case 2:
                ++report_.counts["restarts: power cut before a sync"];
                for (SimHost& host : hosts_)
                    send(host);
                collector_.kill(true);
                // Not acked, so sent again.
                for (SimHost& host : hosts_) {
                    for (std::size_t i = host.unacked.size(); i-- > 0;)
                        host.waiting.push_front(std::move(host.unacked[i]));
                    host.unacked.clear();
                }
                appended_.clear();
                break;
            default:
                ++report_
                      .counts["restarts: killed with batches in the log that were not evaluated"];
                for (SimHost& host : hosts_)
                    send(host);
                settle();
                (void)collector_.pump(static_cast<std::size_t>(chance_.between(1, 20)));
                collector_.kill(false);
                break;
        }
        const std::int64_t down_s =
            chance_.once_in(3) ? chance_.between(60, 900) : chance_.between(0, 20);
        down_until_ms_ = now_ms() + down_s * 1000;
    }

    struct Appended {
        const SimHost* host;
        SampleBlock block;
        std::int64_t received_ms;
    };

    DayOptions options_;
    Chance chance_;
    test::ManualClock clock_;
    SimCollector collector_;
    std::vector<SimHost> hosts_;
    std::unique_ptr<Oracle> oracle_;
    std::vector<Appended> appended_;  // not synced
    std::int64_t down_until_ms_ = 0;
    bool faults_ = true;
    bool evaluate_ = true;
    DayReport report_;
};

}  // namespace

SimCollector::SimCollector(test::ManualClock& clock, std::filesystem::path rules)
    : clock_(clock), rules_(std::move(rules)), directory_(std::make_unique<test::TempDir>()) {}

void SimCollector::start() {
    LogOptions options;
    options.segment_bytes = 1U << 20;
    options.window = kWindow;
    log_ = must(Log::open(disk_, options, clock_));
    LoadedRules loaded = load_rules(rules_, {});
    if (!loaded.errors.empty()) throw std::runtime_error(to_string(loaded.errors));
    // Of the others the oracle knows nothing.
    const auto known = plan();
    std::erase_if(loaded.rules, [&](const Rule& rule) {
        return std::none_of(known.begin(), known.end(),
                            [&](const OracleRule& planned) { return planned.id == rule.id; });
    });
    auto opened = must(AlertBook::open(directory_->path() / "state.db", clock_.wall_now()));
    SeriesStoreOptions window;
    window.window = kWindow;
    evaluation_ = must(Evaluation::open(
        *log_, window, std::move(loaded.rules), std::move(opened.book), clock_,
        [this](const Transition& t) {
            told_.push_back(event_text(change_word(t.change), static_cast<int>(t.severity), t.rule,
                                       t.host, t.attributes, t.time_ms));
        }));
    hosts_known_.clear();
}

void SimCollector::kill(bool power) {
    evaluation_.reset();
    log_.reset();
    if (power) disk_.cut_power();
}

void SimCollector::append(const SimHost& host, const SentBatch& batch) {
    if (std::find(hosts_known_.begin(), hosts_known_.end(), host.id) == hosts_known_.end()) {
        HostInfo info;
        info.host_id = host.id;
        log_->set_host(info);
        hosts_known_.push_back(host.id);
    }
    wire::BatchBody body;
    body.schema_hash = schema_hash(host.schema);
    body.sample_count = static_cast<std::uint32_t>(batch.block.sample_count());
    body.columns = wire::encode_block(batch.block);
    const std::string encoded = wire::encode_body(body);
    const std::string schema = wire::encode_schema(host.schema);
    (void)must(log_->append({host.id, batch.epoch, batch.sequence, batch.backlog, encoded,
                             body.schema_hash, schema, 0}));
}

void SimCollector::sync() {
    const auto ticket = log_->begin_sync();
    const auto result = ticket.run();
    must(result);
    log_->finish_sync(ticket, result);
}

bool SimCollector::pump(std::size_t batches_max) {
    return must(evaluation_->pump(batches_max));
}

void SimCollector::housekeep() {
    evaluation_->trim();
    log_->trim();
}

void SimCollector::forget_alerts() {
    kill(false);
    directory_ = std::make_unique<test::TempDir>();
    told_.clear();
    start();
}

std::size_t SimCollector::alerts_in_book() {
    AlertQuery query;
    query.limit = 10'000'000;
    std::size_t alerts = 0;
    for (const Alert& alert : must(evaluation_->book().alerts(query)))
        alerts += 1 + static_cast<std::size_t>(alert.reopened);
    return alerts;
}

DayReport run_day(const DayOptions& options) {
    return Day(options).run();
}

std::vector<std::string> run_kill_points(const DayOptions& options, std::size_t every,
                                         std::uint64_t& deaths, std::uint64_t& transitions) {
    Day day(options);
    day.record(360);
    SimCollector& collector = day.collector();
    const auto finish = [&] {
        while (collector.pump(64)) {
        }
    };
    collector.forget_alerts();
    finish();
    const std::vector<std::string> unkilled = collector.told();
    transitions = unkilled.size();
    std::vector<std::string> differences;
    Chance chance(options.seed);
    for (std::uint64_t at = 1; at < day.batches(); at += every) {
        collector.forget_alerts();
        for (std::uint64_t i = 0; i < at; ++i)
            (void)collector.pump(1);
        if (chance.once_in(2)) collector.checkpoint();
        collector.kill(false);
        collector.start();
        // And once more soon after, before it has come back to where it was.
        for (std::int64_t i = chance.between(0, 50); i > 0; --i)
            (void)collector.pump(1);
        collector.kill(false);
        collector.start();
        finish();
        deaths += 2;
        if (collector.told() == unkilled) continue;
        DayReport report;
        compare(unkilled, collector.told(), report);
        for (const auto* list : {&report.missed, &report.spurious, &report.doubled}) {
            for (const std::string& event : *list)
                differences.push_back("killed after batch " + std::to_string(at) +
                                      (list == &report.missed     ? ": missed "
                                       : list == &report.spurious ? ": spurious "
                                                                  : ": doubled ") +
                                      event);
        }
        if (report.ok())
            differences.push_back("killed after batch " + std::to_string(at) + ": another order");
    }
    return differences;
}

}  // namespace ridgeline::sim
