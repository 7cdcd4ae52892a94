// Rules over batches without a collector around them: nothing is stored, nothing is sent.
//
// The same window and the same engine as in the service, fed batch by batch; several sets of rules
// may look at one window, to be compared. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/rule/engine.h"
#include "collector/series/series_store.h"

namespace ridgeline::collector {

class RuleRun {
  public:
    explicit RuleRun(SeriesStoreOptions window);
    RuleRun(RuleRun&&) = delete;

    // Returns its index.
    std::size_t add(std::vector<Rule> rules);
    // `out`: a list of transitions for each set of rules.
    void take(const LogBatch& batch, std::vector<std::vector<Transition>>& out);
    // As the service's clock drives it: time runs from now on; then every kTickMs. Until the first
    // start_ticks() nobody is taken for silent and no fleet is judged.
    static constexpr std::int64_t kTickMs = 1000;
    void start_ticks(std::int64_t now_ms, std::int64_t grace_ms);
    void tick(std::int64_t now_ms, std::vector<std::vector<Transition>>& out);
    // Drops what has left the window.
    void trim(WallTime now);

    const RuleEngine& engine(std::size_t index) const { return *engines_[index]; }
    const SeriesStore& series() const { return series_; }

  private:
    class StoreHistory final : public SampleHistory {
      public:
        explicit StoreHistory(const SeriesStore& store) : store_(store) {}
        void for_each(std::uint32_t series_id, std::int64_t from_ms, std::int64_t to_ms,
                      const std::function<void(std::int64_t, double)>& visit) const override {
            store_.window_of(series_id).for_each(from_ms, to_ms, visit);
        }

      private:
        const SeriesStore& store_;
    };

    SeriesStore series_;
    StoreHistory history_;
    std::vector<std::unique_ptr<RuleEngine>> engines_;
};

}  // namespace ridgeline::collector
