// Which alerts a fleet's data must raise, and when: the semantics of the rules once more, written
// as plainly as possible and from their description alone, sharing no code with the product.
//
// It keeps every sample and judges each by looking back from it, where the product goes forward
// with running state. For streams whose declared interval is known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ridgeline::sim {

struct OracleLevel {
    double at;
    std::int64_t for_ms;
    int severity;
};

// A rule on one stream of samples.
struct OracleRule {
    std::string id;
    bool above = true;                // fires above its levels; else below
    bool inclusive = false;           // at a level, too
    std::int64_t window_ms = 0;       // 0: each sample by itself; else the mean of the window
    std::vector<OracleLevel> levels;  // the mildest first
    // Clear of the mildest level is what is beyond this, not at it; of the others, what is as far
    // from them. nullopt: what is not beyond the level.
    std::optional<double> clear;
    std::int64_t clear_for_ms = 60'000;
    bool may_lower = true;  // else the severity only rises
};

struct OracleEvent {
    std::string what;  // "FIRING", "RAISED", "LOWERED", "RESOLVED", "EPISODE"
    std::int64_t time_ms = 0;
    int severity = 4;
};

class OracleStream {
  public:
    OracleStream(const OracleRule& rule, std::int64_t interval_ms)
        : rule_(&rule), max_gap_ms_(std::max<std::int64_t>(40'000, interval_ms * 5 / 2)) {}

    // What came together, in any order. What is known already under the same time stays as it was.
    void receive(const std::vector<std::pair<std::int64_t, double>>& samples,
                 std::int64_t received_ms, std::vector<OracleEvent>& out);

  private:
    using Samples = std::map<std::int64_t, double>;
    std::optional<double> judged(Samples::const_iterator at) const;
    bool breaches(double value, std::size_t level) const;
    bool clear_of(double value, std::size_t level) const;
    template <class Holds>
    std::optional<std::int64_t> run_length(Samples::const_iterator newest, std::int64_t enough_ms,
                                           const Holds& holds) const;
    void judge(Samples::const_iterator newest, std::int64_t received_ms,
               std::vector<OracleEvent>& out);
    std::int64_t looks_back_ms() const;

    const OracleRule* rule_;
    std::int64_t max_gap_ms_;
    Samples samples_;
    std::optional<std::size_t> firing_;  // at which level
    bool told_ = false;
};

}  // namespace ridgeline::sim
