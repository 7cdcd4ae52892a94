#include "collector/cloudwatch_control_service.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "collector/aws/endpoint.h"
#include "collector/cloudwatch/targets.h"
#include "common/base/crc32c.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 20ms;
constexpr std::string_view kHead = "ridgeline cloudwatch held 1\n";

}  // namespace

CloudWatchControlService::CloudWatchControlService(const CollectorConfig& config, Peers peers)
    : config_(config),
      peers_(std::move(peers)),
      control_(peers_.http, peers_.credentials, peers_.clock, peers_.jitter,
               [this](const ControlJob& job) { ended(job); }),
      timer_(peers_.loop, [this] { control_.poll(); }) {}

Result<void> CloudWatchControlService::load() {
    const auto file = config_.storage.path / "cloudwatch.held";
    const auto text = read_file(file, 4096);
    if (!text) {
        if (text.error().code == Errc::not_found) return {};
        return fail(text.error());
    }
    std::string_view rest = *text;
    const auto corrupt = [&] { return fail(Errc::corrupt, file.string() + ": not understood"); };
    if (!rest.starts_with(kHead)) return corrupt();
    rest.remove_prefix(kHead.size());
    const auto fields = split(trim(rest), ' ');
    if (fields.size() != 3) return corrupt();
    std::array<std::uint64_t, 3> numbers{};
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const auto number = to_u64(fields[i]);
        if (!number) return corrupt();
        numbers[i] = *number;
    }
    held_ = {{numbers[0], numbers[1]}, numbers[2]};
    return {};
}

void CloudWatchControlService::known_by(const std::string& public_key) {
    std::array<char, 16> text{};
    const int length = std::snprintf(text.data(), text.size(), "%08x",
                                     crc32c(std::as_bytes(std::span(public_key))));
    owner_ = {text.data(), static_cast<std::size_t>(std::max(length, 0))};
}

Result<std::uint64_t> CloudWatchControlService::start(bool destroys, bool dry_run,
                                                      const Actor& actor) {
    if (control_.running())
        return fail(Errc::unavailable, "another plan is being made or carried out; wait for it");
    // What is not known yet would seem not to be wanted.
    if (!peers_.evaluation.caught_up())
        return fail(Errc::unavailable, "the collector still reads its log; try again soon");
    if (!destroys && !dry_run && peers_.rule_mistakes > 0)
        return fail(
            Errc::unavailable,
            "rule files have mistakes (ridgeline-collector check), and alarms of rules that "
            "are not known would be deleted; mend them first");
    RL_ASSIGN_OR_RETURN(auto wanted, order(destroys, dry_run));
    actor_ = actor;
    RL_ASSIGN_OR_RETURN(const std::uint64_t id, control_.start(std::move(wanted)));
    if (control_.running()) timer_.start(kLook, kLook);
    return id;
}

Result<CloudWatchControl::Order> CloudWatchControlService::order(bool destroys,
                                                                 bool dry_run) const {
    const Environment environment = peers_.environment();
    const CloudWatchControlConfig& config = config_.cloudwatch_control;
    CloudWatchControl::Order order;
    order.destroys = destroys;
    order.dry_run = dry_run;
    ControlRegion main;
    RL_ASSIGN_OR_RETURN(main.region, resolve_region(config_.cloudwatch.region, environment));
    RL_ASSIGN_OR_RETURN(main.endpoint, cloudwatch_endpoint(config_.cloudwatch.endpoint_url,
                                                           main.region, environment));
    order.regions.push_back(main);
    const auto add_region = [&](const std::string& region, const std::string& endpoint) {
        const bool known = std::any_of(order.regions.begin(), order.regions.end(),
                                       [&](const ControlRegion& r) { return r.region == region; });
        if (!known) order.regions.push_back({region, endpoint});
    };
    std::vector<AwsMetricsTarget> targets;
    for (const AwsMetricsConfig& entry : config_.aws_metrics) {
        auto target = resolve_aws_target(entry, environment);
        if (!target) {
            order.wish.alarms.problems.push_back(
                {"aws_metrics " + entry.name, "", target.error().context});
            continue;
        }
        add_region(target->region, target->endpoint);
        if (std::any_of(entry.queries.begin(), entry.queries.end(),
                        [](const AwsMetricQuery& query) { return query.global; }))
            add_region(target->global_region, target->global_endpoint);
        targets.push_back(std::move(*target));
    }
    order.wish.owner = config.owner.empty() ? owner_ : config.owner;
    order.wish.alarm_prefix = config.alarms.prefix;
    order.wish.dashboard_prefix = config.dashboards.prefix;
    if (destroys) return order;
    const auto& engine = peers_.evaluation.engine();
    const SeriesStore& series = peers_.evaluation.series();
    auto problems = std::move(order.wish.alarms.problems);
    if (peers_.rule_mistakes > 0)
        problems.push_back({"rule files", "", "some are not used, for the mistakes in them"});
    order.wish.alarms =
        plan_alarms({engine.rules(), series, engine.known_hosts(), config_.cloudwatch, targets,
                     config.alarms, order.wish.owner, main.region});
    order.wish.alarms.problems.insert(order.wish.alarms.problems.begin(), problems.begin(),
                                      problems.end());
    order.wish.dashboards =
        make_dashboards({series, engine.known_hosts(), config_.cloudwatch, targets,
                         config.dashboards, order.wish.owner, main.region});
    return order;
}

void CloudWatchControlService::ended(const ControlJob& job) {
    timer_.stop();
    if (job.state == ControlJob::State::failed) {
        log::warning("CloudWatch's alarms and dashboards could not be looked at",
                     {{"error", job.error}});
        return;
    }
    held_ = job.plan.totals(ControlPlan::When::now);
    const std::string text = std::string(kHead) + std::to_string(held_.alarms.standard) + ' ' +
                             std::to_string(held_.alarms.high_resolution) + ' ' +
                             std::to_string(held_.dashboards) + '\n';
    if (const auto saved = write_file_atomic(config_.storage.path / "cloudwatch.held", text);
        !saved) {
        log::warning("how many alarms there are is not remembered over a restart",
                     {{"error", saved.error().context}});
    }
    if (!job.dry_run && tell_) tell_(actor_, job);
}

}  // namespace ridgeline::collector
