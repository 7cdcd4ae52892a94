// Turns the log into CloudWatch metrics: a reader of the log with its own cursor.
//
// Work goes in flushes. A flush reads the log from the cursor to its durable end, aggregates what
// belongs to finished periods into one datum per series and period, sends the datums in up to four
// requests at once, and saves which of them have arrived after each answer. After a crash the same
// flush is computed again and only what is not known to have arrived is sent. PutMetricData has no
// idempotency token, so a crash or a lost answer may repeat the requests in flight, no others.
//
// The owner calls poll() about four times a second. Only poll() and the HTTP callbacks do work, in
// bounded slices; nothing blocks but the cursor's small writes. Loop thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/log/log_reader.h"
#include "collector/sink/cloudwatch_config.h"
#include "collector/sink/error.h"
#include "collector/sink/flush_reader.h"
#include "collector/sink/pace.h"
#include "collector/sink/request.h"
#include "collector/sink/selection.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace ridgeline::collector {

// Opens the log at a position, or at its oldest record when that position is gone.
using LogOpener = std::function<Result<std::unique_ptr<LogReader>>(LogPosition)>;

struct CloudWatchLimits {
    RequestLimits request;
    std::size_t requests_in_flight_max = 4;
    std::size_t samples_per_flush_max = 4'000'000;
    std::size_t datums_per_flush_max = 50'000;
    std::size_t samples_per_poll_max = 200'000;  // how long one poll() may take
    // How long after a period's end it is flushed: an agent's batch interval and the way here.
    std::chrono::milliseconds flush_lag{15'000};
    // How far ahead of ours a host's clock may be for its samples to be kept back like any other's.
    std::chrono::milliseconds clock_tolerance{5'000};
    std::chrono::milliseconds request_timeout{20'000};
    std::chrono::milliseconds backoff_first{500};     // transient
    std::chrono::milliseconds throttle_first{1'000};  // throttled
    std::chrono::milliseconds backoff_max{20'000};
    std::chrono::milliseconds denied_pause{60'000};
    // Requests refused for good that are searched for the datum at fault, in one flush; beyond,
    // they are given up whole.
    std::size_t searches_per_flush_max = 200;
    // MetricDatum$Timestamp in the API Reference.
    std::chrono::milliseconds oldest{std::chrono::hours{24 * 14}};
    std::chrono::milliseconds newest{std::chrono::hours{2}};
    MetricAdmission admit;  // null: every metric
};

struct CloudWatchStats {
    std::array<std::uint64_t, kAnswerClassCount> answers{};  // by AnswerClass
    std::uint64_t request_errors = 0;                        // no answer at all
    std::uint64_t credential_errors = 0;                     // requests put off for want of keys
    std::uint64_t datums_sent = 0;
    std::uint64_t samples_sent = 0;
    std::array<std::uint64_t, kRefusalCount> samples_refused{};  // by Refusal
    std::uint64_t flushes = 0;
    std::uint64_t flushes_repeated = 0;  // begun before a restart, and not resumable in the middle
    std::uint64_t cursor_errors = 0;
    std::uint64_t log_errors = 0;
    std::uint64_t bytes_sent = 0;       // bodies, as sent
    std::uint64_t samples_pending = 0;  // read and not yet sent
    std::size_t requests_in_flight = 0;
    WallTime flushed_until;                     // every period before this one was sent
    std::chrono::milliseconds clock_offset{0};  // AWS's clock minus ours
    std::string last_error;                     // AWS's own words, or ours; stays after recovery
};

struct CloudWatchTarget {
    std::string endpoint;  // without a final '/'
    std::string region;
};

class CloudWatchSink {
  public:
    // `log`, `http`, `credentials` and `clock` must outlive the sink.
    static Result<std::unique_ptr<CloudWatchSink>> open(
        CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
        LogOpener log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock,
        Rng rng, CloudWatchLimits limits = {});
    ~CloudWatchSink();
    CloudWatchSink(const CloudWatchSink&) = delete;
    CloudWatchSink& operator=(const CloudWatchSink&) = delete;

    void poll();
    const CloudWatchStats& stats() const;
    // The log before this position is no longer needed here.
    LogPosition needed_from() const;

  private:
    class Impl;
    explicit CloudWatchSink(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
