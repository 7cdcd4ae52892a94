// Which series may become custom metrics: those that are, for ever; new ones while the month's bill
// stays within the budget. What is refused is counted, never silent.
//
// Metrics that had data in this hour or the last one count as if they lasted the whole month, so
// that a budget is not overrun by what comes and goes. Pure but for save() and load(). Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>

#include "collector/cost/prices.h"
#include "collector/sink/datum.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

class SeriesBudget {
  public:
    // `other_usd`: what the month costs besides custom metrics.
    SeriesBudget(CloudWatchPrices prices, double usd_per_month, double other_usd)
        : prices_(std::move(prices)), usd_per_month_(usd_per_month), other_usd_(other_usd) {}

    // Whether the metric may be sent; to be asked for every metric with data, again and again.
    bool admit(const MetricIdentity& metric, WallTime now);

    double usd_per_month() const { return usd_per_month_; }
    // What the month costs with what is admitted.
    double estimate() const;
    std::size_t admitted() const { return admitted_.size(); }
    // Metrics that were refused in the last ten minutes, and one of them.
    std::size_t refused(WallTime now);
    const std::string& example() const { return example_; }

    // So that a restart admits the same ones. A missing file is an empty book.
    Result<void> load(const std::filesystem::path& file);
    // Nothing is written when nothing has changed.
    Result<void> save(const std::filesystem::path& file);

  private:
    // A host that is away for two weeks comes back to its metrics.
    static constexpr std::int64_t kRememberedHours = 15 * 24;
    static constexpr std::size_t kRefusedMax = 100'000;
    void turn_hour(std::int64_t hour);

    CloudWatchPrices prices_;
    double usd_per_month_;
    double other_usd_;
    std::unordered_map<std::uint64_t, std::int64_t> admitted_;  // hash -> last hour with data
    std::size_t active_ = 0;                                    // in this hour or the last one
    std::int64_t hour_ = 0;
    std::unordered_map<std::uint64_t, std::int64_t> refused_;  // hash -> when (ms)
    std::string example_;
    bool changed_ = false;
};

}  // namespace ridgeline::collector
