// Who has no business at the collector's port, in three equal parts: CURVE clients whose keys are
// not enrolled, talkers of random bytes, and half-open connections that say a ZeroMQ greeting and
// then nothing. Each begins anew a while after it was turned away.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "agent/pipeline/collector_socket.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::bench {

struct StrangersShared {
    net::Loop* loop = nullptr;
    net::ZmqContext* context = nullptr;
    std::string host;  // dotted quad
    std::uint16_t port = 0;
    std::string server_public_z85;
    std::chrono::milliseconds pause{1000};
    // Attempts that came to their end, by kind.
    std::uint64_t unknown_keys = 0;
    std::uint64_t garbage = 0;
    std::uint64_t half_open = 0;
    // Could not even be begun.
    std::uint64_t failed = 0;
};

class Stranger {
  public:
    explicit Stranger(StrangersShared& shared, std::uint32_t seed);
    virtual ~Stranger() = default;
    void begin_in(std::chrono::milliseconds delay) { timer_.start(delay); }

  protected:
    virtual void begin() = 0;
    void again();

    StrangersShared* shared_;
    std::mt19937 rng_;

  private:
    net::Timer timer_;
};

// `kind` counts them: they take turns.
std::unique_ptr<Stranger> make_stranger(StrangersShared& shared, std::uint32_t kind);

}  // namespace ridgeline::bench
