#include "collector/trial/replay.h"

#include <map>
#include <set>
#include <sstream>

#include "collector/log/log.h"
#include "collector/trial/replay_clock.h"
#include "collector/trial/replay_command.h"
#include "common/base/file.h"
#include "common/base/units.h"
#include "tests/support/batches.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

std::string rules_at(const char* at) {
    return std::string(
               "[[rule]]\nid = \"cpu\"\nmetric = \"system.cpu.utilization\"\nlevels = [ { "
               "at = \"") +
           at + "\", for = \"1m\", severity = \"P3\" } ]\nclear_for = \"30s\"\n";
}

// A collector's log, written as the service does.
class Recording {
  public:
    explicit Recording(Storage& storage, LogOptions options = {})
        : log_(std::move(*Log::open(storage, options, clock_))) {
        schema_ = wire::encode_schema(test::small_schema());
        meet("web1");
    }
    // One more host that sends.
    void meet(const std::string& id) {
        HostInfo host;
        host.host_id = id;
        log_->set_host(host);
        hosts_.insert(id);
    }
    void part(const std::string& id) { hosts_.erase(id); }
    // Nobody samples anything.
    void pass(std::chrono::seconds length) { clock_.advance(length); }

    // Samples of a second each, received as the last is taken.
    void live(std::chrono::seconds length, double value) {
        for (auto done = 0s; done < length; done += 10s) {
            const auto start = clock_.wall_now();
            clock_.advance(10s);
            append(start, 10, value, false);
        }
    }
    // Samples that are taken while nothing can be sent.
    void outage(std::chrono::seconds length, double value) {
        const auto start = clock_.wall_now();
        clock_.advance(length);
        for (auto done = 0s; done < length; done += 10s)
            append(start + done, 10, value, true);
    }
    WallTime now() const { return clock_.wall_now(); }
    Log& log() { return *log_; }

  private:
    void append(WallTime start, std::size_t ticks, double value, bool backlog) {
        const Schema schema = test::small_schema();
        const std::string body =
            test::body_of(test::small_block(to_unix_ms(start), ticks, value), schema);
        for (const std::string& host : hosts_) {
            REQUIRE(log_->append(
                {host, 1, ++sequences_[host], backlog, body, schema_hash(schema), schema_, 0}));
        }
        const auto ticket = log_->begin_sync();
        log_->finish_sync(ticket, ticket.run());
    }

    test::ManualClock clock_;
    std::unique_ptr<Log> log_;
    std::string schema_;
    std::set<std::string> hosts_;
    std::map<std::string, std::uint64_t> sequences_;
};

ReplayReport replay(Storage& storage, WallTime from, std::optional<WallTime> to,
                    const std::vector<std::string>& rules) {
    std::vector<std::vector<Rule>> sets;
    for (const std::string& toml : rules)
        sets.push_back(test::rules_from(toml));
    auto log = StoredLog::open(storage, from - replay_run_up(sets));
    REQUIRE(log);
    return *replay_log(*log, from, to, std::move(sets));
}

const WallTime kStart = test::ManualClock().wall_now();

// "60..150:P3", in seconds from the start; "-" where it still fires.
std::string told(const std::vector<ReplayedAlert>& alerts) {
    std::string out;
    const auto seconds = [](std::int64_t ms) {
        return ms == 0 ? "-" : std::to_string((ms - to_unix_ms(kStart)) / 1000);
    };
    for (const ReplayedAlert& alert : alerts) {
        out += (out.empty() ? "" : " ") + seconds(alert.fired_ms) + ".." +
               seconds(alert.resolved_ms) + ':' + std::string(to_string(alert.severity)) +
               (alert.before ? "(before)" : "");
    }
    return out;
}

}  // namespace

TEST_CASE("a replay tells what would have fired, and reads what is asked for") {
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.live(120s, 0.5);
    recording.live(120s, 0.9);  // 120..240
    recording.live(120s, 0.5);
    recording.live(300s, 0.9);  // from 360 on
    const auto before = disk.snapshot();

    const ReplayReport all = replay(disk, kStart, {}, {rules_at("80%")});
    CHECK(told(all.results[0].alerts) == "180..270:P3 420..-:P3");
    CHECK(all.results[0].counts.at("cpu").at(Severity::p3) == 2);
    CHECK(all.batches == 66);
    CHECK(all.samples == 2 * 660);
    CHECK(all.samples_late == 0);
    CHECK(all.to == kStart + 660s);

    const ReplayReport part = replay(disk, kStart + 200s, kStart + 400s, {rules_at("80%")});
    CHECK(told(part.results[0].alerts) == "180..270:P3(before)");
    CHECK(part.batches == 21);

    CHECK(disk.snapshot() == before);
}

TEST_CASE("a replay finds nothing else than the engine that ran") {
    // An outage that ended before its data came is an episode; one that lasts fires with it.
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.live(60s, 0.5);
    recording.outage(600s, 0.9);
    recording.live(60s, 0.5);
    recording.outage(600s, 0.9);
    recording.live(60s, 0.9);
    const ReplayReport report = replay(disk, kStart, {}, {rules_at("80%")});
    // What came of the first outage is over only 30 s after the data is live again.
    CHECK(report.results[0].alerts.size() == 2);
    CHECK(report.samples_late == 2 * 2 * 480);
    CHECK(report.samples == 2 * 1380);
}

namespace {

const char* const kSilent =
    "[[rule]]\nid = \"silent\"\nkind = \"heartbeat\"\nmissing = \"45s\"\nlevels = [ { severity = "
    "\"P1\" } ]\n";

}  // namespace

TEST_CASE("a replay tells of a host that was silent, and of its return") {
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.meet("web2");
    recording.live(300s, 0.5);
    recording.part("web2");
    recording.live(300s, 0.5);  // heard of last at 300
    recording.meet("web2");
    recording.live(60s, 0.5);  // and again at 610
    const ReplayReport report = replay(disk, kStart, {}, {kSilent});
    CHECK(told(report.results[0].alerts) == "346..610:P1");
    CHECK(report.results[0].alerts[0].host == "web2");
    CHECK(report.absences.empty());
}

TEST_CASE("time goes on behind a replay's last batch as far as --to") {
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.live(300s, 0.5);
    CHECK(told(replay(disk, kStart, {}, {kSilent}).results[0].alerts) == "");
    CHECK(told(replay(disk, kStart, kStart + 345s, {kSilent}).results[0].alerts) == "");
    CHECK(told(replay(disk, kStart, kStart + 346s, {kSilent}).results[0].alerts) == "346..-:P1");
}

TEST_CASE(
    "when all hosts were silent a replay tells of it; when the collector was away it does not") {
    const std::string stale =
        "[[rule]]\nid = \"cpu\"\nmetric = \"system.cpu.utilization\"\nlevels = [ { at = \"80%\", "
        "for = \"1m\" } ]\nno_data = \"resolve_after:5m\"\n";
    {
        test::FaultyStorage disk;
        Recording recording(disk);
        recording.live(300s, 0.9);
        recording.pass(600s);
        recording.live(60s, 0.9);
        const ReplayReport report = replay(disk, kStart, {}, {kSilent, stale});
        CHECK(told(report.results[0].alerts) == "346..910:P1");
        // Without data since 299 + 45 s it ends 5 minutes later, and begins again.
        CHECK(told(report.results[1].alerts) == "60..644:P4");
        CHECK(report.absences.empty());
    }
    {
        test::FaultyStorage disk;
        Recording recording(disk);
        recording.live(300s, 0.9);
        recording.outage(600s, 0.9);
        recording.live(60s, 0.9);
        const ReplayReport report = replay(disk, kStart, {}, {kSilent, stale});
        CHECK(told(report.results[0].alerts) == "");
        CHECK(told(report.results[1].alerts) == "60..-:P4");
        REQUIRE(report.absences.size() == 1);
        CHECK(report.absences[0].from == kStart + 300s);
        CHECK(report.absences[0].to == kStart + 900s);
    }
}

TEST_CASE("a replay outlives a clock that was set forward by years, and back") {
    test::FaultyStorage disk;
    Recording recording(disk);
    const auto years = std::chrono::hours{24 * 365 * 20};
    recording.live(300s, 0.5);
    recording.pass(years);
    recording.live(60s, 0.5);
    recording.pass(-years);
    recording.live(60s, 0.5);
    const ReplayReport report = replay(disk, kStart, {}, {kSilent});
    // It is silent for a week, then time is passed over.
    CHECK(report.results[0].alerts.size() == 1);
    REQUIRE(report.absences.size() == 1);
    CHECK(report.absences[0].from == kStart + 300s + ReplayClock::kGapMax);
}

TEST_CASE("a replay judges fleets") {
    test::FaultyStorage disk;
    Recording recording(disk);
    for (const char* host : {"web2", "web3"})
        recording.meet(host);
    recording.live(300s, 0.5);
    recording.live(300s, 0.9);
    const ReplayReport report = replay(
        disk, kStart, {},
        {"[[rule]]\nid = \"busy\"\nmetric = \"system.cpu.utilization\"\nby = []\nfleet = { agg = "
         "\"share\", over = \"80%\", min_members = 3 }\nlevels = [ { at = \"50%\", for = \"1m\" } "
         "]\n"});
    REQUIRE(report.results[0].alerts.size() == 1);
    // Batches of 10 s: the first high ones are there at 310.
    CHECK(told(report.results[0].alerts) == "370..-:P4");
}

TEST_CASE("thresholds are compared on the same log") {
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.live(120s, 0.85);  // fires at 60
    recording.live(120s, 0.5);
    recording.live(120s, 0.75);
    recording.live(120s, 0.95);  // fires at 420, or with 70 % at 300
    recording.live(120s, 0.5);
    const auto diff_with = [&](const char* at) {
        const auto report = replay(disk, kStart, {}, {rules_at(at), rules_at("80%")});
        return compare(report.results[1].alerts, report.results[0].alerts);
    };
    const ReplayDiff same = diff_with("80%");
    CHECK(same.same == 2);
    CHECK(told(same.gone) + told(same.added) == "");

    const ReplayDiff higher = diff_with("90%");
    CHECK(told(higher.gone) == "60..150:P3");
    CHECK(told(higher.added) == "");
    CHECK(higher.same == 1);

    const ReplayDiff lower = diff_with("70%");
    REQUIRE(lower.moved.size() == 1);
    CHECK(told({lower.moved[0].before}) == "420..510:P3");
    CHECK(told({lower.moved[0].after}) == "300..510:P3");

    const auto reversed = replay(disk, kStart, {}, {rules_at("80%"), rules_at("90%")});
    CHECK(told(compare(reversed.results[1].alerts, reversed.results[0].alerts).added) ==
          "60..150:P3");
}

TEST_CASE("a replay says when the log does not reach back so far") {
    test::FaultyStorage disk;
    Recording recording(disk);
    recording.live(60s, 0.5);
    CHECK(replay(disk, kStart - 1h, {}, {rules_at("80%")}).cut_short());
    CHECK_FALSE(replay(disk, kStart + 30s, {}, {rules_at("80%")}).cut_short());
    test::FaultyStorage empty;
    CHECK(replay(empty, kStart, {}, {rules_at("80%")}).cut_short());
}

TEST_CASE("of many segments a replay opens those it needs, and counts what is damaged") {
    test::FaultyStorage disk;
    LogOptions small;
    small.segment_bytes = 4096;
    Recording recording(disk, small);
    recording.live(3h, 0.5);
    recording.live(300s, 0.9);
    REQUIRE(recording.log().segments().size() > 20);
    const WallTime from = kStart + 3h;
    const ReplayReport report = replay(disk, from, {}, {rules_at("80%")});
    CHECK(told(report.results[0].alerts) == "10860..-:P3");
    CHECK(report.log.batches < 450);  // an hour of run-up and the five minutes, of 1110
    CHECK(report.log.records_skipped == 0);

    auto files = disk.snapshot();
    auto& damaged = std::next(files.rbegin(), 3)->second;
    damaged[damaged.size() / 2] ^= std::byte{0x40};
    disk.restore(files);
    CHECK(replay(disk, from, {}, {rules_at("80%")}).log.records_skipped == 1);
    files.erase(std::next(files.rbegin(), 2)->first);
    disk.restore(files);
    CHECK(replay(disk, from, {}, {rules_at("80%")}).log.batches < report.log.batches);
}

TEST_CASE("the replay command prints tables and JSON, and refuses what it cannot read") {
    const test::TempDir dir;
    auto storage = open_directory_storage(dir.path() / "log");
    REQUIRE(storage);
    Recording recording(**storage);
    recording.live(60s, 0.5);
    recording.live(120s, 0.9);
    REQUIRE(write_file_atomic(dir.path() / "tried.toml", rules_at("95%"), 0644));
    const auto in_force = [] { return LoadedRules{test::rules_from(rules_at("80%")), {}, {}, {}}; };
    const auto run = [&](ReplayCommandOptions options) {
        if (options.log_directory.empty()) options.log_directory = dir.path() / "log";
        std::ostringstream out, errors;
        const int code = run_replay(options, in_force, recording.now(), out, errors);
        return std::to_string(code) + '\n' + out.str() + errors.str();
    };
    ReplayCommandOptions options;
    options.from = "3m";
    const std::string table = run(options);
    CHECK(table.find("P3   2026-03-02T10:02:00Z  still fires") != std::string::npos);
    CHECK(table.find("RULE  P1  P2  P3  P4\ncpu    0   0   1   0\n") != std::string::npos);
    CHECK(table.find("Read 18 batches with 360 samples from 2026-03-02T10:00:00Z to "
                     "2026-03-02T10:03:00Z") != std::string::npos);
    options.json = true;
    CHECK(run(options).find("\"counts\":{\"cpu\":{\"P3\":1}}") != std::string::npos);
    options.json = false;
    options.rules = {dir.path() / "tried.toml"};
    CHECK(run(options).starts_with("0\nNothing would have fired.\n"));
    options.diff = true;
    CHECK(run(options).starts_with("0\n0 as before, 1 fire no more, 0 fire new, 0 at other"));
    options.from = "yesterday";
    CHECK(run(options).starts_with("2\nreplay: \"yesterday\" is no time; write one such as "));
    options.from = "3m";
    options.to = "1h";
    CHECK(run(options) == "2\nreplay: --to must lie after --from\n");
    options.to = "";
    options.rules = {};
    CHECK(run(options).starts_with("2\nreplay: --diff compares with the rules in force"));
    options.diff = false;
    options.log_directory = dir.path() / "none";
    CHECK(run(options).starts_with("1\nreplay: "));
}
