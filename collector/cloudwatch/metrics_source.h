// Reads AWS's own metrics into the log: every period, delay after its end, for each [[aws_metrics]]
// entry.
//
// A point is a sample stamped with the end of its period. Each is handed over once: what the
// window of series holds at the start is known, what is handed over since too. The last `reread`
// of time is asked for again with every round (a point costs nothing, a metric asked for does), so
// that data CloudWatch gets late come in late, not never. A point that CloudWatch changes after it
// was taken stays as it was and is counted. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/aws/credentials.h"
#include "collector/aws/http_client.h"
#include "collector/cloudwatch/metrics_config.h"
#include "collector/sink/error.h"
#include "collector/sink/pace.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/metric/sample_block.h"

namespace ridgeline::collector {

// Which regions an entry reads from.
struct AwsMetricsTarget {
    AwsMetricsConfig config;
    std::string region;
    std::string endpoint;
    std::string global_region;  // of queries that are global
    std::string global_endpoint;
};

struct AwsMetricsStats {
    std::array<std::uint64_t, kAnswerClassCount> answers{};  // by AnswerClass
    std::uint64_t request_errors = 0;                        // no answer, or not one to be used
    std::uint64_t metrics_asked = 0;                         // what AWS bills
    std::uint64_t samples = 0;
    std::uint64_t samples_late = 0;     // of those: not there when their period was first read
    std::uint64_t samples_revised = 0;  // changed by CloudWatch after they were taken; left so
    std::uint64_t zeros = 0;            // of samples: nothing was counted
    std::uint64_t metrics_forbidden = 0;
    std::uint64_t rounds = 0;
    WallTime read_until;           // every period that ends before was read
    std::size_t series = 0;        // that are asked for
    std::size_t series_empty = 0;  // that CloudWatch has had nothing of since the start
    std::string last_error;        // stays after recovery
    bool failing = false;
};

class AwsMetricsSource {
  public:
    struct Callbacks {
        // The samples of a round, on their way into the log. An error: they are asked for again.
        std::function<Result<void>(const AwsMetricsConfig&, const Schema&, const SampleBlock&)>
            append;
        // What the log holds of a series of the host in [from, to], stamps as in the log.
        std::function<void(const std::string& host, const SeriesDescriptor&, std::int64_t from_ms,
                           std::int64_t to_ms,
                           const std::function<void(std::int64_t, double)>& visit)>
            stored;
        // An entry fails, with what to do about it; empty: it works again.
        std::function<void(const std::string& entry, const std::string& why)> on_trouble;
    };

    // `http`, `credentials`, `clock` must outlive it.
    AwsMetricsSource(std::vector<AwsMetricsTarget> targets, HttpClient& http,
                     CredentialsProvider& credentials, const Clock& clock, const Rng& rng,
                     Callbacks callbacks);
    ~AwsMetricsSource();
    AwsMetricsSource(const AwsMetricsSource&) = delete;
    AwsMetricsSource& operator=(const AwsMetricsSource&) = delete;

    // To be called about once a second, not before the log that was there at the start was read.
    void poll();
    // What was appended and not yet durable is gone from the log: it is asked for again.
    void on_sync_failed();
    // All that was appended before the sync that just ended was begun is durable.
    void on_durable();
    void on_sync_begun();

    std::map<std::string, AwsMetricsStats> stats() const;  // by entry
    const std::vector<AwsMetricsTarget>& targets() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace ridgeline::collector
