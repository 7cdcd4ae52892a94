#include "agent/pipeline/unset_clock.h"

#include "agent/pipeline/head_journal.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/manual_clock.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kBoot_ms = 5'000;             // 1970
constexpr std::int64_t kNow_ms = 1'772'445'600'000;  // 2026
constexpr ClockOffset kThen{kBoot_ms};               // as the monotonic clock began
constexpr ClockOffset kNow{kNow_ms + 300};

// A machine that was switched on `up` ago.
class Machine final : public Clock {
  public:
    WallTime wall_now() const override {
        return from_unix_ms(offset_.count() +
                            std::chrono::floor<std::chrono::milliseconds>(up_).count());
    }
    MonoTime mono_now() const override { return MonoTime{up_}; }
    void advance(std::chrono::nanoseconds by) { up_ += by; }
    void set(ClockOffset offset) { offset_ = offset; }

  private:
    std::chrono::nanoseconds up_{10s};
    ClockOffset offset_ = kThen;
};

TEST_CASE("the moment at which the clock is set is seen once, with how far it was off", "[clock]") {
    Machine machine;
    ClockWatch watch;
    REQUIRE(watch.look(machine) == ClockWatch::News::is_unset);
    REQUIRE(watch.unset() == kThen);
    machine.advance(3s);
    REQUIRE(watch.look(machine) == ClockWatch::News::none);
    machine.set(kNow);
    machine.advance(1s);
    REQUIRE(watch.look(machine) == ClockWatch::News::is_set);
    REQUIRE(watch.shift() == ClockOffset{kNow_ms - kBoot_ms});  // whole seconds, downwards
    REQUIRE_FALSE(watch.unset());
    REQUIRE(watch.look(machine) == ClockWatch::News::none);
}

TEST_CASE("a clock that is set from the beginning is no news", "[clock]") {
    Machine machine;
    machine.set(kNow);
    ClockWatch watch;
    REQUIRE(watch.look(machine) == ClockWatch::News::none);
    REQUIRE_FALSE(watch.unset());
}

// A source that took long: its round was sampled before the clock was set.
TEST_CASE("a round of the time before is stamped by the clock that was set since", "[clock]") {
    Machine machine;
    const WallTime wall = machine.wall_now();
    const MonoTime mono = machine.mono_now();
    ClockWatch watch;
    REQUIRE(watch.stamp_of(wall, mono, machine) == wall);
    machine.set(kNow);
    machine.advance(2s);
    REQUIRE(watch.stamp_of(wall, mono, machine) == from_unix_ms(kNow_ms + 10'000));
    REQUIRE(watch.stamp_of(machine.wall_now(), machine.mono_now(), machine) == machine.wall_now());
}

// As agent.cpp does it: rounds are journalled while the clock is not set, and the agent is killed.
struct Killed {
    test::FaultyStorage storage;
    Machine machine;

    Killed() {
        ClockWatch watch;
        (void)watch.look(machine);
        HeadJournal head(storage, "boot");
        Batcher batcher;
        for (int i = 0; i < 3; ++i) {
            batcher.begin_round("cpu", {machine.wall_now(), machine.mono_now()});
            batcher.record(batcher.declare("system.uptime", {}), i);
            REQUIRE_FALSE(batcher.end_round(machine.wall_now(), machine.mono_now()));
            head.add(*batcher.last_round(), batcher.schema(), {1, 1}, watch.unset());
            REQUIRE(head.write());
            machine.advance(1s);
        }
    }
    // The next run: what it has in its spool.
    Spool next_run(std::string_view boot_id) {
        Spool spool = std::move(*Spool::open(storage, {}));
        REQUIRE(recover_head(storage, spool, boot_id, set_clock_offset(machine)));
        return spool;
    }
    static std::vector<std::int64_t> stamps(Spool& spool) {
        const auto body = wire::decode_body(*spool.read(1), wire::Limits{}).value();
        const auto schema = wire::decode_schema(*spool.schema(body.schema_hash), wire::Limits{});
        return wire::decode_block(body.columns, *schema, wire::Limits{})->groups[0].timestamps_ms;
    }
};

TEST_CASE("an agent killed before the clock was set loses nothing: the next run knows the time",
          "[clock]") {
    Killed killed;
    killed.machine.set(kNow);
    Spool spool = killed.next_run("boot");
    REQUIRE(Killed::stamps(spool) ==
            std::vector<std::int64_t>{kNow_ms + 10'000, kNow_ms + 11'000, kNow_ms + 12'000});
}

// The collector refuses it, and then it is counted.
TEST_CASE("while the clock is not set yet, the batch keeps the stamps it has", "[clock]") {
    Killed killed;
    Spool spool = killed.next_run("boot");
    REQUIRE(Killed::stamps(spool).front() == kBoot_ms + 10'000);
}

TEST_CASE("after another boot nobody knows when it was: dropped and counted", "[clock]") {
    Killed killed;
    killed.machine.set(kNow);
    const Spool spool = killed.next_run("another boot");
    REQUIRE(spool.stats().batches == 0);
    REQUIRE(spool.stats().dropped_samples[static_cast<std::size_t>(DropReason::clock_unset)] == 3);
}

}  // namespace
}  // namespace ridgeline::agent
