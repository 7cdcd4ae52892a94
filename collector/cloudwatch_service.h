// All that the collector has to do with CloudWatch: what it writes there, what that costs and may
// cost, and AWS's own metrics that it reads into the log. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "collector/aws/credentials.h"
#include "collector/cloudwatch/log_input.h"
#include "collector/cloudwatch/metrics_source.h"
#include "collector/config.h"
#include "collector/cost/budget.h"
#include "collector/evaluation.h"
#include "collector/http/cost_api.h"
#include "collector/log/log.h"
#include "collector/sink/cloudwatch_sink.h"
#include "common/net/uv.h"

namespace ridgeline::collector {

class CloudWatchService {
  public:
    struct Peers {
        net::Loop& loop;
        HttpClient& http;
        CredentialsProvider& credentials;
        Log& log;
        Evaluation& evaluation;
        const Clock& clock;
        Rng jitter;  // in [0, 1), of retries
    };

    // `config` and `peers` must outlive it. `on_append` is called when the log has got more to
    // sync.
    CloudWatchService(const CollectorConfig& config, Peers peers, std::function<void()> on_append);

    // Of what the configuration switches on. An entry of [[aws_metrics]] that cannot be read is an
    // alert, no error.
    Result<void> open();
    void start_timers();
    // What the next start goes on with.
    void save();
    // The collector is going: sends what it can in a few seconds, then calls `done`.
    void finish(std::function<void()> done);

    // A sync of the log begins, and how it ended.
    void on_sync_begun();
    void on_sync_failed();
    void on_durable();

    CostModel cost();
    // nullptr: switched off.
    const CloudWatchSink* sink() const { return sink_.get(); }
    const AwsMetricsSource* metrics_source() const { return source_ ? &*source_ : nullptr; }

  private:
    Result<void> open_sink();
    Result<void> open_budget(const std::string& region);
    void report_budget();
    double aws_metrics_read() const;
    void open_aws_metrics();
    void read_aws_metrics();

    const CollectorConfig& config_;
    Peers peers_;
    std::function<void()> on_append_;
    std::optional<SeriesBudget> budget_;
    std::unique_ptr<CloudWatchSink> sink_;
    std::optional<AwsLogInput> log_input_;
    std::optional<AwsMetricsSource> source_;
    std::optional<net::Timer> sink_timer_, budget_timer_, source_timer_, finish_timer_;
};

}  // namespace ridgeline::collector
