#include "collector/cloudwatch/alarm_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>

#include "collector/cloudwatch/alarm.h"
#include "collector/cloudwatch/alarm_form.h"
#include "collector/rule/cloudwatch_fit.h"
#include "collector/sink/selection.h"
#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::size_t kNameMax = 255;
constexpr std::size_t kDescriptionMax = 1024;
// A series that ended so long before another of the same identity has been replaced by it
// (certificates are looked at by the hour).
constexpr std::int64_t kReplacedMs = 2 * 3'600'000;
std::string short_hash(std::string_view text) {
    std::array<char, 16> out{};
    const int length =
        std::snprintf(out.data(), out.size(), "%08x", crc32c(std::as_bytes(std::span(text))));
    return {out.data(), static_cast<std::size_t>(std::max(length, 0))};
}

std::int64_t seconds(std::chrono::milliseconds duration) {
    return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return glob_match(pattern, name); });
}

bool is_aws(std::string_view metric) {
    return metric.starts_with("aws.");
}

class Planner {
  public:
    explicit Planner(const AlarmSources& sources) : from_(sources), selection_(sources.writer) {}

    WantedAlarms plan() {
        for (const Rule& rule : from_.rules) {
            if (rule.cloudwatch_alarm.empty()) continue;
            rule_ = &rule;
            made_ = 0;
            unwritten_ = 0;
            if (rule.heartbeat) {
                plan_heartbeat();
            } else if (is_aws(rule.metric->name)) {
                plan_aws();
            } else {
                plan_series();
            }
            if (unwritten_ > 0) {
                problem("of " + std::to_string(unwritten_) +
                        " series CloudWatch gets no metric of its own (naming, only a roll-up, "
                        "or a dimension it would refuse), such as " +
                        unwritten_example_);
            }
            if (made_ == 0 && !troubled_.contains(rule.id))
                problem("nothing that it looks at is known yet; make the plan again later");
        }
        name_apart();
        drop_beyond_limits();
        return std::move(out_);
    }

  private:
    // What the rule selects: a series as CloudWatch knows it.
    struct Subject {
        HostInfo host;
        SeriesDescriptor series;
        CloudMetric metric;
        std::optional<CloudMetric> divisor;
    };

    void problem(const std::string& why) {
        troubled_.insert(rule_->id);
        PlanProblem made{rule_->id, rule_->cloudwatch_alarm, why};
        if (std::find(out_.problems.begin(), out_.problems.end(), made) == out_.problems.end())
            out_.problems.push_back(std::move(made));
    }

    HostInfo host_info(const std::string& id) const {
        if (const KnownHost* known = from_.hosts.find(id)) return known->info();
        HostInfo info;
        info.host_id = id;
        return info;
    }

    std::optional<CloudMetric> written(const HostInfo& host, const SeriesDescriptor& series) const {
        const Selected selected = selection_.select(host, series);
        const SelectedMetric* metric = own_metric(selected);
        if (metric == nullptr) return {};
        CloudMetric out;
        out.region = from_.region;
        out.space = from_.writer.space;
        out.name = metric->identity.name;
        out.dimensions = metric->identity.dimensions;
        out.factor = metric->scale;
        out.period_s = std::max<std::int64_t>(1, seconds(metric->period));
        return out;
    }

    void plan_series() {
        if (const std::string why = not_written(from_.writer, rule_->metric->name); !why.empty())
            return problem(why);
        const Companion* divisor = divisor_of(*rule_);
        if (divisor != nullptr) {
            if (const std::string why = not_written(from_.writer, divisor->metric->name);
                !why.empty())
                return problem("divide_by: " + why);
        }
        std::map<std::string, std::vector<SeriesId>> by_host;
        for (const SeriesId id : from_.series.find({"", std::string(rule_->metric->name), {}}))
            by_host[from_.series.host_of(id)].push_back(id);
        for (const auto& [id, known] : from_.hosts.all())
            if (!by_host.contains(id) && rule_->selects_host(known.info()))
                out_.away.emplace(rule_->id, id);
        for (auto& [host_id, ids] : by_host) {
            const HostInfo host = host_info(host_id);
            std::erase_if(ids, [&](SeriesId id) {
                return !rule_->selects(host, from_.series.descriptor_of(id));
            });
            for (const SeriesId id : present(ids))
                plan_one_series(host, from_.series.descriptor_of(id), divisor);
        }
    }

    // Without those that another of their identity has replaced.
    std::vector<SeriesId> present(std::vector<SeriesId>& ids) const {
        std::map<std::string, std::int64_t> newest_ms;
        const auto identity = [&](SeriesId id) {
            return to_string(
                SeriesDescriptor{"", rule_->identity_of(from_.series.descriptor_of(id))});
        };
        for (const SeriesId id : ids) {
            auto& newest = newest_ms.try_emplace(identity(id), INT64_MIN).first->second;
            newest = std::max(newest, from_.series.window_of(id).latest_ms());
        }
        std::erase_if(ids, [&](SeriesId id) {
            return from_.series.window_of(id).latest_ms() < newest_ms[identity(id)] - kReplacedMs;
        });
        std::sort(ids.begin(), ids.end(), [&](SeriesId a, SeriesId b) {
            return from_.series.descriptor_of(a) < from_.series.descriptor_of(b);
        });
        return ids;
    }

    void plan_one_series(const HostInfo& host, const SeriesDescriptor& series,
                         const Companion* divisor) {
        auto metric = written(host, series);
        if (!metric) {
            if (unwritten_++ == 0) unwritten_example_ = to_string(series) + " on " + host.host_id;
            return;
        }
        Subject subject{host, series, std::move(*metric), {}};
        if (divisor != nullptr) {
            for (const SeriesId id :
                 from_.series.find({host.host_id, std::string(divisor->metric->name), {}})) {
                const SeriesDescriptor& other = from_.series.descriptor_of(id);
                if (from_.series.host_of(id) == host.host_id && divisor->selects(other) &&
                    divisor->join_key(other) == divisor->join_key(series))
                    subject.divisor = written(host, other);
            }
            if (!subject.divisor)
                return problem("nothing to divide " + to_string(series) + " on " + host.host_id +
                               " by is written to CloudWatch");
        }
        plan_levels(subject);
    }

    static CloudMetric aws_metric(const AwsMetricsTarget& target, const AwsMetricQuery& query) {
        CloudMetric out;
        out.region = query.global ? target.global_region : target.region;
        out.space = query.space;
        out.name = query.metric;
        out.dimensions = query.dimensions;
        out.factor = 1 / query.scale;
        out.period_s = seconds(target.config.period);
        out.published_stat = query.stat;
        out.sparse = query.zero_beside.has_value();
        return out;
    }

    // AWS's own metrics are known from the configuration.
    void plan_aws() {
        const Companion* divisor = divisor_of(*rule_);
        for (const AwsMetricsTarget& target : from_.aws) {
            HostInfo host;
            host.host_id = target.config.host_id();
            host.tags = target.config.tags;
            for (const AwsMetricQuery& query : target.config.queries) {
                if (!rule_->selects(host, query.series)) continue;
                Subject subject{host, query.series, aws_metric(target, query), {}};
                for (const AwsMetricQuery& other : target.config.queries) {
                    if (divisor != nullptr && divisor->selects(other.series) &&
                        divisor->join_key(other.series) == divisor->join_key(query.series))
                        subject.divisor = aws_metric(target, other);
                }
                if (divisor != nullptr && !subject.divisor) {
                    problem("nothing to divide " + to_string(query.series) + " by is read");
                    continue;
                }
                plan_levels(subject);
            }
        }
    }

    void plan_levels(const Subject& subject) {
        const Attributes identity = rule_->identity_of(subject.series);
        const Rule merged = with_overrides(*rule_, overrides_for(*rule_, subject.host, identity));
        ++made_;  // or switched off: known all the same
        if (!merged.enabled) return;
        if (const auto misfit = cloudwatch_misfit(merged))
            return problem(misfit->key + " on " + subject.host.host_id + ": " + misfit->why);
        for (std::size_t i = 0; i < merged.levels.size(); ++i) {
            if (from_.config.gravest_only && i + 1 < merged.levels.size()) continue;
            plan_level(subject, merged, merged.levels[i], identity);
        }
    }

    void plan_level(const Subject& subject, const Rule& rule, const Level& level,
                    const Attributes& identity) {
        auto form =
            alarm_form(rule, level, subject.metric, subject.divisor ? &*subject.divisor : nullptr);
        if (!form) return problem(form.error().context);
        json input = frame(subject.metric.region, rule, level.severity);
        put_name(input, subject.host.host_id, level.severity, identity);
        input.update(*form);
        const Agg agg = rule.reduction.agg;
        const std::string held = level.slots ? " in " + std::to_string(level.slots->m) + " of " +
                                                   std::to_string(level.slots->n) + " slots of " +
                                                   format_duration(rule.slot)
                                 : level.sustained.count() > 0
                                     ? " for " + format_duration(level.sustained)
                                     : "";
        describe(input, rule, subject.host.host_id,
                 rule.id + ' ' + std::string(to_string(level.severity)) + ": " +
                     std::string(agg == Agg::last ? "" : std::string(to_string(agg)) + " of ") +
                     to_string(subject.series) +
                     (subject.divisor ? " by " + std::string(divisor_of(rule)->metric->name) : "") +
                     " on " + subject.host.host_id + ' ' + std::string(to_string(rule.op)) + ' ' +
                     format_quantity(level.at, rule.unit) + held);
        add(subject.metric.region, subject.host.host_id, std::move(input));
    }

    // What comes every period from every host that is written at all.
    std::optional<CloudMetric> pulse(const HostInfo& host) const {
        static constexpr std::array<std::string_view, 3> kFirst = {
            "system.cpu.utilization", "system.memory.utilization", "system.uptime"};
        std::map<std::pair<std::size_t, SeriesDescriptor>, CloudMetric> found;
        for (const SeriesId id : from_.series.find({host.host_id, "", {}})) {
            const SeriesDescriptor& series = from_.series.descriptor_of(id);
            if (from_.series.host_of(id) != host.host_id || series.metric.starts_with("tls."))
                continue;
            const auto rank = static_cast<std::size_t>(
                std::find(kFirst.begin(), kFirst.end(), series.metric) - kFirst.begin());
            if (auto metric = written(host, series))
                found.emplace(std::pair{rank, series}, std::move(*metric));
        }
        if (found.empty()) return {};
        return found.begin()->second;
    }

    void plan_heartbeat() {
        if (!from_.writer.enabled) return problem("[cloudwatch] is not enabled");
        if (std::find(from_.writer.dimensions.begin(), from_.writer.dimensions.end(), "host") ==
            from_.writer.dimensions.end())
            return problem(
                "a host's own metrics are not written: [cloudwatch] dimensions lacks \"host\"");
        std::map<std::string, const KnownHost*> hosts;
        for (const auto& [id, known] : from_.hosts.all())
            if (!id.starts_with(AwsMetricsConfig::kHostPrefix)) hosts.emplace(id, &known);
        for (const auto& [id, known] : hosts) {
            const HostInfo& host = known->info();
            if (!rule_->selects_host(host)) continue;
            if (from_.series.series_count(id) == 0) {
                out_.away.emplace(rule_->id, id);
                continue;
            }
            const Rule merged = with_overrides(*rule_, overrides_for(*rule_, host, {}));
            ++made_;
            if (!merged.enabled) continue;
            const auto metric = pulse(host);
            if (!metric) {
                problem("nothing that comes all the time is written to CloudWatch of " + id);
                continue;
            }
            plan_silence(host, merged, *metric);
        }
    }

    void plan_silence(const HostInfo& host, const Rule& rule, const CloudMetric& metric) {
        const Level& level = rule.levels.front();
        json input = frame(metric.region, rule, level.severity);
        put_name(input, host.host_id, level.severity, {});
        input.update(silence_form(level.at, metric));
        const auto span_s =
            input["Period"].get<std::int64_t>() * input["EvaluationPeriods"].get<std::int64_t>();
        describe(input, rule, host.host_id,
                 rule.id + ' ' + std::string(to_string(level.severity)) + ": " + host.host_id +
                     " not heard of for " + format_duration(std::chrono::seconds(span_s)));
        add(metric.region, host.host_id, std::move(input));
    }

    json frame(const std::string& region, const Rule& rule, Severity severity) {
        json actions = json::array();
        const auto found = from_.config.actions.find(severity);
        if (found != from_.config.actions.end()) {
            for (const std::string& arn : found->second) {
                const std::string_view where = split(arn, ':')[3];
                if (where.empty() || where == region) {
                    actions.push_back(arn);
                } else if (other_regions_.insert({region, arn}).second) {
                    out_.problems.push_back({rule.id, rule.cloudwatch_alarm,
                                             "its alarms in " + region + " cannot use " + arn +
                                                 ", which is in another region; name one of " +
                                                 region + " too"});
                }
            }
        }
        json input = {{"ActionsEnabled", true}};
        if (!actions.empty()) input["AlarmActions"] = actions;
        if (!actions.empty() && from_.config.ok_actions) input["OKActions"] = actions;
        return input;
    }

    void put_name(json& input, const std::string& host, Severity severity,
                  const Attributes& identity) const {
        std::string name = from_.config.prefix + '/' + rule_->id + '/' + host;
        for (const Attribute& attribute : identity)
            name += '/' + attribute.key + '=' + attribute.value;
        input["AlarmName"] = printable(name + '/' + std::string(to_string(severity)), 100'000);
    }

    void describe(json& input, const Rule& rule, const std::string& host, std::string text) const {
        const std::string mark = ' ' + mark_text({from_.owner, rule_->id, host});
        if (!rule.runbook.empty()) text += ". Runbook: " + rule.runbook;
        const std::size_t room = kDescriptionMax - std::min(mark.size(), kDescriptionMax);
        input["AlarmDescription"] = printable(text, room) + mark;
    }

    void add(const std::string& region, const std::string& host, json input) {
        if (out_.alarms.size() == kAlarmsMax)
            return problem("more than " + std::to_string(kAlarmsMax) +
                           " alarms; the rest is not made");
        out_.alarms.push_back({region, rule_->id, host, std::move(input)});
    }

    // Long names are cut, and what makes alarms of one name different is told by a hash.
    void name_apart() {
        std::map<std::pair<std::string, std::string>, std::size_t> uses;
        for (const WantedAlarm& alarm : out_.alarms)
            ++uses[{alarm.region, alarm.input["AlarmName"].get<std::string>()}];
        for (WantedAlarm& alarm : out_.alarms) {
            const std::string name = alarm.input["AlarmName"].get<std::string>();
            const bool shared = uses[{alarm.region, name}] > 1;
            if (!shared && name.size() <= kNameMax) continue;
            json what = alarm.input;
            if (!shared) what = name;
            const std::string hash =
                '#' + short_hash(what.dump(-1, ' ', false, json::error_handler_t::replace));
            alarm.input["AlarmName"] = printable(name, kNameMax - hash.size()) + hash;
        }
    }

    void drop_beyond_limits() {
        std::erase_if(out_.alarms, [&](const WantedAlarm& alarm) {
            const std::string why = beyond_limits(alarm.input);
            if (why.empty()) return false;
            out_.problems.push_back(
                {alarm.rule, "", alarm.input["AlarmName"].get<std::string>() + ": " + why});
            return true;
        });
    }

    const AlarmSources& from_;
    Selection selection_;
    const Rule* rule_ = nullptr;
    std::size_t made_ = 0;       // of this rule
    std::size_t unwritten_ = 0;  // of its series
    std::string unwritten_example_;
    WantedAlarms out_;
    std::set<std::string> troubled_;
    std::set<std::pair<std::string, std::string>> other_regions_;
};

}  // namespace

std::string not_written(const CloudWatchConfig& config, std::string_view metric) {
    if (is_aws(metric)) return "";
    if (!config.enabled) return "[cloudwatch] is not enabled, so nothing is written there";
    const std::string name = printable(metric, 200);
    if (!any_matches(config.include, metric))
        return name + " is not written to CloudWatch; add it to include of [cloudwatch]";
    if (any_matches(config.exclude, metric))
        return name + " is not written to CloudWatch; exclude of [cloudwatch] leaves it out";
    const MetricInfo* info = find_metric(metric);
    if (config.naming == CloudWatchNaming::cwagent &&
        (info == nullptr || info->cwagent_name.empty() || info->kind == MetricKind::counter))
        return name + " is not written to CloudWatch; amazon-cloudwatch-agent has no name for it";
    return "";
}

WantedAlarms plan_alarms(const AlarmSources& sources) {
    return Planner(sources).plan();
}

}  // namespace ridgeline::collector
