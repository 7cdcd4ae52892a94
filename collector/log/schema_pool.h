// Schemas that hosts have in common, once. Machines of one image and size have the same series: a
// fleet of thousands has a few dozen schemas, each of which takes 40 KB. Two schemas are the same
// when their bytes are; their hash alone can be made to collide. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/metric/series.h"

namespace ridgeline::collector {

struct SharedSchema {
    std::uint64_t hash = 0;
    std::string encoded;  // wire::encode_schema()
    Schema schema;
};

class SchemaPool {
  public:
    // nullptr when nobody holds it.
    std::shared_ptr<const SharedSchema> find(std::uint64_t hash, std::string_view encoded) {
        auto [it, end] = known_.equal_range(hash);
        while (it != end) {
            auto schema = it->second.lock();
            if (schema && schema->encoded == encoded) return schema;
            it = schema ? std::next(it) : known_.erase(it);
        }
        return nullptr;
    }
    std::shared_ptr<const SharedSchema> add(std::uint64_t hash, std::string encoded,
                                            Schema schema) {
        // What is gone is forgotten now and then, so that the pool stays within twice what is held.
        if (known_.size() >= 2 * held_after_sweep_ + kSweepFrom) {
            std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
            held_after_sweep_ = known_.size();
        }
        auto added = std::make_shared<const SharedSchema>(
            SharedSchema{hash, std::move(encoded), std::move(schema)});
        known_.emplace(hash, added);
        return added;
    }
    std::size_t size() const { return known_.size(); }

  private:
    static constexpr std::size_t kSweepFrom = 64;
    std::unordered_multimap<std::uint64_t, std::weak_ptr<const SharedSchema>> known_;
    std::size_t held_after_sweep_ = 0;
};

}  // namespace ridgeline::collector
