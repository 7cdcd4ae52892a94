#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <set>

#include "agent/pipeline/spool_thin.h"
#include "common/wire/block_codec.h"
#include "tests/support/batches.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"

namespace ridgeline::agent {
namespace {

// What must be true through any story of sending, acknowledging, thinning, disk faults and kills:
// every sample is held, acknowledged, counted as dropped or counted as thinned; and no batch stands
// for a number that a collector has together with one that it has not.
class Story {
  public:
    explicit Story(std::uint64_t seed) : rng_(seed) { open(); }

    void step() {
        switch (pick(24)) {
            case 0:
                kill();
                break;
            case 1:
                storage_.refuse_changes(std::array{ENOSPC, EIO, EROFS}.at(pick(3)));
                break;
            case 2:
            case 3:
                storage_.refuse_changes(0);
                break;
            case 4:
                storage_.refuse_syncs(pick(12) == 0 ? EIO : 0);
                break;
            case 5:
            case 6:
                sync();
                break;
            case 7:
                send_some();
                break;
            case 8:
                ack_some();
                break;
            case 9:
            case 10:
            case 11:
            case 12:
            case 13:
                thin();
                break;
            default:
                append();
                break;
        }
        check();
    }
    std::uint64_t thinned() const { return thinned_before_ + spool_->stats().thinned_samples; }

  private:
    std::uint64_t pick(std::uint64_t below) { return rng_() % below; }

    void open() {
        auto spool = Spool::open(storage_, {24 * 1024, 1U << 20, 2048});
        REQUIRE(spool);
        spool_.emplace(std::move(*spool));
        work_.reset();
    }

    void append() {
        for (std::uint64_t n = 1 + pick(20); n > 0; --n) {
            const Schema schema = test::small_schema();
            SampleBlock block = test::small_block(1'772'445'600'000 + second_ * 1000, 10, 0);
            for (double& value : block.groups[0].values)
                value = static_cast<double>(pick(10'000));
            second_ += 10;
            SealedBatch batch;
            batch.schema = std::make_shared<const std::string>(wire::encode_schema(schema));
            batch.body = wire::decode_body(test::body_of(block, schema), wire::Limits{}).value();
            batch.body.sealed_wall_ms = block.groups[0].timestamps_ms.back();
            appended_ += batch.body.sample_count;
            spool_->append(batch);
        }
    }

    void thin() {
        if (!work_) work_ = spool_->begin_thinning();
        if (!work_) return;
        work_->step();
        if (!work_->done() || pick(2) == 0) return;
        spool_->finish_thinning(*work_);
        work_.reset();
    }

    void sync() {
        const auto synced = spool_->take_unsynced().run();
        sync_failed_ = sync_failed_ || !synced;
        spool_->on_synced(synced);
    }

    struct Batch {
        wire::SequenceRange range;
        std::uint64_t samples = 0;
    };
    Batch read(std::uint64_t sequence) {
        const auto body = wire::decode_body(spool_->read(sequence).value(), wire::Limits{}).value();
        const auto schema =
            wire::decode_schema(spool_->schema(body.schema_hash).value(), wire::Limits{});
        REQUIRE(schema);
        const auto block = wire::decode_block(body.columns, *schema, wire::Limits{});
        REQUIRE(block);
        REQUIRE(block->sample_count() == body.sample_count);
        const auto numbers = wire::range_of(body, spool_->number_of(sequence).number).value();
        return {{sequence - (numbers.last - numbers.first), sequence}, body.sample_count};
    }

    // Half of it arrives.
    void send_some() {
        auto next = spool_->next_held(pick(2) == 0 ? 0 : pick(spool_->next_sequence()));
        for (std::uint64_t n = pick(5); n > 0 && next; --n) {
            if (spool_->sendable(*next)) {
                const Batch batch = read(*next);
                spool_->note_sent(*next);
                for (std::uint64_t i = batch.range.first; pick(2) == 0 && i <= batch.range.last;) {
                    for (; i <= batch.range.last; ++i)
                        arrived_.insert(i);
                }
            }
            next = spool_->next_held(*next + 1);
        }
    }

    void ack(std::uint64_t sequence) {
        acked_ += read(sequence).samples;
        spool_->ack(std::array{sequence});
    }

    // What arrived, some of it.
    void ack_some() {
        auto next = spool_->oldest();
        for (; next; next = spool_->next_held(*next + 1)) {
            if (arrived_.contains(*next) && pick(3) == 0) ack(*next);
        }
    }

    // With the disk working: what memory held is written first, or it would be lost uncounted.
    void kill() {
        storage_.refuse_changes(0);
        spool_->retry();
        REQUIRE(spool_->stats().memory_batches == 0);
        sync();
        thinned_before_ += spool_->stats().thinned_samples;
        dropped_before_ += dropped_now();
        // After a failed sync nobody knows what a power cut takes.
        if (!sync_failed_ && pick(2) == 0) storage_.cut_power();
        std::set<std::uint64_t> held;
        for (auto next = spool_->oldest(); next; next = spool_->next_held(*next + 1))
            held.insert(*next);
        open();
        // Acknowledgements whose note is lost: the Welcome says them again.
        for (auto next = spool_->oldest(); next; next = spool_->next_held(*next + 1)) {
            if (!held.contains(*next)) spool_->ack(std::array{*next});
        }
    }

    std::uint64_t dropped_now() const {
        std::uint64_t total = 0;
        for (const std::uint64_t samples : spool_->stats().dropped_samples)
            total += samples;
        return total;
    }

    void check() {
        std::uint64_t held = 0;
        std::uint64_t last = 0;
        for (auto next = spool_->oldest(); next; next = spool_->next_held(*next + 1)) {
            const Batch batch = read(*next);
            held += batch.samples;
            REQUIRE(batch.range.first > last);
            last = batch.range.last;
            const auto there = std::distance(arrived_.lower_bound(batch.range.first),
                                             arrived_.upper_bound(batch.range.last));
            const auto all = static_cast<std::ptrdiff_t>(batch.range.last - batch.range.first + 1);
            REQUIRE((there == 0 || there == all));
        }
        REQUIRE(appended_ == held + acked_ + dropped_before_ + dropped_now() + thinned());
    }

    std::mt19937_64 rng_;
    test::FaultyStorage storage_;
    std::optional<Spool> spool_;
    std::shared_ptr<ThinWork> work_;
    std::int64_t second_ = 0;
    std::set<std::uint64_t> arrived_;
    bool sync_failed_ = false;
    std::uint64_t appended_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t thinned_before_ = 0;
    std::uint64_t dropped_before_ = 0;
};

TEST_CASE("thinning keeps the books through any story", "[thin]") {
    std::uint64_t thinned = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        INFO("seed " << seed);
        Story story(seed);
        for (int i = 0; i < 150; ++i)
            story.step();
        thinned += story.thinned();
    }
    REQUIRE(thinned > 5'000);
}

}  // namespace
}  // namespace ridgeline::agent
