#include <array>
#include <map>
#include <random>

#include "agent/pipeline/spool.h"
#include "tests/support/catch.h"
#include "tests/support/faulty_storage.h"
#include "tests/unit/agent/pipeline/batches.h"

namespace ridgeline::agent {
namespace {

using test_batches::make_batch;

// What must be true of a spool after any story of appends, acknowledgements, disk faults and
// restarts: every sample appended is held, acknowledged, or counted as dropped, and no number is
// given twice.
class Story {
  public:
    explicit Story(std::uint64_t seed) : rng_(seed) { open(); }

    void step() {
        switch (pick(20)) {
            case 0:
                restart();
                break;
            case 1:
                storage_.refuse_changes(pick(2) == 0 ? ENOSPC : EIO);
                break;
            case 2:
            case 3:
                storage_.refuse_changes(0);
                break;
            case 4:
                spool_->retry();
                break;
            case 5:
                spool_->on_synced(spool_->take_unsynced().run());
                break;
            case 6:
                storage_.refuse_syncs(pick(3) == 0 ? EIO : 0);
                break;
            case 7:
                storage_.leave_bytes(pick(3000));
                break;
            case 8:
                storage_.make_room();
                break;
            case 9:
            case 10:
            case 11:
            case 12:
                ack_some();
                break;
            default:
                append();
                break;
        }
        check();
    }

  private:
    std::uint64_t pick(std::uint64_t below) { return rng_() % below; }

    void open() {
        auto spool = Spool::open(storage_, {24 * 1024, 4 * 1024, 2048});
        REQUIRE(spool);
        spool_.emplace(std::move(*spool));
    }

    void append() {
        const auto samples = static_cast<std::uint32_t>(1 + pick(1000));
        const auto batch = make_batch(samples, pick(900), pick(4) == 0 ? "sdb" : "sda");
        const std::uint64_t sequence = spool_->append(batch);
        REQUIRE(sequence > last_sequence_);
        last_sequence_ = sequence;
        appended_ += samples;
        model_[sequence] = wire::encode_body(batch.body);
        forget_dropped();
    }

    void ack_some() {
        if (model_.empty()) return;
        auto it = model_.lower_bound(model_.begin()->first +
                                     pick(last_sequence_ - model_.begin()->first + 1));
        for (std::uint64_t n = pick(12); n > 0 && it != model_.end(); --n) {
            acked_ += samples_of(it->second);
            spool_->ack(std::array{it->first});
            it = model_.erase(it);
        }
    }

    // A restart with the disk working: what memory held is written first, as a stopping agent does.
    void restart() {
        storage_.refuse_changes(0);
        storage_.refuse_syncs(0);
        storage_.make_room();
        spool_->retry();
        REQUIRE(spool_->stats().memory_batches == 0);
        forget_dropped();
        dropped_before_ += dropped_now();
        const auto oldest = spool_->oldest();
        const BatchNumber number = oldest ? spool_->number_of(*oldest) : BatchNumber{};
        open();
        last_sequence_ = spool_->next_sequence() - 1;
        if (oldest) REQUIRE(spool_->number_of(*oldest) == number);
        // An acknowledgement whose note went with its segment is forgotten; the batch is offered
        // again.
        for (auto next = spool_->oldest(); next; next = spool_->next_held(*next + 1)) {
            if (!model_.contains(*next)) spool_->ack(std::array{*next});
        }
    }

    static std::uint32_t samples_of(const std::string& body) {
        return wire::decode_body(body, wire::Limits{})->sample_count;
    }
    std::uint64_t dropped_now() const {
        std::uint64_t total = 0;
        for (const std::uint64_t samples : spool_->stats().dropped_samples)
            total += samples;
        return total;
    }
    // The spool may drop its oldest, and says how many samples went.
    void forget_dropped() {
        for (auto it = model_.begin(); it != model_.end();) {
            if (spool_->holds(it->first)) {
                ++it;
                continue;
            }
            dropped_ += samples_of(it->second);
            it = model_.erase(it);
        }
    }

    void check() {
        forget_dropped();
        REQUIRE(dropped_before_ + dropped_now() == dropped_);
        std::uint64_t kept = 0;
        for (const auto& [sequence, body] : model_) {
            REQUIRE(*spool_->read(sequence) == body);
            REQUIRE(spool_->schema(wire::decode_body(body, wire::Limits{})->schema_hash));
            kept += samples_of(body);
        }
        REQUIRE(spool_->stats().batches == model_.size());
        REQUIRE(appended_ == kept + acked_ + dropped_);
    }

    std::mt19937_64 rng_;
    test::FaultyStorage storage_;
    std::optional<Spool> spool_;
    std::map<std::uint64_t, std::string> model_;
    std::uint64_t last_sequence_ = 0;
    std::uint64_t appended_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t dropped_ = 0;
    std::uint64_t dropped_before_ = 0;
};

TEST_CASE("a spool agrees with its model through any story", "[spool]") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        INFO("seed " << seed);
        Story story(seed);
        for (int i = 0; i < 250; ++i)
            story.step();
    }
}

}  // namespace
}  // namespace ridgeline::agent
