// The rounds of the batch that is still being filled, on disk, so that a killed agent loses none of
// them.
//
//   head              common/segment of format RLHEAD1, version 2, base 0
//     record 3 boot   the kernel's boot id, comes first; none in a head of an earlier version
//     record 1 schema u64 epoch and u64 number the batch will get (version 1: its sequence alone),
//                     wire::encode_schema; again when it was extended
//     record 4 unset  i64 wall clock − monotonic clock in ms: the stamps are of a clock that nobody
//                     has set (unset_clock.h); before the rounds. Since version 2
//     record 2 rounds all rounds of one tick, each: u32 group, u32 values, i64 stamp in Unix ms,
//                     f64 value …
//
// Written without fsync: it guards against the process ending, the spool's fsync against the power.
// After a power cut the file may be as it was at any moment: of a batch that was sealed and sent
// since, and that the spool, not synced either, has forgotten. It is sent again then under the
// number it had, by which the collector knows it. A head of version 1 has no such number: of
// another boot, it is dropped.
//
// It is begun anew when the batch is sealed into the spool; on recovery a head whose number the
// spool knows is dropped. A disk that refuses makes the journal pause until the next batch, never
// the sampling. Loop thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/pipeline/batch.h"
#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool.h"
#include "agent/pipeline/unset_clock.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"

namespace ridgeline::agent {

inline constexpr std::string_view kHeadFileName = "head";

// The whole of the file there is, for reports; `boot_id` becomes the one it was written under.
Result<SegmentScan> scan_head(Storage& storage, std::string& boot_id);

class HeadJournal {
  public:
    // `boot_id` as in /proc/sys/kernel/random/boot_id; empty when it is not known.
    explicit HeadJournal(Storage& storage, std::string boot_id = {})
        : storage_(&storage), boot_id_(std::move(boot_id)) {}

    struct Recovered {
        BatchNumber number;                // of version 1: its sequence, and no epoch
        std::optional<SealedBatch> batch;  // nullopt: no whole round in it
        std::uint32_t version = 2;
        bool of_this_boot = true;
        bool without_time =
            false;  // its stamps are of a clock that was not set, and will never be known
    };
    // What a killed run left; nullopt when there is no head, or one of version 1 and another boot.
    // The file stays until discard() or the next batch.
    // `offset`: of the clock, if it is set. A head that was written before it was is stamped anew.
    static Result<std::optional<Recovered>> recover(Storage& storage, std::string_view boot_id = {},
                                                    std::optional<ClockOffset> offset = {});

    // Adds a round of the batch that will get `number`, for the next write(). Another number begins
    // the file anew.
    // `unset`: of the clock, while nobody has set it; the same for all rounds of a batch.
    void add(const RoundView& round, const SharedSchema& schema, BatchNumber number,
             std::optional<ClockOffset> unset = {});
    // One write for all rounds added since the last one.
    Result<void> write();
    // The batch is in the spool.
    void discard();

  private:
    Result<void> begin();
    Result<void> append_pending();

    Storage* storage_;
    std::string boot_id_;
    std::optional<SegmentWriter> writer_;
    SharedSchema schema_;
    BatchNumber number_;
    std::optional<ClockOffset> unset_;
    bool paused_ = false;
    bool begun_ = false;           // the file is of this sequence
    SharedSchema written_schema_;  // the last one in the file
    ByteWriter pending_;
};

// Seals what a killed run left in the head into the spool, unless it is there already. The samples
// saved. Those whose time will never be known are counted as dropped.
Result<std::uint64_t> recover_head(Storage& storage, Spool& spool, std::string_view boot_id = {},
                                   std::optional<ClockOffset> offset = {});

}  // namespace ridgeline::agent
