// The rounds of the batch that is still being filled, on disk, so that a killed agent loses none of
// them.
//
//   head              common/segment of format RLHEAD1, version 1, base 0
//     record 3 boot   the kernel's boot id, comes first; none in a head of an earlier version
//     record 1 schema u64 sequence number the batch will get, wire::encode_schema; again when it
//                     was extended
//     record 2 rounds all rounds of one tick, each: u32 group, u32 values, i64 stamp in Unix ms,
//                     f64 value …
//
// Written without fsync: it guards against the process ending, the spool's fsync against the power.
// After a power cut the file may be as it was at any moment: of a batch that was sealed and sent
// since, and that the spool, not synced either, has forgotten. Sent anew it would be there twice,
// so a head of another boot is dropped.
//
// It is begun anew when the batch is sealed into the spool; on recovery a head whose sequence
// number the spool already used is dropped. A disk that refuses makes the journal pause until the
// next batch, never the sampling. Loop thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/pipeline/batch.h"
#include "agent/pipeline/bytes.h"
#include "agent/pipeline/spool.h"
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
        std::uint64_t sequence = 0;
        std::optional<SealedBatch> batch;  // nullopt: no whole round in it
    };
    // What a killed run of this boot left; nullopt when there is no head. The file stays until
    // discard() or the next batch.
    static Result<std::optional<Recovered>> recover(Storage& storage,
                                                    std::string_view boot_id = {});

    // Adds a round of the batch that will get `sequence`, for the next write(). Another sequence
    // begins the file anew.
    void add(const RoundView& round, const SharedSchema& schema, std::uint64_t sequence);
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
    std::uint64_t sequence_ = 0;
    bool paused_ = false;
    bool begun_ = false;           // the file is of this sequence
    SharedSchema written_schema_;  // the last one in the file
    ByteWriter pending_;
};

// Seals what a killed run left in the head into the spool, unless it is there already. The samples
// saved.
Result<std::uint64_t> recover_head(Storage& storage, Spool& spool, std::string_view boot_id = {});

}  // namespace ridgeline::agent
