// Turns the log into CloudWatch metrics: a reader of the log with its own cursor.
//
// Two lanes. The live one follows the log's end and, once a period is over, makes of it one datum a
// series; they are sent at once. What could not be sent in time stays in the log, as a stretch of
// it; the backlog lane reads it again, oldest first, and sends it behind the live data at a bounded
// rate.
//
// Before a request goes, the cursor says which datums are in it. One whose answer is lost, by the
// network or by a crash, may have arrived: on_ambiguous decides what becomes of it, and read_back.h
// says how that is found out. CLOUDWATCH.md has all of this for users.
//
// The owner calls poll() about four times a second. Only poll() and the HTTP callbacks do work, in
// bounded slices; nothing blocks but the cursor's small writes. Loop thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

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

struct CloudWatchLimits {
    RequestLimits request;
    std::size_t requests_in_flight_max = 8;
    // PutMetricData's quota is 500 a second for the whole account and region.
    double requests_per_second_max = 50;
    double backlog_requests_per_second = 10;
    // While so many requests may or may not have arrived, no other is sent.
    std::size_t doubtful_max = 32;
    std::size_t samples_per_flush_max = 4'000'000;
    std::size_t datums_per_flush_max = 50'000;
    std::size_t datums_in_memory_max = 150'000;
    std::size_t jobs_max = 2'000;
    std::size_t samples_per_poll_max = 200'000;  // how long one poll() may take
    // At the start, a log that is further ahead than this is left to the backlog lane.
    std::uint64_t bytes_behind_max = std::uint64_t{4} << 20;
    // How long after a period's end it is flushed: an agent's batch interval and the way here.
    std::chrono::milliseconds flush_lag{15'000};
    // Periods shorter than this are sent several at a time: agents bring them so.
    std::chrono::milliseconds flush_interval_min{10'000};
    // How far ahead of ours a host's clock may be for its samples to be kept back like any other's.
    std::chrono::milliseconds clock_tolerance{5'000};
    std::chrono::milliseconds request_timeout{20'000};
    std::chrono::milliseconds backoff_first{500};     // transient
    std::chrono::milliseconds throttle_first{1'000};  // throttled
    std::chrono::milliseconds backoff_max{20'000};
    std::chrono::milliseconds denied_pause{60'000};
    std::chrono::milliseconds read_back_first{2'000};
    std::chrono::milliseconds read_back_later{30'000};
    // After reading back was refused, how long lost answers are not asked about.
    std::chrono::milliseconds read_back_denied_pause{600'000};
    // Requests refused for good that are searched for the datum at fault, in one stretch; beyond,
    // they are given up whole.
    std::size_t searches_max = 200;
    // MetricDatum$Timestamp in the API Reference.
    std::chrono::milliseconds oldest{std::chrono::hours{24 * 14}};
    std::chrono::milliseconds newest{std::chrono::hours{2}};
    MetricAdmission admit;  // null: every metric
};

// What became of requests whose answer was lost.
enum class LostAnswer {
    confirmed,   // read back: it had arrived
    sent_again,  // read back: it had not
    unverified,  // could not be read back, and was sent again: sums and counts may be double
    resent,      // on_ambiguous = "resend"
    dropped,     // on_ambiguous = "drop"
};
inline constexpr std::size_t kLostAnswerCount = 5;
std::string_view to_string(LostAnswer outcome);

struct CloudWatchStats {
    std::array<std::uint64_t, kAnswerClassCount> answers{};  // to PutMetricData, by AnswerClass
    std::uint64_t request_errors = 0;                        // no answer at all
    std::uint64_t credential_errors = 0;                     // requests put off for want of keys
    std::uint64_t datums_sent = 0;
    std::uint64_t samples_sent = 0;
    std::uint64_t backlog_datums_sent = 0;  // of datums_sent
    RefusalCounts samples_refused{};        // by Refusal
    std::array<std::uint64_t, kLostAnswerCount> lost_answers{};
    std::uint64_t samples_dropped = 0;  // with LostAnswer::dropped
    std::uint64_t read_backs = 0;       // GetMetricStatistics requests
    std::uint64_t read_back_errors = 0;
    std::uint64_t flushes = 0;
    // Stretches that came out of the log otherwise than before a restart, and were sent whole.
    std::uint64_t flushes_repeated = 0;
    std::uint64_t cursor_errors = 0;
    std::uint64_t log_errors = 0;
    std::uint64_t log_bytes_lost = 0;   // trimmed from the log before they were read
    std::uint64_t bytes_sent = 0;       // bodies, as sent
    std::uint64_t samples_pending = 0;  // in memory and not yet sent
    std::uint64_t backlog_bytes = 0;    // of the log, to be read and sent
    std::size_t stretches = 0;          // of the log that are not all sent
    std::size_t doubtful = 0;           // requests that may or may not have arrived
    std::size_t requests_in_flight = 0;
    WallTime flushed_until;                     // the live lane has sent every period before this
    std::chrono::milliseconds clock_offset{0};  // AWS's clock minus ours
    std::string last_error;                     // AWS's own words, or ours; stays after recovery
};

struct CloudWatchTarget {
    std::string endpoint;  // without a final '/'
    std::string region;
};

class CloudWatchSink {
  public:
    // Where the log is read, and how far it can be.
    struct LogAccess {
        LogOpener open;
        std::function<LogPosition()> durable;
    };

    // What `log`, `http`, `credentials` and `clock` refer to must outlive the sink.
    static Result<std::unique_ptr<CloudWatchSink>> open(
        CloudWatchConfig config, CloudWatchTarget target, std::filesystem::path cursor_file,
        LogAccess log, HttpClient& http, CredentialsProvider& credentials, const Clock& clock,
        Rng rng, CloudWatchLimits limits = {});
    ~CloudWatchSink();
    CloudWatchSink(const CloudWatchSink&) = delete;
    CloudWatchSink& operator=(const CloudWatchSink&) = delete;

    void poll();
    // The collector is going: what was read is sent now, whether its period is over or not.
    void finish();
    // After finish(): nothing more can be sent now.
    bool finished() const;
    const CloudWatchStats& stats() const;
    // The log before this position is no longer needed here.
    LogPosition needed_from() const;

  private:
    class Impl;
    explicit CloudWatchSink(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
