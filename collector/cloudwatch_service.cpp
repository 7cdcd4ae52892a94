#include "collector/cloudwatch_service.h"

#include <cmath>
#include <utility>

#include "collector/aws/endpoint.h"
#include "collector/cost/survey.h"
#include "collector/sink/read_back.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr auto kSinkPoll = 250ms;
constexpr auto kFinishLook = 50ms;
constexpr auto kFinishPatience = 5s;
constexpr auto kBudgetLook = 10s;
constexpr auto kMetricsLook = 1s;
constexpr const char* kBudget = "cloudwatch_budget";
constexpr const char* kAwsMetrics = "aws_metrics_failed";

}  // namespace

CloudWatchService::CloudWatchService(const CollectorConfig& config, Peers peers,
                                     std::function<void()> on_append)
    : config_(config), peers_(std::move(peers)), on_append_(std::move(on_append)) {}

Result<void> CloudWatchService::open() {
    RL_TRY(open_sink());
    open_aws_metrics();
    return {};
}

void CloudWatchService::start_timers() {
    if (sink_) {
        sink_timer_.emplace(peers_.loop, [this] {
            sink_->poll();
            peers_.log.hold("cloudwatch", sink_->needed_from());
        });
        sink_timer_->start(kSinkPoll, kSinkPoll);
    }
    if (budget_) {
        budget_timer_.emplace(peers_.loop, [this] { report_budget(); });
        budget_timer_->start(kBudgetLook, kBudgetLook);
    }
    if (source_) {
        source_timer_.emplace(peers_.loop, [this] { read_aws_metrics(); });
        source_timer_->start(kMetricsLook, kMetricsLook);
    }
}

void CloudWatchService::save() {
    if (budget_) report_budget();
}

void CloudWatchService::finish(std::function<void()> done) {
    if (!sink_) return done();
    sink_->finish();
    const MonoTime deadline = peers_.clock.mono_now() + kFinishPatience;
    finish_timer_.emplace(peers_.loop, [this, deadline, done = std::move(done)] {
        sink_->poll();
        if (!sink_->finished() && peers_.clock.mono_now() < deadline) return;
        finish_timer_->stop();
        done();
    });
    finish_timer_->start(0ms, kFinishLook);
}

void CloudWatchService::on_sync_begun() {
    if (source_) source_->on_sync_begun();
}

void CloudWatchService::on_sync_failed() {
    if (source_) source_->on_sync_failed();
}

void CloudWatchService::on_durable() {
    if (source_) source_->on_durable();
}

Result<void> CloudWatchService::open_sink() {
    if (!config_.cloudwatch.enabled) return {};
    const Environment environment = process_environment();
    CloudWatchTarget target;
    RL_ASSIGN_OR_RETURN(target.region, resolve_region(config_.cloudwatch.region, environment));
    RL_ASSIGN_OR_RETURN(target.endpoint, cloudwatch_endpoint(config_.cloudwatch.endpoint_url,
                                                             target.region, environment));
    const CloudWatchSink::LogAccess log{
        [this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
            return peers_.log.open_reader(from);
        },
        [this] { return peers_.log.durable_position(); }};
    RL_TRY(open_budget(target.region));
    CloudWatchLimits limits;
    if (budget_) {
        limits.admit = [this](const MetricIdentity& metric) {
            return budget_->admit(metric, peers_.clock.wall_now());
        };
    }
    RL_ASSIGN_OR_RETURN(
        sink_, CloudWatchSink::open(config_.cloudwatch, target,
                                    config_.storage.path / "cloudwatch.cursor", log, peers_.http,
                                    peers_.credentials, peers_.clock, peers_.jitter, limits));
    peers_.log.hold("cloudwatch", sink_->needed_from());
    log::info("writing to CloudWatch",
              {{"endpoint", target.endpoint}, {"namespace", config_.cloudwatch.space}});
    return {};
}

Result<void> CloudWatchService::open_budget(const std::string& region) {
    if (!config_.cloudwatch.budget_usd_per_month) return {};
    RL_ASSIGN_OR_RETURN(CloudWatchPrices prices, load_prices(config_.cloudwatch.prices, region));
    CloudWatchUsage besides;
    besides.metrics_read = aws_metrics_read();
    const double other = make_bill(besides, prices).total();
    budget_.emplace(std::move(prices), *config_.cloudwatch.budget_usd_per_month, other);
    const auto file = config_.storage.path / "cloudwatch.budget";
    if (const auto loaded = budget_->load(file); !loaded) {
        log::error("which metrics the CloudWatch budget has admitted is not known; it begins anew",
                   {{"error", loaded.error().context}});
    }
    return {};
}

void CloudWatchService::report_budget() {
    if (const auto saved = budget_->save(config_.storage.path / "cloudwatch.budget"); !saved) {
        static log::RateLimit limit(6);
        limit.write(log::Level::warning, "which metrics the budget has admitted cannot be saved",
                    {{"error", saved.error().context}});
    }
    const std::size_t refused = budget_->refused(peers_.clock.wall_now());
    if (refused == 0) return peers_.evaluation.clear(kBudget, "");
    const auto dollars = [](double usd) {
        return std::to_string(static_cast<std::int64_t>(std::ceil(usd)));
    };
    peers_.evaluation.raise(kBudget, "", Severity::p3,
                            "CloudWatch's budget of " + dollars(budget_->usd_per_month()) +
                                " USD a month is used up; new metrics are not sent, " +
                                std::to_string(refused) + " so far, such as " + budget_->example());
}

double CloudWatchService::aws_metrics_read() const {
    double read = 0;
    for (const AwsMetricsConfig& entry : config_.aws_metrics) {
        read += static_cast<double>(entry.queries.size()) * kHoursPerMonth * 3'600'000 /
                static_cast<double>(entry.period.count());
    }
    return read;
}

CostModel CloudWatchService::cost() {
    const auto region = resolve_region(config_.cloudwatch.region, process_environment());
    CostModel model{
        config_.cloudwatch, load_prices(config_.cloudwatch.prices, region.value_or("")), {}, {}};
    if (budget_) {
        model.budget =
            BudgetView{budget_->usd_per_month(), budget_->estimate(), budget_->admitted(),
                       budget_->refused(peers_.clock.wall_now()), budget_->example()};
    }
    model.usage = [this](const CloudWatchConfig& config) {
        const auto& known = peers_.evaluation.engine().known_hosts();
        CloudWatchUsage usage = survey(
            peers_.evaluation.series(), config,
            [&](const std::string& id) {
                const KnownHost* host = known.find(id);
                return host == nullptr ? std::map<std::string, std::string>{} : host->record().tags;
            },
            peers_.clock.wall_now());
        usage.metrics_read = aws_metrics_read();
        if (config.on_ambiguous == OnAmbiguous::verify && usage.series > 0) {
            ++usage.series;  // the markers of requests
            usage.metric_months += 1;
            usage.by_metric[marker_metric("").name] += 1;
        }
        return usage;
    };
    return model;
}

// An entry that cannot be read is an alert, and keeps nothing else from running.
void CloudWatchService::open_aws_metrics() {
    if (config_.aws_metrics.empty()) return;
    const Environment environment = process_environment();
    std::vector<AwsMetricsTarget> targets;
    for (const AwsMetricsConfig& entry : config_.aws_metrics) {
        AwsMetricsTarget target{entry, {}, {}, {}, {}};
        const auto endpoints = [&]() -> Result<void> {
            RL_ASSIGN_OR_RETURN(target.region, resolve_region(entry.region, environment));
            RL_ASSIGN_OR_RETURN(target.endpoint, cloudwatch_endpoint(entry.endpoint_url,
                                                                     target.region, environment));
            // CloudFront's metrics are published there and nowhere else.
            target.global_region =
                partition_of(target.region) == "aws" ? "us-east-1" : target.region;
            RL_ASSIGN_OR_RETURN(
                target.global_endpoint,
                cloudwatch_endpoint(entry.endpoint_url, target.global_region, environment));
            return {};
        };
        if (const auto found = endpoints(); !found) {
            log::error("AWS metrics are not read",
                       {{"entry", entry.name}, {"error", found.error().context}});
            peers_.evaluation.raise(kAwsMetrics, entry.name, Severity::p2,
                                    "the AWS metrics of \"" + entry.name +
                                        "\" cannot be read: " + found.error().context);
            continue;
        }
        targets.push_back(std::move(target));
    }
    log_input_.emplace(peers_.log, peers_.clock);
    AwsMetricsSource::Callbacks callbacks;
    callbacks.append = [this](const auto& entry, const Schema& schema, const SampleBlock& block) {
        auto appended = log_input_->append(entry, schema, block);
        on_append_();
        return appended;
    };
    callbacks.stored = [this](const std::string& host, const SeriesDescriptor& series,
                              std::int64_t from_ms, std::int64_t to_ms, const auto& visit) {
        const SeriesStore& store = peers_.evaluation.series();
        for (const SeriesId id : store.find({host, series.metric, {}})) {
            if (store.descriptor_of(id) == series)
                store.window_of(id).for_each(from_ms, to_ms, visit);
        }
    };
    callbacks.on_trouble = [this](const std::string& entry, const std::string& why) {
        if (why.empty()) return peers_.evaluation.clear(kAwsMetrics, entry);
        peers_.evaluation.raise(kAwsMetrics, entry, Severity::p2,
                                "the AWS metrics of \"" + entry + "\" cannot be read: " + why);
    };
    source_.emplace(std::move(targets), peers_.http, peers_.credentials, peers_.clock,
                    peers_.jitter, std::move(callbacks));
}

// Pseudo-hosts live as long as the collector reads for them: that AWS does not answer is an alert
// of its own.
void CloudWatchService::read_aws_metrics() {
    if (!peers_.evaluation.caught_up()) return;
    source_->poll();
    for (const AwsMetricsTarget& target : source_->targets())
        peers_.evaluation.host_alive(target.config.host_id());
}

}  // namespace ridgeline::collector
