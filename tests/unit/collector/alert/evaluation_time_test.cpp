// Time in the whole: ticks, the hosts that are known, and what the collector says of itself, with
// the real alert book and restarts.
#include <string>

#include <sys/stat.h>

#include "collector/evaluation.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const char* kRules = R"(
[[rule]]
id = "host.silent"
kind = "heartbeat"
missing = "45s"
inhibits = ["*"]

[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
op = ">"
levels = [ { at = 0.8, for = "30s", severity = "P3" } ]
clear_for = "20s"
no_data = "resolve_after:10m"
)";

class Machine {
  public:
    explicit Machine(std::string with = kRules)
        : rules(std::move(with)), storage_(open_directory_storage(dir_.path() / "log").value()) {
        start();
        pump();
    }

    void start() {
        log_ = Log::open(*storage_, {}, clock).value();
        auto book = AlertBook::open(file(), clock.wall_now()).value();
        evaluation_ = Evaluation::open(
                          *log_, {}, test::rules_from(rules), std::move(book.book), clock,
                          [this](const Transition& t) {
                              told.push_back(std::string(change_word(t.change)) + ' ' + t.rule +
                                             (t.host.empty() ? "" : ' ' + t.host));
                          },
                          options)
                          .value();
    }
    void crash() {
        crash_unread();
        pump();
    }
    // Started again, and nothing of the log is read yet.
    void crash_unread() {
        evaluation_->checkpoint();
        evaluation_.reset();
        log_.reset();
        start();
    }
    void batch(const std::string& host, double value) {
        const std::int64_t now_ms = to_unix_ms(clock.wall_now());
        SampleBlock block;
        SampleGroup group;
        group.series_count = 1;
        for (int i = 9; i >= 0; --i) {
            group.timestamps_ms.push_back(now_ms - i * 1000);
            group.values.push_back(value);
        }
        block.groups.push_back(group);
        const Schema schema{{{"cpu", {{"system.cpu.utilization", {{"state", "used"}}}}}}};
        wire::BatchBody body{schema_hash(schema), 0, 0, 10, wire::encode_block(block)};
        REQUIRE(log_->append({host, 1, ++sequence_[host], false, wire::encode_body(body),
                              body.schema_hash, wire::encode_schema(schema)}));
        const auto ticket = log_->begin_sync();
        log_->finish_sync(ticket, ticket.run());
        pump();
    }
    // Seconds pass, with a tick each; the hosts send every ten.
    void pass(int seconds, const std::vector<std::string>& hosts, double value = 0.1) {
        for (int i = 1; i <= seconds; ++i) {
            clock.advance(1s);
            if (i % 10 == 0) {
                for (const std::string& host : hosts)
                    batch(host, value);
            }
            evaluation_->tick();
            if (i % 5 == 0) evaluation_->checkpoint();
        }
    }
    std::filesystem::path file() const { return dir_.path() / "state.db"; }
    Evaluation& evaluation() { return *evaluation_; }
    std::vector<Alert> alerts() { return evaluation_->book().alerts({}).value(); }

    // Passes ticks until the next is told, and gives the seconds since the clock's start.
    std::int64_t seconds_until_told(int at_most) {
        const std::size_t before = told.size();
        for (int i = 0; i < at_most && told.size() == before; ++i)
            pass(1, {});
        return (to_unix_ms(clock.wall_now()) - begin_ms) / 1000;
    }

    std::string rules;
    test::ManualClock clock;
    const std::int64_t begin_ms = to_unix_ms(clock.wall_now());
    EvaluationOptions options;
    std::vector<std::string> told;

  private:
    void pump() {
        while (evaluation_->pump(7).value()) {
        }
    }

    test::TempDir dir_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<Log> log_;
    std::unique_ptr<Evaluation> evaluation_;
    std::map<std::string, std::uint64_t> sequence_;
};

using Told = std::vector<std::string>;

}  // namespace

TEST_CASE("who is known and who is silent outlives a crash", "[evaluation]") {
    Machine m;
    m.pass(200, {"a", "b"});
    m.pass(60, {"a"});
    REQUIRE(m.told == Told{"FIRING host.silent b"});
    m.crash();
    m.pass(300, {"a"});
    CHECK(m.told.size() == 1);
    // One that went while the collector was down is known, though the log's window is past it.
    m.clock.advance(25h);
    m.crash();
    m.pass(134, {"b"});
    CHECK(m.told == Told{"FIRING host.silent b", "RESOLVED host.silent b"});
    m.pass(3, {"b"});
    CHECK(m.told.back() == "FIRING host.silent a");
    CHECK(m.alerts().size() == 2);
}

TEST_CASE("a host that is retired is forgotten for good", "[evaluation]") {
    Machine m;
    m.pass(200, {"a", "b"});
    m.pass(60, {"a"});
    m.evaluation().retire_host("b", "the host was revoked");
    CHECK(m.told == Told{"FIRING host.silent b", "RESOLVED host.silent b"});
    CHECK(m.alerts()[0].reason == "the host was revoked");
    m.crash();
    m.pass(600, {"a"});
    CHECK(m.told.size() == 2);
    CHECK(m.evaluation().book().hosts().value().size() == 1);
}

TEST_CASE("missing data is kept with its time through a crash, and is on the timeline",
          "[evaluation]") {
    Machine m;
    m.pass(100, {"a"}, 0.9);
    REQUIRE(m.told == Told{"FIRING cpu a"});
    m.pass(100, {});
    CHECK(m.told == Told{"FIRING cpu a", "FIRING host.silent a", "STALE cpu a"});
    const auto stale = m.evaluation().book().firing_conditions().value();
    m.crash();
    const auto again = m.evaluation().book().firing_conditions().value();
    REQUIRE(again.size() == 2);
    CHECK(again[0].stale_since_ms == stale[0].stale_since_ms);
    CHECK(again[0].stale_since_ms == to_unix_ms(m.clock.wall_now()) - 55'000);
    const auto recorded = m.evaluation().book().transitions_after(0, 100).value();
    CHECK(std::count_if(recorded.begin(), recorded.end(), [](const RecordedTransition& t) {
              return t.change == Change::stale;
          }) == 1);
}

TEST_CASE("an alert whose host has gone resolves by no_data through a restart", "[evaluation]") {
    Machine m;
    m.pass(100, {"a"}, 0.9);
    SECTION("its data were known to be away") {
        m.pass(100, {});
        REQUIRE(m.told == Told{"FIRING cpu a", "FIRING host.silent a", "STALE cpu a"});
        m.crash();
        // The last sample is of 100: away since 145, and then ten minutes.
        CHECK(m.seconds_until_told(2000) == 745);
    }
    SECTION("they stayed away while it was down") {
        m.clock.advance(100s);
        m.crash();
        // Nobody is silent before the grace of the first tick, at 201, is over.
        CHECK(m.seconds_until_told(2000) == 292);
        CHECK(m.told == Told{"FIRING cpu a", "STALE cpu a"});
        CHECK(m.seconds_until_told(2000) == 337);
        CHECK(m.told.back() == "FIRING host.silent a");
        CHECK(m.seconds_until_told(2000) == 891);
    }
    SECTION("the restart was a reload of changed rules, which have not met the series since") {
        m.pass(100, {});
        std::string changed = m.rules;
        changed.replace(changed.find("clear_for = \"20s\""), 17, "clear_for = \"30s\"");
        m.evaluation().replace_rules(test::rules_from(changed));
        CHECK(m.seconds_until_told(2000) == 745);
    }
    CHECK(m.told.back() == "RESOLVED cpu a");
    m.pass(1000, {});
    CHECK(m.told.size() == 4);
}

TEST_CASE("no_data = fire does so through a restart, of a host that does not come back",
          "[evaluation]") {
    std::string rules = kRules;
    rules.replace(rules.find("resolve_after:10m"), 17, "fire");
    for (const bool crash : {false, true}) {
        Machine m(rules);
        m.pass(100, {"a"});
        m.pass(60, {});
        if (crash) m.crash();
        // Away since 145 and for 30 s; or, after the restart, since 161 + 90.
        m.pass(400, {});
        CHECK(m.told == Told{"FIRING host.silent a", "FIRING cpu a"});
        CHECK(m.alerts()[0].fired_ms - m.begin_ms == (crash ? 281'000 : 175'000));
        m.pass(100, {"a"});
        CHECK(m.told == Told{"FIRING host.silent a", "FIRING cpu a", "RESOLVED host.silent a",
                             "FRESH cpu a", "RESOLVED cpu a"});
    }
}

TEST_CASE("pitfall 23: a clock that is set makes nobody silent; far back is an alert of its own",
          "[evaluation]") {
    Machine m;
    m.pass(200, {"a", "b"});
    m.clock.step_wall(1h);
    m.pass(300, {"a", "b"});
    CHECK(m.told.empty());
    m.clock.step_wall(-5min);
    m.pass(60, {"a", "b"});
    CHECK(m.told == Told{"FIRING collector.clock_set_back"});
    m.pass(300, {"a", "b"});
    CHECK(m.told == Told{"FIRING collector.clock_set_back", "RESOLVED collector.clock_set_back"});
    // And it is found all the same who goes then.
    m.pass(60, {"a"});
    CHECK(m.told.back() == "FIRING host.silent b");
}

TEST_CASE("pitfall 24: half an hour of suspension is as a restart", "[evaluation]") {
    Machine m;
    m.pass(200, {"a", "b"});
    m.clock.step_wall(30min);
    m.pass(300, {"a", "b"});
    CHECK(m.told.empty());
}

TEST_CASE("the collector's own alerts begin once, outlive a crash and end", "[evaluation]") {
    Machine m;
    m.pass(10, {"a"});
    m.evaluation().raise("rule_files_refused", "", Severity::p2, "x.toml:1:1: nonsense");
    m.evaluation().raise("rule_files_refused", "", Severity::p2, "x.toml:1:1: nonsense");
    m.crash();
    m.evaluation().raise("rule_files_refused", "", Severity::p2, "x.toml:1:1: nonsense");
    CHECK(m.told == Told{"FIRING collector.rule_files_refused"});
    REQUIRE(m.alerts().size() == 1);
    CHECK(m.alerts()[0].summary == "collector: x.toml:1:1: nonsense");
    m.evaluation().clear("rule_files_refused", "");
    CHECK(m.told.back() == "RESOLVED collector.rule_files_refused");
    CHECK(m.alerts()[0].state == AlertState::resolved);
}

TEST_CASE("alerts that cannot be stored are told at once, and stored when they can be",
          "[evaluation]") {
    Machine m;
    std::vector<std::string> unstored;
    m.evaluation().on_unstored([&](const Transition& t) {
        unstored.push_back(std::string(change_word(t.change)) + ' ' + t.rule);
    });
    m.pass(10, {"a"});
    // What a full disk comes to, as far as the book is concerned: nothing can be written.
    Database beside = Database::open(m.file(), Database::Durability::recent_may_go).value();
    REQUIRE(beside.execute("ALTER TABLE alert RENAME TO away"));
    m.pass(60, {"a"}, 0.9);
    CHECK(unstored == Told{"FIRING cpu", "FIRING collector.alerts_not_stored"});
    CHECK(m.told == Told{"FIRING collector.alerts_not_stored"});
    REQUIRE(beside.execute("ALTER TABLE away RENAME TO alert"));
    m.pass(20, {"a"}, 0.9);
    CHECK(m.told == Told{"FIRING collector.alerts_not_stored", "FIRING cpu a",
                         "RESOLVED collector.alerts_not_stored"});
    CHECK(unstored.size() == 2);
    m.crash();
    CHECK(m.alerts().size() == 2);
}

TEST_CASE("what happens while the log is read again is told too when it cannot be stored",
          "[evaluation]") {
    Machine m;
    m.pass(60, {"a"});
    m.crash_unread();
    std::vector<std::string> unstored;
    m.evaluation().on_unstored([&](const Transition& t) { unstored.push_back(t.rule); });
    Database beside = Database::open(m.file(), Database::Durability::recent_may_go).value();
    REQUIRE(beside.execute("ALTER TABLE alert RENAME TO away"));
    m.evaluation().raise("rule_files_refused", "", Severity::p2, "x.toml:1:1: nonsense");
    CHECK(unstored.empty());
    CHECK(m.evaluation().raised("rule_files_refused").size() == 1);
    m.pass(20, {"a"});
    CHECK(unstored == Told{"collector.rule_files_refused", "collector.alerts_not_stored"});
}

TEST_CASE("a rule beyond its limit is an alert that names it", "[evaluation]") {
    Machine m;
    m.options.limits.identities_per_rule = 1;
    m.crash();
    m.pass(30, {"a", "b", "c"});
    REQUIRE(m.told == Told{"FIRING collector.rule_overflow"});
    CHECK(m.alerts()[0].attributes == Attributes{{"about", "cpu"}});
    CHECK(m.alerts()[0].summary ==
          "collector: rule cpu has more than 1 series to watch; those beyond are not judged: 2 so "
          "far");
    m.evaluation().retire_host("b", "revoked");
    m.evaluation().retire_host("c", "revoked");
    m.evaluation().retire_host("a", "revoked");
    m.pass(5, {});
    CHECK(m.told.back() == "RESOLVED collector.rule_overflow");
}
