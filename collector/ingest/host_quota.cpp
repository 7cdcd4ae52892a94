#include "collector/ingest/host_quota.h"

#include <algorithm>
#include <cmath>

namespace ridgeline::collector {

namespace {

constexpr double kRefusalCostsBurst = 0.1;  // ten in a row, then one in a tenth of the burst's time
// A debt is forgiven beyond this many bursts: a flood must end to be forgotten, but not years ago.
constexpr double kDebtMaxBursts = 4;

double seconds(std::chrono::milliseconds time) {
    return std::chrono::duration<double>(time).count();
}

TokenBucket bucket(std::uint64_t per_second, const QuotaLimits& limits, MonoTime now) {
    const auto rate = static_cast<double>(per_second);
    return {rate, rate * seconds(limits.burst), now};
}

}  // namespace

double TokenBucket::level(MonoTime now) {
    const double passed = std::chrono::duration<double>(now - at_).count();
    at_ = now;
    level_ = std::min(capacity_, level_ + std::max(passed, 0.0) * per_second_);
    return level_;
}

void TokenBucket::take(double amount, MonoTime now) {
    level_ = std::max(level(now) - amount, -kDebtMaxBursts * std::max(capacity_, amount));
}

double TokenBucket::take_up_to(double amount, MonoTime now) {
    const double taken = std::clamp(amount, 0.0, std::max(level(now), 0.0));
    level_ -= taken;
    return taken;
}

std::chrono::milliseconds TokenBucket::wait(MonoTime now) {
    const double have = level(now);
    if (have > 0) return {};
    const double wanted = std::min(per_second_, capacity_) - have;
    return std::chrono::milliseconds{
        static_cast<std::chrono::milliseconds::rep>(std::ceil(wanted / per_second_ * 1000))};
}

void TokenBucket::change(double per_second, double capacity, MonoTime now) {
    (void)level(now);
    // A host that had all it may have still does.
    level_ = level_ >= capacity_ ? capacity : std::min(level_, capacity);
    per_second_ = per_second;
    capacity_ = capacity;
}

HostQuota::HostQuota(const QuotaLimits& limits, MonoTime now)
    : limits_(limits),
      live_samples_(bucket(limits.samples_per_second, limits, now)),
      backlog_samples_(bucket(limits.backlog_samples_per_second, limits, now)),
      messages_(bucket(limits.messages_per_second, limits, now)),
      bytes_(bucket(limits.bytes_per_second, limits, now)) {}

void HostQuota::on_message(std::size_t bytes, MonoTime now) {
    messages_.take(1, now);
    bytes_.take(static_cast<double>(bytes), now);
}

bool HostQuota::flooding(const InFlightAllowance& allowance, MonoTime now) {
    return messages_.level(now) < -allowance.messages || bytes_.level(now) < -allowance.bytes;
}

HostQuota::Verdict HostQuota::judge(bool backlog, MonoTime now) {
    Verdict verdict{samples(backlog).wait(now), backlog ? "backlog samples" : "samples"};
    const auto consider = [&](TokenBucket& other, std::string_view name) {
        const auto wait = other.wait(now);
        if (wait > verdict.wait) verdict = {wait, name};
    };
    consider(messages_, "messages");
    consider(bytes_, "bytes");
    return verdict;
}

void HostQuota::on_samples(bool backlog, std::uint64_t count, MonoTime now) {
    samples(backlog).take(static_cast<double>(count), now);
}

void HostQuota::on_refused(bool backlog, MonoTime now) {
    const std::uint64_t rate =
        backlog ? limits_.backlog_samples_per_second : limits_.samples_per_second;
    samples(backlog).take(static_cast<double>(rate) * seconds(limits_.burst) * kRefusalCostsBurst,
                          now);
}

void HostQuota::change(const QuotaLimits& limits, MonoTime now) {
    const double burst = seconds(limits.burst);
    const auto apply = [&](TokenBucket& to, std::uint64_t per_second) {
        const auto rate = static_cast<double>(per_second);
        to.change(rate, rate * burst, now);
    };
    apply(live_samples_, limits.samples_per_second);
    apply(backlog_samples_, limits.backlog_samples_per_second);
    apply(messages_, limits.messages_per_second);
    apply(bytes_, limits.bytes_per_second);
    limits_ = limits;
}

}  // namespace ridgeline::collector
