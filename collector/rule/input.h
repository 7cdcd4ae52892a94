// What a condition decides on: the samples of a rule's metric and of its companions, reduced,
// divided, extrapolated and compared with the second condition.
//
// Samples of all of them come in the order of their times; at the same time the companions' first.
// Pure values; no clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "collector/rule/forecast.h"
#include "collector/rule/rule.h"
#include "collector/rule/signal.h"

namespace ridgeline::collector {

class Input {
  public:
    explicit Input(const Rule& rule);

    // What one sample of the rule's metric amounts to.
    struct Reading {
        std::int64_t time_ms = 0;
        Rhythm::Gap gap;
        std::optional<double> value;  // nullopt: nothing to compare
        // The second condition: holds, is past its own dead band, or is not known (both false).
        // Without one, it holds.
        bool also = true;
        bool also_clear = false;
        std::optional<Eta> eta;
    };
    Reading on_sample(const Rule& rule, std::int64_t time_ms, double value);
    void on_companion(const Rule& rule, std::size_t companion, std::int64_t time_ms, double value);

    // Zero before the second sample.
    std::int64_t interval_ms() const { return signal_.rhythm().interval_ms().value_or(0); }

  private:
    std::optional<double> companion_value(const Rule& rule, Companion::Role role,
                                          std::int64_t time_ms) const;

    Signal signal_;
    std::vector<Signal> companions_;
    std::unique_ptr<Forecast> forecast_;  // null without one
    std::optional<std::int64_t> boot_ms_;
};

}  // namespace ridgeline::collector
