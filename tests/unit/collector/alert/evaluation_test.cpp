// Log, window, rules and alert book together, restarted at any batch.
#include "collector/evaluation.h"

#include <string>

#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"
#include "tests/support/rule_story.h"
#include "tests/support/temp_dir.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

namespace {

const char* kRule = R"(
[[rule]]
id = "cpu"
metric = "system.cpu.utilization"
op = ">"
levels = [ { at = 0.8, for = "30s", severity = "P3" } ]
clear_for = "20s"
)";

class Machine {
  public:
    Machine() : storage_(open_directory_storage(dir_.path() / "log").value()) { start(); }

    void start() {
        log_ = Log::open(*storage_, {}, clock_).value();
        auto book = AlertBook::open(dir_.path() / "state.db", clock_.wall_now()).value();
        SeriesStoreOptions window;
        evaluation_ =
            Evaluation::open(*log_, window, test::rules_from(rules), std::move(book.book), clock_,
                             [this](const Transition& t) { told_.push_back(alert_line(t)); })
                .value();
        pump();
    }
    std::string rules = kRule;
    void crash() {
        evaluation_.reset();
        log_.reset();
        start();
    }
    // Ten seconds of one value; every other time, the load once.
    void batch(double value) {
        const std::int64_t start_ms = to_unix_ms(clock_.wall_now());
        clock_.advance(10s);
        SampleBlock block;
        SampleGroup group;
        group.series_count = 1;
        for (int i = 0; i < 10; ++i) {
            group.timestamps_ms.push_back(start_ms + i * 1000);
            group.values.push_back(value);
        }
        block.groups.push_back(group);
        SampleGroup load;
        load.series_count = 1;
        if (sequence_ % 2 == 0) {
            load.timestamps_ms.push_back(start_ms);
            load.values.push_back(8);
        }
        block.groups.push_back(load);
        const Schema schema{{{"cpu", {{"system.cpu.utilization", {{"state", "used"}}}}},
                             {"load", {{"system.cpu.load_average.1m", {}}}}}};
        wire::BatchBody body{schema_hash(schema), 0, 0,
                             static_cast<std::uint32_t>(block.sample_count()),
                             wire::encode_block(block)};
        REQUIRE(log_->append({"a1", 1, ++sequence_, false, wire::encode_body(body),
                              body.schema_hash, wire::encode_schema(schema)}));
        const auto ticket = log_->begin_sync();
        log_->finish_sync(ticket, ticket.run());
        pump();
    }
    std::vector<std::string> told() const { return told_; }
    std::vector<Alert> alerts() { return evaluation_->book().alerts({}).value(); }
    Evaluation& evaluation() { return *evaluation_; }

  private:
    void pump() {
        while (evaluation_->pump(7).value()) {
        }
    }

    test::TempDir dir_;
    test::ManualClock clock_;
    std::unique_ptr<Storage> storage_;
    std::unique_ptr<Log> log_;
    std::unique_ptr<Evaluation> evaluation_;
    std::vector<std::string> told_;
    std::uint64_t sequence_ = 0;
};

void play(Machine& machine, std::size_t crash_after) {
    const std::vector<double> story = {0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5,
                                       0.5, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9};
    for (std::size_t i = 0; i < story.size(); ++i) {
        machine.batch(story[i]);
        if (i == crash_after) machine.crash();
    }
}

}  // namespace

TEST_CASE("a crash after any batch changes neither what is told nor what is recorded",
          "[evaluation]") {
    Machine whole;
    play(whole, SIZE_MAX);
    REQUIRE(whole.told().size() == 3);
    for (std::size_t crash_after = 0; crash_after < 15; ++crash_after) {
        Machine crashed;
        play(crashed, crash_after);
        INFO("crash after batch " << crash_after);
        CHECK(crashed.told() == whole.told());
        const auto alerts = crashed.alerts();
        REQUIRE(alerts.size() == 1);
        CHECK(alerts[0].state == AlertState::firing);
        CHECK(alerts[0].reopened == 1);
    }
}

TEST_CASE("nor of a rule that looks at a second, slower series", "[evaluation]") {
    const std::string rule =
        std::string(kRule) + "and = { metric = \"system.cpu.load_average.1m\", value = 4 }\n";
    Machine whole;
    whole.rules = rule;
    whole.crash();
    play(whole, SIZE_MAX);
    REQUIRE(whole.told().size() == 3);
    for (std::size_t crash_after = 0; crash_after < 15; ++crash_after) {
        Machine crashed;
        crashed.rules = rule;
        crashed.crash();
        play(crashed, crash_after);
        INFO("crash after batch " << crash_after);
        CHECK(crashed.told() == whole.told());
    }
}

TEST_CASE("a rule renamed while it fires keeps its alert, running or not", "[evaluation]") {
    for (const bool running : {true, false}) {
        Machine machine;
        play(machine, SIZE_MAX);
        const Alert before = machine.alerts()[0];
        REQUIRE(before.state == AlertState::firing);
        machine.rules.replace(machine.rules.find("\"cpu\""), 5, "\"cpu.busy\"\nwas = \"cpu\"");
        if (running) {
            machine.evaluation().replace_rules(test::rules_from(machine.rules));
        } else {
            machine.crash();
        }
        REQUIRE(machine.alerts().size() == 1);
        CHECK(machine.alerts()[0].id == before.id);
        CHECK(machine.alerts()[0].rule == "cpu.busy");
        const std::size_t told = machine.told().size();
        machine.crash();
        for (int i = 0; i < 4; ++i)
            machine.batch(0.5);
        REQUIRE(machine.alerts().size() == 1);
        CHECK(machine.alerts()[0].id == before.id);
        CHECK(machine.alerts()[0].state == AlertState::resolved);
        CHECK(machine.told().size() == told + 1);
    }
}

TEST_CASE("the window is there again after a restart", "[evaluation]") {
    Machine machine;
    play(machine, 14);
    const auto found = machine.evaluation().series().find({"a1", "system.cpu.utilization", {}});
    REQUIRE(found.size() == 1);
    std::size_t count = 0;
    machine.evaluation().series().window_of(found[0]).for_each(
        0, INT64_MAX, [&](std::int64_t, double) { ++count; });
    CHECK(count == 150);
    CHECK(machine.evaluation().caught_up());
}

TEST_CASE("a rule taken away while nobody was running resolves its alerts at the start",
          "[evaluation]") {
    Machine machine;
    play(machine, SIZE_MAX);
    machine.rules = "";
    machine.crash();
    REQUIRE(machine.alerts().size() == 1);
    CHECK(machine.alerts()[0].state == AlertState::resolved);
    CHECK(machine.alerts()[0].reason == "rule removed");
    CHECK(machine.evaluation().engine().firing().empty());
}
