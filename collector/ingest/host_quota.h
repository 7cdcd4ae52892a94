// What one host may send in a time: a token bucket for each thing that costs the collector.
//
// A bucket that is not empty admits the next batch whole, however large, and pays for it by going
// below nothing: every batch gets in sooner or later, and over time no more than the agreed rate.
// Live data and backlog have buckets of their own, so a host that comes back after hours brings its
// past at the backlog's rate and its present at once. Pure: time is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "common/base/clock.h"

namespace ridgeline::collector {

class TokenBucket {
  public:
    // Begins full.
    TokenBucket(double per_second, double capacity, MonoTime now)
        : per_second_(per_second), capacity_(capacity), level_(capacity), at_(now) {}

    // What there is now; below zero: a debt.
    double level(MonoTime now);
    void take(double amount, MonoTime now);
    // As much of `amount` as there is.
    double take_up_to(double amount, MonoTime now);
    // How long until there is something, and a second's worth of it, so that whoever comes back
    // then gets more than one message in. Zero when there is something now.
    std::chrono::milliseconds wait(MonoTime now);
    // Keeps what there is, up to the new capacity.
    void change(double per_second, double capacity, MonoTime now);

  private:
    double per_second_;
    double capacity_;
    double level_;
    MonoTime at_;
};

struct QuotaLimits {
    // A host with as many series as it may have, each once a second.
    std::uint64_t samples_per_second = 20'000;
    std::uint64_t backlog_samples_per_second = 50'000;
    std::uint64_t messages_per_second = 200;
    std::uint64_t bytes_per_second = 1U << 20;
    // A host that was quiet for so long, or has just appeared, may send what it could have sent.
    std::chrono::milliseconds burst = std::chrono::seconds{60};
};

// What a peer that heeds "later" and its credit may still have under way when it is told.
struct InFlightAllowance {
    double messages = 0;
    double bytes = 0;
};

class HostQuota {
  public:
    HostQuota(const QuotaLimits& limits, MonoTime now);

    struct Verdict {
        std::chrono::milliseconds wait{0};  // zero: to be taken
        std::string_view over;              // what there is too much of
    };

    void on_message(std::size_t bytes, MonoTime now);
    // It goes on although it was told to wait, so long that no honest agent would.
    bool flooding(const InFlightAllowance& allowance, MonoTime now);
    Verdict judge(bool backlog, MonoTime now);
    void on_samples(bool backlog, std::uint64_t samples, MonoTime now);
    // A batch that cost work and was refused: a few are an accident, many are an attack, so each
    // costs what the host may send in some seconds.
    void on_refused(bool backlog, MonoTime now);
    void change(const QuotaLimits& limits, MonoTime now);

  private:
    TokenBucket& samples(bool backlog) { return backlog ? backlog_samples_ : live_samples_; }

    QuotaLimits limits_;
    TokenBucket live_samples_;
    TokenBucket backlog_samples_;
    TokenBucket messages_;
    TokenBucket bytes_;
};

}  // namespace ridgeline::collector
