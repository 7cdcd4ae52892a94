// What became of every sample ever taken. A sample's value names it, so that wherever it turns up
// it is known again, with the stamp and the series it was taken with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "collector/log/log_batch.h"
#include "tests/simulation/world.h"

namespace ridgeline::sim {

using SampleId = std::uint32_t;
using SampleIds = std::vector<SampleId>;

enum class Fate : std::uint8_t {
    kept,            // the agent has it
    delivered,       // in the log, durable
    dropped,         // counted by the agent, by reason
    dropped_unsaid,  // likewise, by a process that was killed before it could show the count
    lost_power,      // was not on the platter when the power went
    lost_memory,     // was in memory, since the disk refused it, when the process died
    lost_disk,       // the disk took it, but failed to sync it or to give it back
    lost_instant,    // was being taken when the process died
};
inline constexpr std::size_t kFates = 8;
const char* to_string(Fate fate);

class Ledger {
  public:
    SampleId take(std::size_t agent, std::uint32_t series, std::int64_t stamp_ms);
    std::uint32_t series_id(std::string_view name);
    double value_of(SampleId id) const { return samples_[id].value; }

    // The sample that has this value; Violation when there is none or it is of another agent.
    SampleId find(std::size_t agent, double value) const;

    // A batch that a reader of a collector's log was given, `again` when the whole log is read from
    // its beginning. Checks series, stamps and values, that nothing comes twice in one log, and in
    // two logs under the same number alone.
    void read_from_log(std::size_t collector, std::size_t agent, const collector::LogBatch& batch,
                       bool again);
    void must_have_been_read_again() const;

    // What the logs have, durable, under this number, by collector.
    using Copies = std::map<std::size_t, SampleIds>;
    const Copies& logged(std::size_t agent, std::uint64_t epoch, std::uint64_t sequence) const;

    Fate fate(SampleId id) const { return samples_[id].fate; }
    bool delivered(const SampleIds& ids) const;
    // A sample whose end is known stays delivered if it was.
    void set_fate(SampleId id, Fate fate);
    // A power cut undid the removal of a file, or an early count came before its deed.
    void came_back(SampleId id);

    std::size_t size() const { return samples_.size(); }
    std::size_t count(Fate fate) const { return counts_[static_cast<std::size_t>(fate)]; }
    // Counted as dropped or lost, but in the log all the same.
    std::size_t counted_but_delivered() const { return counted_but_delivered_; }
    std::size_t in_two_logs() const { return in_two_logs_; }
    std::string describe(SampleId id) const;

  private:
    struct Sample {
        std::size_t agent;
        std::uint32_t series;
        std::int64_t stamp_ms;
        double value;
        Fate fate = Fate::kept;
        unsigned in_logs = 0;  // a bit for each collector
        unsigned read_again = 0;
    };
    void move(Sample& sample, Fate to);

    std::vector<Sample> samples_;
    std::vector<std::string> series_;
    std::map<std::string, std::uint32_t, std::less<>> series_ids_;
    std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, Copies> logged_;
    std::array<std::size_t, kFates> counts_{};
    std::size_t counted_but_delivered_ = 0;
    std::size_t in_two_logs_ = 0;
};

}  // namespace ridgeline::sim
