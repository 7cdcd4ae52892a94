#include "collector/http/cloudwatch_api.h"

#include "collector/cost/bill.h"
#include "collector/http/json_reply.h"
#include "common/base/text.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;

constexpr std::string_view kJobs = "/api/v1/cloudwatch/jobs";

std::string_view state_name(ControlJob::State state) {
    switch (state) {
        case ControlJob::State::running:
            return "running";
        case ControlJob::State::done:
            return "done";
        case ControlJob::State::failed:
            return "failed";
    }
    return "";
}

json change_json(const ControlChange& change) {
    json fields = json::array();
    for (const FieldChange& field : change.fields)
        fields.push_back({{"field", field.field}, {"from", field.from}, {"to", field.to}});
    return {{"change", to_string(change.kind)},
            {"what", change.dashboard ? "dashboard" : "alarm"},
            {"region", change.region},
            {"name", change.name},
            {"rule", change.rule},
            {"host", change.host},
            {"words", change.words},
            {"fields", fields},
            {"done", change.done},
            {"error", change.error}};
}

json totals_json(const ControlPlan::Totals& totals, const Result<CloudWatchPrices>& prices) {
    json out = {{"alarm_metrics", totals.alarms.standard},
                {"alarm_metrics_high_resolution", totals.alarms.high_resolution},
                {"dashboards", totals.dashboards}};
    if (prices) {
        CloudWatchUsage usage;
        usage.alarm_metrics = static_cast<double>(totals.alarms.standard);
        usage.alarm_metrics_high_resolution = static_cast<double>(totals.alarms.high_resolution);
        usage.dashboards = static_cast<double>(totals.dashboards);
        const CloudWatchBill bill = make_bill(usage, *prices);
        out["usd"] = bill.alarms + bill.dashboards;
    }
    return out;
}

json job_json(const ControlJob& job, const Result<CloudWatchPrices>& prices) {
    json changes = json::array();
    std::size_t done = 0;
    std::size_t failed = 0;
    // Until it has ended, who asks again and again wants to know how far it is.
    const bool whole = job.state != ControlJob::State::running;
    for (const ControlChange& change : job.plan.changes) {
        if (whole) changes.push_back(change_json(change));
        done += change.done ? 1 : 0;
        failed += change.acts() && !change.error.empty() ? 1 : 0;
    }
    json problems = json::array();
    for (const PlanProblem& problem : job.plan.problems) {
        problems.push_back(
            {{"what", problem.what}, {"where", problem.where}, {"why", problem.why}});
    }
    using When = ControlPlan::When;
    json out = {{"id", job.id},
                {"action", job.destroys ? "destroy" : "apply"},
                {"dry_run", job.dry_run},
                {"state", state_name(job.state)},
                {"error", job.error},
                {"calls", job.calls},
                {"writes", job.writes},
                {"throttled", job.throttled},
                {"to_do", job.plan.to_do()},
                {"done", done},
                {"failed", failed},
                {"unchanged", job.plan.unchanged},
                {"changes", changes},
                {"problems", problems},
                {"warnings", job.warnings},
                {"month",
                 {{"before", totals_json(job.plan.totals(When::before), prices)},
                  {"now", totals_json(job.plan.totals(When::now), prices)},
                  {"after", totals_json(job.plan.totals(When::after), prices)}}}};
    if (prices) {
        out["prices"] = {{"date", prices->date}, {"currency", prices->currency}};
    } else {
        out["warnings"].push_back("what it costs is not known: " + prices.error().context);
    }
    return out;
}

ApiResponse begin(const ControlModel& model, const ApiRequest& request) {
    json body;
    if (auto refused = read_body(request, body)) return *refused;
    if (const auto ok = only_keys(body, {"action", "dry_run"}); !ok)
        return json_refusal(ok.error());
    const auto action = body_text(body, "action");
    if (!action) return json_refusal(action.error());
    if (*action != "apply" && *action != "destroy")
        return json_refusal(400, "action must be \"apply\" or \"destroy\"");
    const json dry_run = body.value("dry_run", json(false));
    if (!dry_run.is_boolean()) return json_refusal(400, "dry_run must be true or false");
    const auto id = model.start(*action == "destroy", dry_run.get<bool>(), request);
    if (!id) return json_refusal(id.error());
    return json_answer({{"id", *id}}, 202);
}

}  // namespace

std::optional<ApiResponse> handle_cloudwatch(const ControlModel& model, const ApiRequest& request) {
    const std::string_view path = request.path;
    if (path == kJobs)
        return request.method == "POST" ? begin(model, request) : json_not_allowed("POST");
    if (!path.starts_with(kJobs) || path[kJobs.size()] != '/') return {};
    if (!request.reads()) return json_not_allowed("GET, HEAD");
    if (const auto ok = QueryReader(request.args).only({}); !ok) return json_refusal(ok.error());
    const auto id = parse_id(path.substr(kJobs.size() + 1));
    const ControlJob* job = model.job();
    if (!id || job == nullptr || job->id != static_cast<std::uint64_t>(*id))
        return json_refusal(404, "there is no such job", "only the last one is kept");
    return json_answer(job_json(*job, model.prices()));
}

}  // namespace ridgeline::collector
