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
#include "collector/cloudwatch_control_service.h"
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
        const std::size_t& rule_mistakes;
    };

    // `config` and `peers` must outlive it. `on_append` is called when the log has got more to
    // sync, `on_opened` when sink() or metrics_source() has come to be.
    CloudWatchService(const CollectorConfig& config, Peers peers, std::function<void()> on_append,
                      std::function<void()> on_opened);

    // Of what the configuration switches on. Where the region can only be asked for from the
    // instance's metadata, it opens once they have answered. Whatever keeps it from AWS (no region,
    // an endpoint that does not exist) is an alert, no error, and the log keeps what was to be
    // written.
    Result<void> open();
    void start_timers();
    // What the next start goes on with.
    void save();
    // The collector is going: sends what it can in a few seconds, then calls `done`.
    void finish(std::function<void()> done);

    // The configuration has another budget, other prices or other [[aws_metrics]] than `before`.
    // On an error the old budget stays in force.
    Result<void> reload(const CollectorConfig& before);

    // A sync of the log begins, and how it ended.
    void on_sync_begun();
    void on_sync_failed();
    void on_durable();

    CostModel cost();
    CloudWatchControlService& control() { return control_; }
    // The region as far as it is known; empty: not yet.
    std::string region() const;
    // nullptr: switched off, or not open yet.
    const CloudWatchSink* sink() const { return sink_.get(); }
    const AwsMetricsSource* metrics_source() const { return source_ ? &*source_ : nullptr; }

  private:
    Result<void> open_parts();
    bool region_missing() const;
    void ask_for_region();
    Result<void> open_sink();
    void start_opened();
    void not_written(const std::string& why);
    Result<void> open_budget(const std::string& region);
    void reload_aws_metrics(const std::vector<AwsMetricsConfig>& before);
    void report_budget();
    // What is billed besides custom metrics, as far as it is known.
    void add_besides(CloudWatchUsage& usage) const;
    double aws_metrics_read() const;
    void open_aws_metrics();
    void read_aws_metrics();

    const CollectorConfig& config_;
    Peers peers_;
    std::function<void()> on_append_;
    std::function<void()> on_opened_;
    Environment environment_;  // with the region that the instance's metadata gave
    bool timers_run_ = false;
    bool metrics_wait_ = false;  // some [[aws_metrics]] are not read for want of a region
    std::string why_not_written_;
    std::shared_ptr<char> alive_ = std::make_shared<char>('\0');  // held weakly by what is asked
    CloudWatchControlService control_;
    std::optional<SeriesBudget> budget_;
    std::unique_ptr<CloudWatchSink> sink_;
    std::optional<AwsLogInput> log_input_;
    std::optional<AwsMetricsSource> source_;
    // What an earlier source has put into the log must be in the window before this one asks.
    LogPosition source_waits_for_ = 0;
    std::optional<net::Timer> sink_timer_, budget_timer_, source_timer_, region_timer_,
        finish_timer_;
};

}  // namespace ridgeline::collector
