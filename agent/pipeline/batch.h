// Collects the values of rounds into batches: what the sources record goes in, sealed columns come
// out.
//
// A round is one source's values of one instant. A batch has one schema: a series that joins a
// source which has rounds in the batch already, a stamp that does not advance or a full batch seals
// what was collected before the round is added. A source's first round in the batch may bring new
// series, which come after those that are there. A retired series leaves the schema with the next
// batch. record() does not allocate. Loop thread only; pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/source.h"
#include "common/base/clock.h"
#include "common/metric/sample_block.h"
#include "common/metric/series.h"
#include "common/wire/messages.h"

namespace ridgeline::agent {

// A worst case of 8 bytes a value keeps a batch of this many samples under
// wire::Limits::message_bytes.
inline constexpr std::size_t kBatchSamplesMax = 400'000;

// wire::encode_schema's bytes, a fifth of what the series take once they are taken apart. Shared by
// the batch that is being filled, by sealed batches on their way to the disk, and by the head.
using SharedSchema = std::shared_ptr<const std::string>;

struct SealedBatch {
    wire::BatchBody body;
    SharedSchema schema;
};

// One round as it lies in the batch, for the head journal. Valid until the next call on the
// batcher.
struct RoundView {
    std::uint32_t group = 0;
    std::int64_t stamp_ms = 0;
    std::span<const double> values;  // one per series of the group, in schema order
};

// Rounds one after the other -> columns; `rows` holds stamps_ms.size() rounds of `columns` values.
SampleGroup to_columns(const std::vector<std::int64_t>& stamps_ms, const std::vector<double>& rows,
                       std::size_t columns);

// What a batcher has seen since the agent began.
struct BatchCounts {
    std::uint64_t samples = 0;
    std::uint64_t values_refused = 0;  // NaN and infinities
    std::uint64_t series_refused = 0;  // declarations over wire::Limits, or while frozen
};

class Batcher final : public Recorder {
  public:
    // `rounds_expected` per batch and source: what is reserved, so that a batch grows without
    // allocating. `counted` by batchers before this one.
    explicit Batcher(std::size_t rounds_expected = 16, const BatchCounts& counted = {})
        : rounds_expected_(rounds_expected), counts_(counted) {}

    // Between these two, the Recorder calls belong to `source`'s round at `at`.
    void begin_round(std::string_view source, const SampleInstant& at);
    // Adds the round to the batch. What had to be sealed before it, if anything.
    std::optional<SealedBatch> end_round(WallTime wall, MonoTime mono);
    // The round end_round() added last, under schema(); nullopt when it had no series.
    std::optional<RoundView> last_round() const;

    // Recorder
    SlotId declare(std::string_view metric, Attributes attributes) override;
    void retire(SlotId slot) override;
    void record(SlotId slot, double value) override;

    // While frozen, new series are refused and counted: memory is short.
    void freeze_series(bool frozen) { frozen_ = frozen; }

    // Moves the stamps of the rounds in the batch: they were taken by a clock that was then set.
    void shift_stamps(std::chrono::milliseconds by);
    // Ends the batch; nullopt when it holds no round.
    std::optional<SealedBatch> seal(WallTime wall, MonoTime mono);
    bool empty() const { return rounds_ == 0; }
    // Of the batch being filled.
    const SharedSchema& schema() const { return schema_; }
    std::uint64_t schema_hash() const { return schema_hash_; }

    const BatchCounts& counts() const { return counts_; }

  private:
    static constexpr std::uint32_t kNoColumn = ~std::uint32_t{0};
    struct Slot {
        const std::string* series = nullptr;  // the key in its group's slot_of
        std::uint32_t group = 0;
        std::uint32_t column = kNoColumn;
        bool retired = false;
    };
    struct Group {
        std::string source;
        std::map<std::string, std::uint32_t> slot_of;  // by the packed series
        std::vector<std::uint32_t> slots;  // by column; slots declared in this round are at the end
        std::vector<double> row;           // the round being recorded
        std::size_t columns = 0;           // in the schema of the batch being filled
        std::uint32_t schema_group = 0;    // likewise; meaningless while columns is 0
        std::vector<std::int64_t> stamps_ms;
        std::vector<double> rows;  // round-major: stamps_ms.size() x columns
    };

    bool must_seal_before(const Group& group) const;
    void rebuild_schema();
    void drop_retired(Group& group);

    std::size_t rounds_expected_;
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<Group> groups_;
    std::vector<std::uint32_t> schema_order_;  // of groups, by their first series
    std::uint32_t current_ = 0;                // group of the round
    std::int64_t current_stamp_ms_ = 0;
    bool in_round_ = false;
    bool frozen_ = false;
    bool schema_dirty_ = false;  // a series was declared
    bool any_retired_ = false;
    SharedSchema schema_ = std::make_shared<const std::string>();
    std::uint64_t schema_hash_ = 0;
    std::size_t rounds_ = 0;        // in the batch
    std::size_t values_ = 0;        // in the batch, absent ones included
    std::size_t series_ = 0;        // declared and not dropped
    std::size_t schema_bytes_ = 0;  // what they take in the encoded schema, at most
    BatchCounts counts_;
};

}  // namespace ridgeline::agent
