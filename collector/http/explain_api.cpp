#include "collector/http/explain_api.h"

#include <algorithm>
#include <array>
#include <deque>

#include "collector/http/json_reply.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::size_t kSamplesShown = 20;
constexpr std::size_t kConditionsMax = 200;
constexpr std::array<const char*, 4> kStates = {"ok", "pending", "firing", "clearing"};

const char* to_string(ConditionState state) {
    return kStates[static_cast<std::size_t>(state)];
}

json time_or_null(std::optional<std::int64_t> ms) {
    return ms ? time_json(*ms) : json(nullptr);
}

json level_json(const ConditionView& view, std::size_t index) {
    const Rule& rule = view.rule;
    const Level& level = rule.levels[index];
    const auto standing = view.condition.standing(rule, index);
    json out = {{"severity", to_string(level.severity)},
                {"at", level.at},
                {"for", format_duration(level.sustained)},
                {"breaching_since", time_or_null(standing.breaching_since_ms)},
                {"fires_at", nullptr},
                {"slots", nullptr}};
    const bool fires = view.condition.firing() && view.condition.level() >= index;
    if (level.slots) {
        out["slots"] = {{"breaching", standing.slots_breaching},
                        {"filled", standing.slots_filled},
                        {"needed", level.slots->m},
                        {"of", level.slots->n}};
    } else if (standing.breaching_since_ms && !fires) {
        out["fires_at"] = time_json(*standing.breaching_since_ms + level.sustained.count());
    }
    return out;
}

json clear_json(const ConditionView& view) {
    const Rule& rule = view.rule;
    const auto since = view.condition.standing(rule, 0).clear_since_ms;
    const bool fires = view.condition.firing().has_value();
    const bool band = rule.clear && (upward(rule.op) || downward(rule.op));
    return {{"op", !band             ? "not " + std::string(to_string(rule.op))
                   : upward(rule.op) ? "<"
                                     : ">"},
            {"at", rule.clear_threshold(0)},
            {"for", format_duration(rule.clear_for)},
            {"since", fires ? time_or_null(since) : json(nullptr)},
            {"resolves_at",
             fires && since ? time_json(*since + rule.clear_for.count()) : json(nullptr)}};
}

// The newest ones of those that the present value may be made of.
json samples_json(const SeriesStore& series, const ConditionView& view) {
    const std::int64_t newest_ms = view.condition.newest_ms();
    std::deque<std::pair<std::int64_t, double>> shown;
    std::size_t count = 0;
    if (newest_ms != INT64_MIN) {
        const auto span = std::max<std::chrono::milliseconds>(view.rule.reduction.window,
                                                              std::chrono::minutes{1});
        for (const std::uint32_t id : view.series) {
            if (!series.contains(id)) continue;
            series.window_of(id).for_each(newest_ms - span.count() + 1, newest_ms,
                                          [&](std::int64_t t, double value) {
                                              ++count;
                                              shown.emplace_back(t, value);
                                          });
        }
        std::sort(shown.begin(), shown.end());
    }
    while (shown.size() > kSamplesShown)
        shown.pop_front();
    json newest = json::array();
    for (const auto& [time_ms, value] : shown)
        newest.push_back({{"time", time_json(time_ms)}, {"value", value}});
    return {{"count", count}, {"newest", newest}};
}

json condition_json(const ExplainSources& sources, const ConditionView& view) {
    const Condition& condition = view.condition;
    json levels = json::array();
    for (std::size_t i = 0; i < view.rule.levels.size(); ++i)
        levels.push_back(level_json(view, i));
    const auto held = sources.engine.inhibitor_of(view.rule.id, view.host, view.attributes);
    const bool known = condition.newest_ms() != INT64_MIN;
    json out = {{"host", view.host},
                {"attributes", attributes_json(view.attributes)},
                {"state", to_string(condition.state())},
                {"value", condition.has_value() ? json(condition.newest_value()) : json(nullptr)},
                {"time", known ? time_json(condition.newest_ms()) : json(nullptr)},
                {"stale_since", time_json(view.stale_since_ms)},
                {"held_back_by", held ? json(*held) : json(nullptr)},
                {"levels", levels},
                {"clear", clear_json(view)}};
    if (view.rule.fleet) {
        out["members"] = view.members;
    } else {
        out["samples"] = samples_json(sources.series, view);
    }
    return out;
}

// Why there is no condition of the rule for this host.
std::string why_none(const ExplainSources& sources, const Rule& rule, const HostInfo& host) {
    if (!rule.selects_host(host)) return "the rule's host, tags or unless leave this host out";
    const std::string metric(rule.metric->name);
    const auto ids = sources.series.find({host.host_id, metric, {}});
    if (ids.empty()) return "the host sends no " + metric;
    const bool any = std::any_of(ids.begin(), ids.end(), [&](SeriesId id) {
        return rule.selects(host, sources.series.descriptor_of(id));
    });
    if (!any) {
        return "none of the host's " + std::to_string(ids.size()) + " series of " + metric +
               " fits the rule's where and unless";
    }
    if (sources.engine.overflowing().contains(rule.id))
        return "the rule has as many series as [rules] identities_per_rule allows";
    return "an override switches it off, or no sample has come since the start";
}

json heartbeat_json(const ExplainSources& sources, const Rule& rule, const KnownHost& host) {
    const auto silent_at = sources.engine.silent_at_ms(rule.id, host.info().host_id);
    return {{"watched", silent_at.has_value()},
            {"heard", host.heard_ms() == INT64_MIN ? json(nullptr) : time_json(host.heard_ms())},
            {"interval", format_duration(std::chrono::milliseconds{host.interval_ms()})},
            {"silent_at", time_or_null(silent_at)}};
}

// With the nearest of `candidates` as a hint.
ApiResponse unknown(const std::string& what, const std::string& name,
                    const std::vector<std::string>& candidates) {
    const auto meant = nearest(name, candidates);
    return json_refusal(404, "there is no " + what + " \"" + printable(name, 100) + "\"",
                        meant ? "did you mean \"" + *meant + "\"?" : "");
}

json rule_head(const Rule& rule, const std::string& host) {
    return {{"rule", rule.id},
            {"host", host},
            {"file", rule.file},
            {"metric", rule.metric == nullptr ? "" : std::string(rule.metric->name)},
            {"unit", rule.unit},
            {"sample_unit", rule.metric == nullptr ? "" : std::string(rule.metric->unit)},
            {"op", to_string(rule.op)},
            {"aggregate", to_string(rule.reduction.agg)},
            {"window", format_duration(rule.reduction.window)},
            {"conditions", json::array()},
            {"more", 0},
            {"why", ""}};
}

ApiResponse explain(const ExplainSources& sources, const std::string& rule_id,
                    const std::string& host_id) {
    const RuleEngine& engine = sources.engine;
    std::vector<std::string> names;
    const Rule* rule = nullptr;
    for (const auto& rules : {engine.rules(), sources.disabled}) {
        for (const Rule& each : rules) {
            names.push_back(each.id);
            if (each.id == rule_id) rule = &each;
        }
    }
    if (rule == nullptr) return unknown("rule", rule_id, names);
    const KnownHost* host = engine.known_hosts().find(host_id);
    if (host == nullptr) {
        std::vector<std::string> hosts;
        for (const auto& [id, known] : engine.known_hosts().all())
            hosts.push_back(id);
        return unknown("host", host_id, hosts);
    }
    json out = rule_head(*rule, host_id);
    if (!rule->enabled || rule->metric == nullptr) {
        out["why"] = "the rule is switched off in its file";
        return json_answer(out);
    }
    if (rule->heartbeat) {
        out["heartbeat"] = heartbeat_json(sources, *rule, *host);
        if (!rule->selects_host(host->info()))
            out["why"] = "the rule's host, tags or unless leave this host out";
        return json_answer(out);
    }
    std::size_t conditions = 0;
    const auto take = [&](const ConditionView& view) {
        if (view.rule.id != rule_id || (!rule->fleet && view.host != host_id)) return;
        if (++conditions <= kConditionsMax)
            out["conditions"].push_back(condition_json(sources, view));
    };
    if (rule->fleet) {
        engine.for_each_group(take);
    } else {
        engine.for_each_condition(take);
    }
    out["more"] = conditions - out["conditions"].size();
    if (conditions == 0) out["why"] = why_none(sources, *rule, host->info());
    return json_answer(out);
}

}  // namespace

std::optional<ApiResponse> handle_explain(const ExplainSources& sources,
                                          const ApiRequest& request) {
    if (request.path != "/api/v1/rules/explain") return {};
    if (!request.reads()) return json_not_allowed("GET, HEAD");
    const QueryReader args(request.args);
    if (const auto ok = args.only({"rule", "host"}); !ok) return json_refusal(ok.error());
    if (args.text("rule").empty() || args.text("host").empty())
        return json_refusal(400, "say which rule and which host, as rule=cpu.sustained&host=web-1");
    return explain(sources, args.text("rule"), args.text("host"));
}

}  // namespace ridgeline::collector
