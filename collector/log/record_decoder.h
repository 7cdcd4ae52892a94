// The log's records, one after the other -> batches with their hosts and schemas.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "collector/log/log_batch.h"
#include "collector/log/schema_pool.h"
#include "common/base/result.h"
#include "common/segment/segment.h"
#include "common/wire/block_codec.h"

namespace ridgeline::collector {

class RecordDecoder {
  public:
    // A segment repeats what its batches need: of the one before, only what that held is kept, so
    // that readers of both share a schema.
    void begin_segment(LogPosition base);
    // Takes in a host or schema record; false when it is neither, or damaged.
    bool learn(const Record& record);
    // Errc::corrupt when it is damaged, or its host or schema was not learned.
    Result<LogBatch> batch(const Record& record);

  private:
    struct KnownSchema {
        std::shared_ptr<const Schema> schema;
        bool in_this_segment = false;
    };

    LogPosition base_ = 0;
    std::map<std::string, std::shared_ptr<const HostInfo>, std::less<>> hosts_;
    std::map<std::pair<std::string, std::uint64_t>, KnownSchema> schemas_;
    SchemaPool pool_;
    wire::BlockDecoder blocks_;
};

}  // namespace ridgeline::collector
