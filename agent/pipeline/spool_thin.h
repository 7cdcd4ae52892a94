// One of the spool's segments, rewritten with fewer samples.
//
// Its batches are read one after the other, those that were never sent are merged (thinner.h), the
// others and the notes that are still needed are copied, all into a file beside it. Only when that
// is durable does the spool let it take the segment's place, in one step: after a crash at any
// moment there is the old file or the new one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/pipeline/spool.h"
#include "agent/pipeline/thinner.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/segment/storage.h"
#include "common/wire/messages.h"

namespace ridgeline::agent {

class ThinWork {
  public:
    // A bounded piece of the work: some milliseconds. On any one thread at a time.
    void step();
    bool done() const { return done_; }

  private:
    friend class Spool;
    // Batches that follow each other and will be one.
    struct Run {
        std::optional<Thinner> thinner;
        std::uint64_t schema_hash = 0;
        std::int64_t begun_ms = 0;
        wire::BatchBody last;
        std::uint64_t thinned_before = 0;  // of those that were thinned already
        std::uint64_t samples = 0;
        std::size_t bytes = 0;
        std::vector<std::string> payloads;  // of their records, if it comes to nothing
        std::vector<SpoolEntry> entries;
        std::optional<BatchNumber> number;  // of the last; nullopt: before version 3
    };

    struct KnownSchema {
        std::uint64_t hash;
        std::string encoded;
        Schema schema;
    };

    ThinWork(Storage& storage, std::string segment, std::uint64_t base, std::uint32_t resolution_s,
             std::vector<SpoolEntry> held, std::uint64_t oldest_held);
    Result<void> try_step();
    Result<void> take(const Record& record);
    Result<void> take_batch(const Record& record, const SpoolEntry& entry);
    Result<bool> add_to_run(const Record& record, const SpoolEntry& entry,
                            const wire::BatchBody& body, const KnownSchema& known);
    Result<void> end_run();
    Result<void> copy(std::uint8_t type, std::string_view payload, SpoolEntry entry,
                      std::uint64_t schema_hash);
    Result<void> write_schema(std::uint64_t hash, std::string_view encoded);
    Result<void> finish();
    const KnownSchema* known_schema(std::uint64_t hash) const;

    Storage* storage_;
    std::string segment_;
    std::string file_;
    std::uint64_t base_;
    std::uint32_t resolution_s_;
    std::vector<SpoolEntry> held_;  // not acknowledged when it was begun
    std::uint64_t oldest_held_;
    bool done_ = false;
    std::optional<Error> error_;
    std::optional<SegmentReader> reader_;
    std::optional<SegmentWriter> writer_;
    std::vector<KnownSchema> known_;
    Run run_;
    std::vector<std::uint64_t> acked_notes_;
    std::vector<std::uint64_t> sent_notes_;
    // What the new file holds.
    std::vector<SpoolEntry> entries_;
    std::vector<SpoolSchemaPlace> schemas_;
    std::vector<std::uint64_t> merged_;  // the numbers of the old file that are no more
    std::uint64_t thinned_samples_ = 0;
};

}  // namespace ridgeline::agent
