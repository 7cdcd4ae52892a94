#include "agent/pipeline/spool_thin.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>

#include "agent/pipeline/spool_inspect.h"
#include "common/wire/block_codec.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using test::FaultyStorage;

constexpr std::int64_t kStart_ms = 1'772'445'600'000;  // a whole minute
constexpr std::size_t kSecondsPerBatch = 10;
constexpr SpoolOptions kSmall{64 * 1024, 1U << 20, 4 * 1024};

// Two gauges and a counter, once a second; the counter is the second's number.
Schema host_schema() {
    return {{{"host",
              {{"system.memory.usage", {{"state", "used"}}},
               {"system.cpu.utilization", {{"state", "used"}}},
               {"system.cpu.time", {{"cpu", "0"}}}}}}};
}

class Sampled {
  public:
    // The n-th batch of ten seconds, 30 samples.
    SealedBatch next() {
        SampleGroup group;
        group.series_count = 3;
        group.values.resize(3 * kSecondsPerBatch);
        for (std::size_t i = 0; i < kSecondsPerBatch; ++i, ++second_) {
            group.timestamps_ms.push_back(kStart_ms + second_ * 1000);
            group.values[i] = static_cast<double>(1'000'000 + rng_() % 100'000);
            group.values[kSecondsPerBatch + i] = static_cast<double>(rng_() % 10'000) / 10'000;
            group.values[2 * kSecondsPerBatch + i] = static_cast<double>(second_);
        }
        SealedBatch batch;
        batch.schema = std::make_shared<const std::string>(wire::encode_schema(host_schema()));
        batch.body.schema_hash = schema_hash(host_schema());
        batch.body.sealed_wall_ms = group.timestamps_ms.back();
        batch.body.sample_count = 30;
        batch.body.columns = wire::encode_block({{group}});
        samples_ += 30;
        return batch;
    }
    std::uint64_t samples() const { return samples_; }

  private:
    std::mt19937 rng_{7};
    std::int64_t second_ = 0;
    std::uint64_t samples_ = 0;
};

Spool reopened(Storage& storage, const SpoolOptions& options = kSmall) {
    auto spool = Spool::open(storage, options);
    REQUIRE(spool);
    return std::move(*spool);
}

bool thin_once(Spool& spool) {
    const auto work = spool.begin_thinning();
    if (!work) return false;
    while (!work->done())
        work->step();
    spool.finish_thinning(*work);
    return true;
}
void thin_all(Spool& spool) {
    for (int i = 0; thin_once(spool); ++i)
        REQUIRE(i < 1000);
}

struct Held {
    std::uint64_t samples = 0;
    std::uint64_t thinned = 0;  // by what the batches say
    std::uint64_t batches = 0;
    std::vector<wire::SequenceRange> ranges;
    std::vector<std::uint32_t> resolutions;  // from the oldest on
    std::vector<std::int64_t> counter;       // the counter's values: the seconds
};
Held read_all(Spool& spool) {
    Held held;
    for (auto next = spool.oldest(); next; next = spool.next_held(*next + 1)) {
        const auto body = wire::decode_body(spool.read(*next).value(), wire::Limits{}).value();
        const auto schema =
            wire::decode_schema(spool.schema(body.schema_hash).value(), wire::Limits{}).value();
        const auto block = wire::decode_block(body.columns, schema, wire::Limits{}).value();
        REQUIRE(block.sample_count() == body.sample_count);
        held.samples += body.sample_count;
        held.thinned += body.thinned_samples;
        ++held.batches;
        const auto range = wire::range_of(body, *next).value();
        if (!held.ranges.empty() && held.ranges.back().last + 1 == range.first)
            held.ranges.back().last = range.last;
        else
            held.ranges.push_back(range);
        held.resolutions.push_back(body.resolution_s);
        for (std::size_t i = 0; i < block.groups[0].timestamps_ms.size(); ++i) {
            const double value = block.groups[0].column(2)[i];
            REQUIRE(block.groups[0].timestamps_ms[i] ==
                    kStart_ms + static_cast<std::int64_t>(value) * 1000);
            held.counter.push_back(static_cast<std::int64_t>(value));
        }
    }
    REQUIRE(held.batches == spool.stats().batches);
    return held;
}
std::uint64_t dropped(const Spool& spool) {
    std::uint64_t total = 0;
    for (const std::uint64_t samples : spool.stats().dropped_samples)
        total += samples;
    return total;
}

// Thinned as it goes, as the agent does.
void go_on(Spool& spool, Sampled& sampled, int batches) {
    for (int i = 0; i < batches; ++i) {
        spool.append(sampled.next());
        thin_once(spool);
    }
}

TEST_CASE("before a spool drops anything it thins, the oldest most; every sample is accounted for",
          "[thin]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    Sampled sampled;
    // At full resolution the spool holds about 800 batches.
    std::uint64_t first_drop = 0;
    for (int i = 1; i <= 6000 && first_drop == 0; ++i) {
        go_on(spool, sampled, 1);
        REQUIRE(spool.stats().bytes <= kSmall.bytes_max + 1000);
        if (dropped(spool) > 0) first_drop = static_cast<std::uint64_t>(i);
    }
    INFO("first drop at batch " << first_drop);
    REQUIRE((first_drop == 0 || first_drop > 3000));
    const Held held = read_all(spool);
    REQUIRE(held.samples + spool.stats().thinned_samples + dropped(spool) == sampled.samples());
    REQUIRE(held.ranges.size() == 1);
    REQUIRE(held.ranges[0].last == spool.next_sequence() - 1);
    // Coarse, finer, as sampled; the newest as it was sampled.
    REQUIRE(held.resolutions.front() == 60);
    REQUIRE(held.resolutions.back() == 0);
    REQUIRE(std::count(held.resolutions.begin(), held.resolutions.end(), 10) > 0);
    // The counter is there in every minute.
    for (std::size_t i = 1; i < held.counter.size(); ++i) {
        REQUIRE(held.counter[i] > held.counter[i - 1]);
        REQUIRE(held.counter[i] - held.counter[i - 1] <= 60);
    }
    REQUIRE(spool.first_unacked_number() == held.ranges[0].first);
    // The next run finds the same.
    const std::uint64_t thinned_before = held.thinned;
    Spool next = reopened(storage);
    const Held again = read_all(next);
    REQUIRE(again.samples == held.samples);
    REQUIRE(again.thinned == thinned_before);
    REQUIRE(again.counter == held.counter);
    REQUIRE(inspect_spool(storage)->damage.empty());
}

TEST_CASE("killed at any change while it thins, a spool has the old or the new, never both",
          "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    {
        Spool spool = reopened(storage);
        while (!spool.begin_thinning())
            spool.append(sampled.next());
        spool.on_synced(spool.take_unsynced().run());
    }
    const auto before = storage.snapshot();
    bool finished = false;
    std::uint64_t olds = 0;
    for (std::uint64_t changes = 0; !finished; ++changes) {
        for (const bool power_cut : {false, true}) {
            INFO("killed after " << changes << " changes, power cut " << power_cut);
            storage.restore(before);
            {
                Spool spool = reopened(storage);
                storage.kill_after(changes);
                const auto work = spool.begin_thinning();
                REQUIRE(work);
                while (!work->done())
                    work->step();
                spool.finish_thinning(*work);
                finished = !storage.killed();
                storage.revive();
            }
            if (power_cut) storage.cut_power();
            Spool spool = reopened(storage);
            const Held held = read_all(spool);
            REQUIRE(held.samples + held.thinned == sampled.samples());
            REQUIRE(held.ranges.size() == 1);
            olds += held.thinned == 0 ? 1 : 0;
            for (const auto& [name, bytes] : storage.snapshot())
                REQUIRE_FALSE(name.ends_with(".thin"));
        }
    }
    REQUIRE(olds > 2);
}

TEST_CASE("a merged batch is not sent before a power cut could no longer undo it", "[thin]") {
    FaultyStorage storage;
    Spool spool = reopened(storage);
    Sampled sampled;
    while (!spool.begin_thinning())
        spool.append(sampled.next());
    spool.on_synced(spool.take_unsynced().run());
    REQUIRE(thin_once(spool));
    const std::uint64_t merged = *spool.oldest();
    REQUIRE(merged > 1);
    REQUIRE_FALSE(spool.sendable(merged));
    REQUIRE(spool.awaits_sync());
    SyncWork work = spool.take_unsynced();
    REQUIRE_FALSE(spool.sendable(merged));
    storage.refuse_syncs(EIO);
    spool.on_synced(work.run());
    REQUIRE_FALSE(spool.sendable(merged));
    storage.refuse_syncs(0);
    spool.on_synced(spool.take_unsynced().run());
    REQUIRE(spool.sendable(merged));
    storage.cut_power();
    Spool next = reopened(storage);
    REQUIRE(*next.oldest() == merged);
}

TEST_CASE("what may be at the collector stays as it is, in this run and the next", "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    {
        Spool spool = reopened(storage);
        while (!spool.begin_thinning())
            spool.append(sampled.next());
        for (const std::uint64_t sequence : {1, 2, 5})
            spool.note_sent(sequence);
        spool.note_sent(2);      // again
        spool.note_sent(9'999);  // unknown
    }
    Spool spool = reopened(storage);
    REQUIRE(thin_once(spool));
    for (const std::uint64_t sequence : {1, 2, 5}) {
        REQUIRE(spool.holds(sequence));
        const auto body = wire::decode_body(*spool.read(sequence), wire::Limits{});
        REQUIRE(body->first_sequence == 0);
        REQUIRE(body->sample_count == 30);
    }
    REQUIRE_FALSE(spool.holds(6));
    const Held held = read_all(spool);
    REQUIRE(held.samples + held.thinned == sampled.samples());
    REQUIRE(held.ranges.size() == 1);
    // The note went with the rewritten segment.
    Spool next = reopened(storage);
    thin_all(next);
    REQUIRE(next.holds(1));
    REQUIRE(next.holds(5));
}

TEST_CASE("what was sent, acknowledged or dropped while it was being merged wins", "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    Spool spool = reopened(storage);
    while (!spool.begin_thinning())
        spool.append(sampled.next());
    const auto files = storage.snapshot().size();
    const int what = GENERATE(0, 1, 2);
    const auto work = spool.begin_thinning();
    while (!work->done())
        work->step();
    REQUIRE(storage.snapshot().size() == files + 1);
    if (what == 0) spool.note_sent(3);
    if (what == 1) spool.ack(std::array<std::uint64_t, 1>{3});
    if (what == 2) spool.drop(3, DropReason::rejected);
    spool.finish_thinning(*work);
    REQUIRE(storage.snapshot().size() == files);
    REQUIRE(spool.stats().thinned_samples == 0);
    REQUIRE(spool.holds(1));
    REQUIRE(spool.holds(3) == (what == 0));
    REQUIRE(thin_once(spool));  // around it
    REQUIRE(spool.stats().thinned_samples > 0);
    const Held held = read_all(spool);
    REQUIRE(held.samples + held.thinned + (what == 0 ? 0 : 30) == sampled.samples());
}

TEST_CASE("a merged batch is acknowledged as one, and only by all that it stands for", "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    Spool spool = reopened(storage);
    while (!spool.begin_thinning())
        spool.append(sampled.next());
    REQUIRE(thin_once(spool));
    const std::uint64_t merged = *spool.oldest();
    REQUIRE(spool.first_unacked_number() == 1);
    spool.ack_range(spool.epoch(), 2, merged);
    REQUIRE(spool.holds(merged));
    spool.ack_range(spool.epoch(), 1, merged - 1);
    REQUIRE(spool.holds(merged));
    spool.ack_range(spool.epoch(), 1, merged);
    REQUIRE_FALSE(spool.holds(merged));
    REQUIRE(spool.first_unacked_number() == merged + 1);
    REQUIRE_FALSE(reopened(storage).holds(merged));
}

TEST_CASE("a disk that refuses, or a damaged segment, ends thinning and nothing else", "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    Spool spool = reopened(storage);
    while (!spool.begin_thinning())
        spool.append(sampled.next());
    const std::uint64_t batches = spool.stats().batches;
    SECTION("full") {
        storage.leave_bytes(100);
        REQUIRE(thin_once(spool));
        REQUIRE(spool.stats().disk_errors == 1);
    }
    SECTION("read-only") {
        storage.refuse_changes(EROFS);
        REQUIRE(thin_once(spool));
        storage.refuse_changes(0);
    }
    SECTION("its sync fails") {
        storage.refuse_syncs(EIO);
        REQUIRE(thin_once(spool));
    }
    SECTION("damaged") {
        auto files = storage.snapshot();
        files.at("00000000000000000001.seg").at(2000) ^= std::byte{1};
        storage.restore(files);
        REQUIRE(thin_once(spool));
        REQUIRE(spool.stats().disk_errors == 0);
    }
    REQUIRE(spool.stats().batches == batches);
    REQUIRE(spool.stats().thinned_samples == 0);
    REQUIRE(spool.holds(1));
    storage.make_room();
    storage.refuse_syncs(0);
    // The next segment's turn.
    REQUIRE(thin_once(spool));
    REQUIRE(spool.stats().thinned_samples > 0);
}

TEST_CASE("thinning is done in small steps", "[thin]") {
    FaultyStorage storage;
    Sampled sampled;
    Spool spool = reopened(storage, {1U << 20, 1U << 20, 64 * 1024});
    while (!spool.begin_thinning())
        spool.append(sampled.next());
    const auto work = spool.begin_thinning();
    int steps = 0;
    for (; !work->done(); ++steps)
        work->step();
    REQUIRE(steps > 10);
    spool.finish_thinning(*work);
    REQUIRE(spool.stats().thinned_samples > 0);
}

// The host of research: 129 series, 66 of them counters; 46 never change, the rest walk.
class Host {
  public:
    Host() {
        for (int i = 0; i < 129; ++i) {
            const bool counter = i < 66;
            schema_.groups[0].series.push_back({counter   ? "system.cpu.time"
                                                : i < 114 ? "system.memory.usage"
                                                          : "system.cpu.utilization",
                                                {{"n", std::to_string(i)}}});
            values_.push_back(counter ? 1e6 : i < 114 ? 5e5 : 0.5);
        }
        encoded_ = std::make_shared<const std::string>(wire::encode_schema(schema_));
        hash_ = schema_hash(schema_);
    }
    SealedBatch next() {
        SampleGroup group;
        group.series_count = values_.size();
        group.values.resize(values_.size() * kSecondsPerBatch);
        for (std::size_t i = 0; i < kSecondsPerBatch; ++i, ++second_) {
            group.timestamps_ms.push_back(kStart_ms + second_ * 1000);
            for (std::size_t n = 0; n < values_.size(); ++n) {
                step(n);
                group.values[n * kSecondsPerBatch + i] = values_[n];
            }
        }
        SealedBatch batch;
        batch.schema = encoded_;
        batch.body.schema_hash = hash_;
        batch.body.sealed_wall_ms = group.timestamps_ms.back();
        batch.body.sample_count = static_cast<std::uint32_t>(group.values.size());
        batch.body.columns = wire::encode_block({{group}});
        return batch;
    }

  private:
    void step(std::size_t n) {
        if (n % 14 < 5) return;
        if (n < 66) {
            values_[n] += static_cast<double>(rng_() % 200);
        } else if (n < 114) {
            values_[n] += static_cast<double>(rng_() % 2001) - 1000;
        } else {
            values_[n] = static_cast<double>(rng_() % 10'000) / 10'000;
        }
    }

    Schema schema_{{{"host", {}}}};
    SharedSchema encoded_;
    std::uint64_t hash_ = 0;
    std::vector<double> values_;
    std::mt19937 rng_{7};
    std::int64_t second_ = 0;
};

// A figure, not a test of every build: test_agent_pipeline "[week]"
TEST_CASE("a week without a collector in 16 MiB", "[.][week]") {
    test::TempDir directory;
    auto storage = open_directory_storage(directory.path()).value();
    Spool spool = reopened(*storage, {.bytes_max = 16U << 20});
    Host host;
    std::uint64_t samples = 0;
    std::chrono::nanoseconds longest{0};
    std::chrono::nanoseconds thinning{0};
    constexpr int kWeek = 7 * 24 * 360;
    for (int i = 0; i < kWeek; ++i) {
        const auto batch = host.next();
        samples += batch.body.sample_count;
        spool.append(batch);
        for (auto work = spool.begin_thinning(); work; work = spool.begin_thinning()) {
            while (!work->done()) {
                const auto begin = std::chrono::steady_clock::now();
                work->step();
                const auto took = std::chrono::steady_clock::now() - begin;
                longest = std::max<std::chrono::nanoseconds>(longest, took);
                thinning += took;
            }
            spool.finish_thinning(*work);
        }
    }
    std::map<std::uint32_t, std::uint64_t> seconds;
    std::uint64_t held = 0;
    std::int64_t oldest_ms = 0;
    std::int64_t last_ms = 0;
    for (auto next = spool.oldest(); next; next = spool.next_held(*next + 1)) {
        const auto body = wire::decode_body(spool.read(*next).value(), wire::Limits{}).value();
        held += body.sample_count;
        const auto range = wire::range_of(body, *next).value();
        seconds[body.resolution_s] += 10 * (range.last - range.first + 1);
        if (oldest_ms == 0) oldest_ms = body.sealed_wall_ms;
        last_ms = body.sealed_wall_ms;
    }
    std::printf("%.1f MiB on disk; %llu samples taken, %llu held, %llu thinned, %llu dropped\n",
                static_cast<double>(spool.stats().bytes) / 1048576,
                static_cast<unsigned long long>(samples), static_cast<unsigned long long>(held),
                static_cast<unsigned long long>(spool.stats().thinned_samples),
                static_cast<unsigned long long>(dropped(spool)));
    for (const auto& [resolution_s, length] : seconds)
        std::printf("%2u s: %.1f h\n", std::max(1U, resolution_s),
                    static_cast<double>(length) / 3600);
    std::printf("covered: %.1f h; thinning: %.1f s of CPU, the longest step %.1f ms\n",
                static_cast<double>(last_ms - oldest_ms) / 3.6e6,
                std::chrono::duration<double>(thinning).count(),
                std::chrono::duration<double, std::milli>(longest).count());
    REQUIRE(held + spool.stats().thinned_samples + dropped(spool) == samples);
}

// Its unread batches would not be in the file that takes its place.
TEST_CASE("a segment that could not be read to its end is not thinned", "[spool][thin]") {
    FaultyStorage storage;
    Sampled sampled;
    Held before;
    {
        Spool spool = reopened(storage);
        while (spool.stats().bytes < 58 * 1024)
            spool.append(sampled.next());
        before = read_all(spool);
        spool.on_synced(spool.take_unsynced().run());
    }
    const std::string name = storage.list().value().front();
    storage.refuse_reads_beyond(name, storage.snapshot().at(name).size() - 10, EIO);
    {
        Spool spool = reopened(storage);
        REQUIRE(spool.stats().batches < before.batches);
        thin_all(spool);
        REQUIRE(spool.stats().thinned_samples > 0);
    }
    storage.refuse_reads_beyond(name, 0, 0);
    Spool spool = reopened(storage);
    const Held after = read_all(spool);
    REQUIRE(after.samples + after.thinned == before.samples);
}

}  // namespace
}  // namespace ridgeline::agent
