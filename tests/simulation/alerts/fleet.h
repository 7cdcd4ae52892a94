// A fleet for the simulation of alerts: hosts whose series tell stories around the thresholds, and
// agents that sample, lose, hold back, repeat and mix up what they send.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/metric/sample_block.h"
#include "common/metric/series.h"

namespace ridgeline::sim {

class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    // Both ends included. Not std::uniform_int_distribution, which differs between libraries.
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low +
               static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
    }
    bool once_in(std::int64_t n) { return between(1, n) == 1; }

  private:
    std::mt19937_64 engine_;
};

// A value that dwells on one level after the other.
struct SeriesStory {
    std::string rule;  // that looks at it; empty: none does
    SeriesDescriptor series;
    std::vector<double> usual;   // it mostly has one of these
    std::vector<double> tricky;  // at, around and beyond the thresholds
    std::int64_t interval_ms = 10'000;
    // State:
    double value = 0;
    std::int64_t until_ms = 0;
};

struct SentBatch {
    std::uint64_t epoch = 1;
    std::uint64_t sequence = 0;
    std::int64_t made_ms = 0;
    bool backlog = false;  // made before the connection it is sent over
    SampleBlock block;
};

struct SimHost {
    std::string id;
    std::vector<SeriesStory> stories;
    Schema schema;  // a group for each story
    std::uint64_t epoch = 1;
    std::uint64_t sequence = 0;
    SampleBlock filling;
    std::deque<SentBatch> waiting;      // sampled, not sent
    std::vector<SentBatch> unacked;     // in the collector's log, maybe not for good
    std::vector<SentBatch> acked;       // the last few, for repetitions
    std::int64_t cut_off_until_ms = 0;  // the network is away
    std::int64_t connected_ms = 0;      // since then; 0: it is not
    std::int64_t frozen_until_ms = 0;   // samples nothing
};

SimHost make_host(std::size_t index, Chance& chance);
// What the host samples at this instant goes into host.filling.
void sample(SimHost& host, std::int64_t now_ms, Chance& chance);
// What was filled waits to be sent from now on.
void close_batch(SimHost& host, std::int64_t now_ms);

}  // namespace ridgeline::sim
