// When to ask for the host's facts, and what is known of them meanwhile. Pure but for the cache
// file.
//
// The last good answer is kept in a file, so that a restart while the metadata service is away
// keeps id and tags. It is bound to this machine: an image made of it, or a clone, does not inherit
// them.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <random>
#include <string>

#include "agent/facts/imds.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::agent {

inline constexpr std::chrono::seconds kFactsRetryMin{5};
inline constexpr std::chrono::seconds kFactsRetryMax{300};
inline constexpr std::chrono::seconds kFactsRefresh{300};  // tags change; instances do not

class FactsBook {
  public:
    // `machine`: what the cache is bound to. `cache` may be empty: nothing is kept.
    FactsBook(std::filesystem::path cache, std::string machine, const Clock& clock,
              std::uint64_t seed);

    const Facts& facts() const { return facts_; }
    const std::string& error() const { return error_; }  // of the last question
    bool due() const { return clock_->mono_now() >= next_; }
    // True when the facts changed.
    bool take(const Result<Facts>& answer);

  private:
    void load();
    void save() const;

    std::filesystem::path cache_;
    std::string machine_;
    const Clock* clock_;
    std::mt19937_64 random_;
    Facts facts_;
    std::string error_;
    MonoTime next_{};
    std::chrono::milliseconds retry_ = kFactsRetryMin;
};

}  // namespace ridgeline::agent
