#include "collector/cloudwatch_service.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "collector/aws/aws_config.h"
#include "collector/aws/endpoint.h"
#include "collector/cloudwatch/targets.h"
#include "collector/cost/survey.h"
#include "collector/sink/cursor.h"
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
constexpr auto kRegionPause = 5s;
constexpr const char* kBudget = "cloudwatch_budget";
constexpr const char* kAwsMetrics = "aws_metrics_failed";
constexpr const char* kNotWritten = "cloudwatch_failed";
constexpr const char* kCursorFile = "cloudwatch.cursor";

}  // namespace

CloudWatchService::CloudWatchService(const CollectorConfig& config, Peers peers,
                                     std::function<void()> on_append,
                                     std::function<void()> on_opened)
    : config_(config),
      peers_(std::move(peers)),
      on_append_(std::move(on_append)),
      on_opened_(std::move(on_opened)),
      environment_(aws_environment(config.aws, process_environment())),
      control_(config,
               {peers_.loop, peers_.http, peers_.credentials, peers_.evaluation, peers_.clock,
                peers_.jitter, peers_.rule_mistakes, [this] { return environment_; }}) {}

Result<void> CloudWatchService::open() {
    if (const auto loaded = control_.load(); !loaded) {
        log::warning("how many alarms and dashboards there are in CloudWatch is not known",
                     {{"error", loaded.error().context}});
    }
    if (config_.cloudwatch.enabled) {
        RL_ASSIGN_OR_RETURN(const Cursor cursor, load_cursor(config_.storage.path / kCursorFile));
        LogPosition needed = cursor.tail.read_from;
        for (const Work& work : cursor.work)
            needed = std::min(needed, work.stretch.read_from);
        peers_.log.hold("cloudwatch", needed);
    }
    if (!region_missing()) return open_parts();
    ask_for_region();
    return {};
}

std::string CloudWatchService::region() const {
    return resolve_region(config_.cloudwatch.region, environment_).value_or("");
}

// Somebody leaves the region to the environment, and the environment does not know it.
bool CloudWatchService::region_missing() const {
    const auto missing = [&](const std::string& configured) {
        const auto found = resolve_region(configured, environment_);
        return !found && found.error().code == Errc::not_found;
    };
    return (config_.cloudwatch.enabled && missing(config_.cloudwatch.region)) ||
           std::any_of(config_.aws_metrics.begin(), config_.aws_metrics.end(),
                       [&](const AwsMetricsConfig& entry) { return missing(entry.region); });
}

void CloudWatchService::ask_for_region() {
    find_region("auto", environment_, peers_.http,
                [this, alive = std::weak_ptr<char>(alive_)](const Result<std::string>& found) {
                    if (alive.expired()) return;
                    if (found) {
                        environment_.insert_or_assign("AWS_REGION", *found);
                        log::info("the region is the instance's", {{"region", *found}});
                        if (metrics_wait_) source_.reset();
                    }
                    if (const auto opened = open_parts(); !opened)
                        not_written(opened.error().context);
                    if (found || (!config_.cloudwatch.enabled && !metrics_wait_)) return;
                    if (!region_timer_)
                        region_timer_.emplace(peers_.loop, [this] { ask_for_region(); });
                    region_timer_->start(kRegionPause);
                });
}

// Opens what is not open yet.
Result<void> CloudWatchService::open_parts() {
    if (!source_) open_aws_metrics();
    if (!sink_) RL_TRY(open_sink());
    start_opened();
    on_opened_();
    return {};
}

void CloudWatchService::not_written(const std::string& why) {
    if (std::exchange(why_not_written_, why) == why) return;  // that was said before
    log::error("CloudWatch is not written", {{"error", why}});
    peers_.evaluation.raise(kNotWritten, "", Severity::p2, "CloudWatch is not written: " + why);
}

void CloudWatchService::start_timers() {
    timers_run_ = true;
    start_opened();
}

void CloudWatchService::start_opened() {
    if (!timers_run_) return;
    if (sink_ && !sink_timer_) {
        sink_timer_.emplace(peers_.loop, [this] {
            sink_->poll();
            peers_.log.hold("cloudwatch", sink_->needed_from());
        });
        sink_timer_->start(kSinkPoll, kSinkPoll);
    }
    if (!budget_timer_) {
        budget_timer_.emplace(peers_.loop, [this] { report_budget(); });
        budget_timer_->start(kBudgetLook, kBudgetLook);
    }
    if (!source_timer_) {
        source_timer_.emplace(peers_.loop, [this] { read_aws_metrics(); });
        source_timer_->start(kMetricsLook, kMetricsLook);
    }
}

void CloudWatchService::save() {
    report_budget();
}

Result<void> CloudWatchService::reload(const CollectorConfig& before) {
    if (config_.aws_metrics != before.aws_metrics) reload_aws_metrics(before.aws_metrics);
    if (!sink_) return {};
    report_budget();  // saves what it has admitted
    if (!config_.cloudwatch.budget_usd_per_month) {
        budget_.reset();
        peers_.evaluation.clear(kBudget, "");
        return {};
    }
    return open_budget(region());
}

// As after a restart: what the window holds was taken, the rest is asked for.
void CloudWatchService::reload_aws_metrics(const std::vector<AwsMetricsConfig>& before) {
    for (const AwsMetricsConfig& entry : before)
        peers_.evaluation.clear(kAwsMetrics, entry.name);
    source_.reset();
    log_input_.reset();
    source_waits_for_ = peers_.log.end_position();
    open_aws_metrics();
    log::info("AWS metrics reloaded", {{"entries", config_.aws_metrics.size()}});
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
    source_waits_for_ = std::min(source_waits_for_, peers_.log.end_position());
    if (source_) source_->on_sync_failed();
}

void CloudWatchService::on_durable() {
    if (source_) source_->on_durable();
}

Result<void> CloudWatchService::open_sink() {
    if (!config_.cloudwatch.enabled) return {};
    CloudWatchTarget target;
    const auto find_target = [&]() -> Result<void> {
        RL_ASSIGN_OR_RETURN(target.region, resolve_region(config_.cloudwatch.region, environment_));
        RL_ASSIGN_OR_RETURN(target.endpoint, cloudwatch_endpoint(config_.cloudwatch.endpoint_url,
                                                                 target.region, environment_));
        return {};
    };
    if (const auto found = find_target(); !found) {
        not_written(found.error().context);
        return {};
    }
    const CloudWatchSink::LogAccess log{
        [this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
            return peers_.log.open_reader(from);
        },
        [this] { return peers_.log.durable_position(); }};
    RL_TRY(open_budget(target.region));
    CloudWatchLimits limits;
    limits.admit = [this](const MetricIdentity& metric) {
        return !budget_ || budget_->admit(metric, peers_.clock.wall_now());
    };
    RL_ASSIGN_OR_RETURN(
        sink_,
        CloudWatchSink::open(config_.cloudwatch, target, config_.storage.path / kCursorFile, log,
                             peers_.http, peers_.credentials, peers_.clock, peers_.jitter, limits));
    peers_.log.hold("cloudwatch", sink_->needed_from());
    peers_.evaluation.clear(kNotWritten, "");
    log::info("writing to CloudWatch",
              {{"endpoint", target.endpoint}, {"namespace", config_.cloudwatch.space}});
    return {};
}

Result<void> CloudWatchService::open_budget(const std::string& region) {
    if (!config_.cloudwatch.budget_usd_per_month) return {};
    RL_ASSIGN_OR_RETURN(CloudWatchPrices prices, load_prices(config_.cloudwatch.prices, region));
    CloudWatchUsage besides;
    add_besides(besides);
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
    if (!budget_) return;
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

void CloudWatchService::add_besides(CloudWatchUsage& usage) const {
    usage.metrics_read = aws_metrics_read();
    const ControlPlan::Totals& held = control_.held();
    usage.alarm_metrics = static_cast<double>(held.alarms.standard);
    usage.alarm_metrics_high_resolution = static_cast<double>(held.alarms.high_resolution);
    usage.dashboards = static_cast<double>(held.dashboards);
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
    CostModel model{config_.cloudwatch, load_prices(config_.cloudwatch.prices, region()), {}, {}};
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
        add_besides(usage);
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
    std::vector<AwsMetricsTarget> targets;
    metrics_wait_ = false;
    for (const AwsMetricsConfig& entry : config_.aws_metrics) {
        auto found = resolve_aws_target(entry, environment_);
        if (!found) {
            log::error("AWS metrics are not read",
                       {{"entry", entry.name}, {"error", found.error().context}});
            peers_.evaluation.raise(kAwsMetrics, entry.name, Severity::p2,
                                    "the AWS metrics of \"" + entry.name +
                                        "\" cannot be read: " + found.error().context);
            metrics_wait_ = metrics_wait_ || found.error().code == Errc::not_found;
            continue;
        }
        peers_.evaluation.clear(kAwsMetrics, entry.name);
        targets.push_back(std::move(*found));
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
    if (!source_ || !peers_.evaluation.caught_up() ||
        peers_.evaluation.read_until() < source_waits_for_)
        return;
    source_->poll();
    for (const AwsMetricsTarget& target : source_->targets())
        peers_.evaluation.host_alive(target.config.host_id());
}

}  // namespace ridgeline::collector
