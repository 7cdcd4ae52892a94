#include "agent/sampler.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

// What a source does when it is read is up to the test.
class ScriptedSource final : public Source {
  public:
    ScriptedSource(std::string name, bool blocking, std::function<Result<void>()> on_read)
        : name_(std::move(name)), blocking_(blocking), on_read_(std::move(on_read)) {}
    std::string_view name() const override { return name_; }
    bool blocking() override { return says_ != nullptr ? *says_ : blocking_; }
    void set_blocking(const bool* says) { says_ = says; }
    Result<void> read(const SampleInstant&) override { return on_read_(); }
    void emit(Recorder&) override {}

  private:
    std::string name_;
    bool blocking_;
    const bool* says_ = nullptr;
    std::function<Result<void>()> on_read_;
};

// Holds whoever waits until it is opened.
class Gate {
  public:
    void wait() {
        std::unique_lock lock(mutex_);
        opened_.wait(lock, [&] { return open_; });
    }
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        opened_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool open_ = false;
};

struct Rig {
    test::ManualClock clock;
    net::Loop loop;
    std::vector<std::string> rounds;
    int after_worker = 0;
    Sampler sampler{loop, clock,
                    [this](std::size_t, Source& source, const SampleInstant&) {
                        rounds.emplace_back(source.name());
                    },
                    [this] { ++after_worker; }};

    void set(std::vector<std::unique_ptr<ScriptedSource>> sources) {
        std::vector<ScheduledSource> scheduled;
        for (auto& source : sources)
            scheduled.push_back({std::move(source), 1s});
        sampler.set_sources(std::move(scheduled), 10s);
    }
    void second() {
        clock.advance(1s);
        (void)sampler.turn();
    }
    long count(std::string_view name) const {
        return std::count(rounds.begin(), rounds.end(), name);
    }
};

template <class... S>
std::vector<std::unique_ptr<ScriptedSource>> list(S... sources) {
    std::vector<std::unique_ptr<ScriptedSource>> all;
    (all.push_back(std::move(sources)), ...);
    return all;
}
auto scripted(std::string name, bool blocking, std::function<Result<void>()> on_read) {
    return std::make_unique<ScriptedSource>(std::move(name), blocking, std::move(on_read));
}

TEST_CASE("a source that hangs is reported and the others keep their beat", "[sampler]") {
    Rig rig;
    Gate gate;
    rig.set(list(scripted("hung", true,
                          [&]() -> Result<void> {
                              gate.wait();
                              return {};
                          }),
                 scripted("cpu", false, []() -> Result<void> { return {}; })));
    for (int i = 0; i < 9; ++i)
        rig.second();
    CHECK(rig.count("cpu") == 9);
    CHECK_FALSE(rig.sampler.status()[0].stuck);
    rig.second();
    rig.second();
    CHECK(rig.count("cpu") == 11);
    auto status = rig.sampler.status();
    CHECK(status[0].stuck);
    CHECK(status[0].errors == 1);  // once, not at every look
    CHECK(status[0].overruns == 10);
    CHECK(status[0].last_error.starts_with("no answer after 10s"));
    CHECK(rig.sampler.worker_busy());

    gate.open();
    rig.loop.run();  // until the worker's result is in
    status = rig.sampler.status();
    CHECK_FALSE(status[0].stuck);
    CHECK(status[0].last_error.empty());
    CHECK(rig.count("hung") == 1);
    CHECK(rig.after_worker == 1);
}

TEST_CASE("hung sources leave a worker thread to others", "[sampler]") {
    Rig rig;
    Gate gate;
    std::atomic<int> reading = 0;
    std::vector<std::unique_ptr<ScriptedSource>> sources;
    for (int i = 0; i < 5; ++i) {
        sources.push_back(scripted("hung" + std::to_string(i), true, [&]() -> Result<void> {
            ++reading;
            gate.wait();
            return {};
        }));
    }
    rig.set(std::move(sources));
    for (int i = 0; i < 3; ++i)
        rig.second();
    std::uint64_t overruns = 0;
    for (const SourceStatus& status : rig.sampler.status())
        overruns += status.overruns;
    CHECK(overruns == 5 * 2);
    CHECK(reading <= 3);
    for (int i = 0; i < 10; ++i)
        rig.second();
    CHECK(rig.sampler.status()[4].last_error.starts_with("not read for 10s: other reads hang"));
    gate.open();
    rig.loop.run();
    CHECK(reading == 5);  // those that waited get their turn
}

TEST_CASE("four quick sources share three workers, and none is left out", "[sampler]") {
    Rig rig;
    std::vector<std::unique_ptr<ScriptedSource>> sources;
    for (int i = 0; i < 4; ++i)
        sources.push_back(
            scripted("quick" + std::to_string(i), true, []() -> Result<void> { return {}; }));
    rig.set(std::move(sources));
    for (int i = 0; i < 20; ++i) {
        rig.second();
        rig.loop.run();
    }
    for (int i = 0; i < 4; ++i) {
        CHECK(rig.count("quick" + std::to_string(i)) == 20);
        CHECK(rig.sampler.status()[static_cast<std::size_t>(i)].overruns == 0);
    }
}

TEST_CASE("reads that hung before reloads hold one worker, not all", "[sampler]") {
    Rig rig;
    Gate gate;
    std::atomic<int> reading = 0;
    for (int reload = 0; reload < 4; ++reload) {
        rig.set(list(scripted("hung", true, [&]() -> Result<void> {
            ++reading;
            gate.wait();
            return {};
        })));
        rig.second();
    }
    CHECK(reading <= 1);
    Gate tcp_was_read;
    rig.set(list(scripted("tcp", true, [&]() -> Result<void> {
        tcp_was_read.open();
        return {};
    })));
    rig.second();
    tcp_was_read.wait();  // although "hung" still is
    gate.open();
    rig.loop.run();
    CHECK(rig.count("tcp") == 1);
}

// Keeps the instants it is told.
class InstantsSource final : public Source {
  public:
    explicit InstantsSource(std::vector<MonoTime>& told) : told_(&told) {}
    std::string_view name() const override { return "instants"; }
    Result<void> read(const SampleInstant& at) override {
        told_->push_back(at.mono);
        return {};
    }
    void emit(Recorder&) override {}

  private:
    std::vector<MonoTime>* told_;
};

TEST_CASE("the instant of a read is next to the read, whatever came before it", "[sampler]") {
    Rig rig;
    std::vector<MonoTime> told;
    std::vector<ScheduledSource> sources;
    sources.push_back({scripted("slow", false,
                                [&]() -> Result<void> {
                                    rig.clock.advance(900ms);
                                    return {};
                                }),
                       1s});
    sources.push_back({std::make_unique<InstantsSource>(told), 1s});
    rig.sampler.set_sources(std::move(sources), 10s);
    rig.second();
    REQUIRE(told.size() == 1);
    CHECK(told[0] == rig.clock.mono_now());
}

TEST_CASE("a source that proves slow is moved to a worker", "[sampler]") {
    Rig rig;
    std::chrono::milliseconds takes = 51ms;
    rig.set(list(scripted("slow", false, [&]() -> Result<void> {
        if (takes > 0ms) rig.clock.advance(takes);
        return {};
    })));
    rig.second();
    rig.second();
    CHECK_FALSE(rig.sampler.status()[0].in_worker);
    takes = 50ms;
    rig.second();  // in time: the count begins anew
    takes = 51ms;
    rig.second();
    rig.second();
    CHECK_FALSE(rig.sampler.status()[0].in_worker);
    rig.second();
    CHECK(rig.sampler.status()[0].in_worker);
    takes = 0ms;
    const long before = rig.count("slow");
    rig.second();
    rig.loop.run();
    CHECK(rig.count("slow") == before + 1);
    CHECK(rig.after_worker == 1);
}

TEST_CASE("a source says before each read whether that one may block", "[sampler]") {
    Rig rig;
    bool blocking = false;
    auto source =
        std::make_unique<ScriptedSource>("disk", false, []() -> Result<void> { return {}; });
    source->set_blocking(&blocking);
    std::vector<ScheduledSource> sources;
    sources.push_back({std::move(source), 1s});
    rig.sampler.set_sources(std::move(sources), 10s);
    rig.second();
    CHECK_FALSE(rig.sampler.status()[0].in_worker);
    CHECK(rig.count("disk") == 1);
    blocking = true;
    rig.second();
    CHECK(rig.sampler.status()[0].in_worker);
    rig.loop.run();
    CHECK(rig.count("disk") == 2);
    CHECK(rig.after_worker == 1);
    blocking = false;
    rig.second();
    CHECK_FALSE(rig.sampler.status()[0].in_worker);
    CHECK(rig.count("disk") == 3);
    CHECK(rig.after_worker == 1);
}

TEST_CASE("one read of more than a second is enough to be moved", "[sampler]") {
    Rig rig;
    rig.set(list(scripted("slow", false, [&]() -> Result<void> {
        rig.clock.advance(1001ms);
        return {};
    })));
    rig.second();
    CHECK(rig.sampler.status()[0].in_worker);
}

TEST_CASE("a stretched sampler keeps to the longer intervals, a minute at most", "[sampler]") {
    Rig rig;
    rig.set(list(scripted("cpu", false, []() -> Result<void> { return {}; })));
    rig.sampler.set_stretch(4);
    for (int i = 0; i < 12; ++i)
        rig.second();
    CHECK(rig.count("cpu") == 3 + 1);  // the first within its first second, as always
    rig.sampler.set_stretch(64);
    CHECK(rig.sampler.status()[0].interval == 60s);
    rig.sampler.set_stretch(1);
    const long before = rig.count("cpu");
    rig.second();
    rig.second();
    CHECK(rig.count("cpu") == before + 2);
}

TEST_CASE("what a worker read for sources of before a reload is not used", "[sampler]") {
    Rig rig;
    Gate gate;
    rig.set(list(scripted("old", true, [&]() -> Result<void> {
        gate.wait();
        return {};
    })));
    rig.second();
    rig.set(list(scripted("new", false, []() -> Result<void> { return {}; })));
    gate.open();
    rig.loop.run();
    CHECK(rig.count("old") == 0);
    rig.second();
    CHECK(rig.count("new") == 1);
}

TEST_CASE("a reload does not begin to count anew, and counts the ticks it drops", "[sampler]") {
    Rig rig;
    Gate gate;
    const auto sources = [&] {
        return list(scripted("hung", true,
                             [&]() -> Result<void> {
                                 gate.wait();
                                 return {};
                             }),
                    scripted("bad", false,
                             []() -> Result<void> { return fail(Errc::corrupt, "no sense"); }));
    };
    rig.set(sources());
    for (int i = 0; i < 3; ++i)
        rig.second();
    rig.clock.advance(5s);  // four ticks nobody looked at, of each and of the batch
    (void)rig.sampler.turn();
    const auto before = rig.sampler.status();
    const std::uint64_t missed = rig.sampler.ticks_missed();
    REQUIRE(before[0].overruns == 3);
    REQUIRE(before[1].errors == 4);
    REQUIRE(missed >= 8);
    rig.set(list());
    rig.set(sources());
    CHECK(rig.sampler.status()[0].overruns == 3);
    CHECK(rig.sampler.status()[1].errors == 4);
    CHECK(rig.sampler.status()[1].rounds == 4);
    CHECK(rig.sampler.ticks_missed() == missed + 1);  // what the hung one's worker will bring
    CHECK(rig.sampler.take_lateness().ticks > 0);     // of before
    CHECK(rig.sampler.take_lateness().ticks == 0);
    gate.open();
    rig.loop.run();
}

TEST_CASE("a read after a long pause is told that there is a gap behind it", "[sampler][TIM-02]") {
    class Source final : public agent::Source {
      public:
        explicit Source(std::vector<bool>& gaps) : gaps_(&gaps) {}
        std::string_view name() const override { return "cpu"; }
        Result<void> read(const SampleInstant& at) override {
            gaps_->push_back(at.after_gap);
            return {};
        }
        void emit(Recorder&) override {}

      private:
        std::vector<bool>* gaps_;
    };
    Rig rig;
    std::vector<bool> gaps;
    std::vector<ScheduledSource> sources;
    sources.push_back({std::make_unique<Source>(gaps), 1s});
    rig.sampler.set_sources(std::move(sources), 10s);
    rig.second();
    rig.second();
    rig.clock.advance(29s);  // a host without a moment for its agent: the rates are wanted
    rig.second();
    rig.clock.advance(30s);  // a paused machine
    rig.second();
    rig.second();
    CHECK(gaps == std::vector<bool>{false, false, false, true, false});
}

}  // namespace
}  // namespace ridgeline::agent
