#include "collector/cloudwatch/control.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "collector/cloudwatch/api.h"
#include "common/base/text.h"
#include "common/log/log.h"

namespace ridgeline::collector {

namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using Kind = ControlChange::Kind;

// Quotas of an account in a region: three PutMetricAlarm and DeleteAlarms a second, nine
// DescribeAlarms, ten calls about dashboards ("CloudWatch endpoints and quotas").
constexpr auto kBetweenWrites = 340ms;
constexpr auto kBetweenReads = 120ms;
constexpr unsigned kAttemptsMax = 8;
constexpr auto kBackoffFirst = 500ms;
constexpr auto kBackoffMax = 20'000ms;
constexpr std::size_t kDeletedAtOnce = 100;
constexpr std::size_t kPagesMax = 1000;  // of 100 alarms each

// What an answer of 409 says: somebody else writes the same dashboard.
bool is_conflict(const Answer& answer) {
    return answer.code == "ConflictException" || answer.code == "ConcurrentModificationException" ||
           answer.code == "Conflict";
}

bool is_not_found(const Answer& answer) {
    return answer.code == "ResourceNotFound" || answer.code == "ResourceNotFoundException" ||
           answer.code == "DashboardNotFoundError";
}

std::string text_of(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// DashboardValidationMessages, of an answer or a refusal.
std::vector<std::string> validation_messages(const json& body) {
    std::vector<std::string> out;
    if (!body.is_object()) return out;
    for (const char* key : {"DashboardValidationMessages", "dashboardValidationMessages"}) {
        const auto list = body.find(key);
        if (list == body.end() || !list->is_array()) continue;
        for (const json& one : *list) {
            if (!one.is_object()) continue;
            out.push_back(
                printable(text_of(one, "DataPath") + ": " + text_of(one, "Message"), 512));
            if (out.size() == 20) return out;
        }
    }
    return out;
}

}  // namespace

class CloudWatchControl::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(HttpClient& http, CredentialsProvider& credentials, const Clock& clock, Rng rng,
         std::function<void(const ControlJob&)> on_end)
        : http_(http),
          credentials_(credentials),
          clock_(clock),
          rng_(std::move(rng)),
          on_end_(std::move(on_end)) {}

    Result<std::uint64_t> start(Order order) {
        if (running())
            return fail(Errc::unavailable,
                        "another plan is being made or carried out; wait for it");
        if (order.regions.empty()) return fail(Errc::invalid_argument, "no region is known");
        order_ = std::move(order);
        apis_.clear();
        for (const ControlRegion& region : order_.regions) {
            apis_.try_emplace(region.region,
                              std::make_unique<CloudWatchApi>(region.endpoint, region.region, http_,
                                                              credentials_, clock_));
        }
        holdings_ = {};
        denied_.clear();
        steps_.clear();
        waiting_ = false;
        job_.emplace();
        job_->id = ++last_id_;
        job_->destroys = order_.destroys;
        job_->dry_run = order_.dry_run;
        for (const auto& [region, api] : apis_)
            describe_alarms(region, "", 0);
        list_dashboards("", 0);
        poll();
        return job_->id;
    }

    bool running() const { return job_ && job_->state == ControlJob::State::running; }
    const ControlJob* job() const { return job_ ? &*job_ : nullptr; }

    void poll() {
        if (!running() || waiting_ || clock_.mono_now() < not_before_) return;
        if (steps_.empty()) return next_phase();
        Step& step = steps_.front();
        if (const auto known = denied_.find(step.operation); known != denied_.end()) {
            const std::string why = known->second;
            return give_up(why);
        }
        waiting_ = true;
        ++step.attempts;
        not_before_ = clock_.mono_now() + (step.writes ? kBetweenWrites : kBetweenReads);
        apis_.at(step.region)
            ->call(step.operation, step.input.dump(-1, ' ', false, json::error_handler_t::replace),
                   [weak = weak_from_this()](Result<CloudWatchReply> reply) {
                       if (const auto self = weak.lock()) self->answered(std::move(reply));
                   });
    }

  private:
    struct Step {
        std::string region;
        std::string operation;
        json input;
        bool writes = false;
        // The answer's document; not found is an answer of null.
        std::function<void(const json&)> done;
        std::function<void(const std::string&)> failed;  // null: the job fails
        unsigned attempts = 0;
    };

    const std::string& main_region() const { return order_.regions.front().region; }

    void describe_alarms(const std::string& region, const std::string& token, std::size_t page) {
        json input = {{"AlarmNamePrefix", order_.wish.alarm_prefix + '/'}, {"MaxRecords", 100}};
        if (!token.empty()) input["NextToken"] = token;
        Step step{region, "DescribeAlarms", input, false, {}, {}};
        step.done = [this, region, page](const json& answer) {
            const auto list = answer.find("MetricAlarms");
            if (list == answer.end() || !list->is_array())
                return fail_job("DescribeAlarms' answer has no MetricAlarms");
            for (const json& alarm : *list) {
                if (!alarm.is_object()) continue;
                if (const std::string name = text_of(alarm, "AlarmName"); !name.empty())
                    holdings_.alarms[{region, name}] = alarm;
            }
            const std::string next = text_of(answer, "NextToken");
            if (next.empty()) return;
            if (page + 1 == kPagesMax) return fail_job("there are too many alarms to look at");
            describe_alarms(region, next, page + 1);
        };
        // A page's successor goes before what else waits: tokens do not last.
        steps_.push_front(std::move(step));
    }

    void list_dashboards(const std::string& token, std::size_t page) {
        json input = {{"DashboardNamePrefix", order_.wish.dashboard_prefix + '-'}};
        if (!token.empty()) input["NextToken"] = token;
        Step step{main_region(), "ListDashboards", input, false, {}, {}};
        step.done = [this, page](const json& answer) {
            const auto list = answer.find("DashboardEntries");
            if (list == answer.end() || !list->is_array())
                return fail_job("ListDashboards' answer has no DashboardEntries");
            for (const json& entry : *list) {
                if (!entry.is_object()) continue;
                if (const std::string name = text_of(entry, "DashboardName"); !name.empty())
                    get_dashboard(name);
            }
            const std::string next = text_of(answer, "NextToken");
            if (next.empty()) return;
            if (page + 1 == kPagesMax) return fail_job("there are too many dashboards to look at");
            list_dashboards(next, page + 1);
        };
        steps_.push_back(std::move(step));
    }

    void get_dashboard(const std::string& name) {
        Step step{main_region(), "GetDashboard", {{"DashboardName", name}}, false, {}, {}};
        step.done = [this, name](const json& answer) {
            if (answer.is_null()) return;  // deleted meanwhile
            // A body that is no JSON is somebody else's.
            json body = json::parse(text_of(answer, "DashboardBody"), nullptr, false);
            holdings_.dashboards[name] = body.is_object() ? std::move(body) : json::object();
        };
        steps_.push_back(std::move(step));
    }

    void next_phase() {
        if (planned_ == job_->id) return end(ControlJob::State::done);
        planned_ = job_->id;
        job_->plan = order_.destroys ? make_destroy_plan(order_.wish, holdings_)
                                     : make_control_plan(order_.wish, holdings_);
        if (order_.dry_run) return end(ControlJob::State::done);
        auto& changes = job_->plan.changes;
        for (std::size_t i = 0; i < changes.size(); ++i) {
            if (changes[i].kind == Kind::create || changes[i].kind == Kind::update) put(i);
        }
        remove_all();
        if (steps_.empty()) end(ControlJob::State::done);
    }

    void put(std::size_t i) {
        const ControlChange& change = job_->plan.changes[i];
        Step step{change.dashboard ? main_region() : change.region,
                  change.dashboard ? "PutDashboard" : "PutMetricAlarm",
                  change.input,
                  true,
                  {},
                  {}};
        step.done = [this, i](const json& answer) {
            ControlChange& made = job_->plan.changes[i];
            made.done = true;
            for (const std::string& message : validation_messages(answer))
                job_->warnings.push_back(made.name + ": " + message);
        };
        step.failed = [this, i](const std::string& why) { job_->plan.changes[i].error = why; };
        steps_.push_back(std::move(step));
    }

    void remove_all() {
        std::map<std::string, std::vector<std::size_t>> alarms;  // by region
        std::vector<std::size_t> boards;
        for (std::size_t i = 0; i < job_->plan.changes.size(); ++i) {
            const ControlChange& change = job_->plan.changes[i];
            if (change.kind != Kind::remove) continue;
            (change.dashboard ? boards : alarms[change.region]).push_back(i);
        }
        for (const auto& [region, which] : alarms)
            remove(region, "DeleteAlarms", "AlarmNames", which);
        // One at a time: a name that is gone would keep the others from being deleted.
        for (const std::size_t i : boards)
            remove(main_region(), "DeleteDashboards", "DashboardNames", {i});
    }

    void remove(const std::string& region, const char* operation, const char* key,
                const std::vector<std::size_t>& which) {
        for (std::size_t from = 0; from < which.size(); from += kDeletedAtOnce) {
            const std::vector<std::size_t> some(
                which.begin() + static_cast<std::ptrdiff_t>(from),
                which.begin() +
                    static_cast<std::ptrdiff_t>(std::min(which.size(), from + kDeletedAtOnce)));
            json names = json::array();
            for (const std::size_t i : some)
                names.push_back(job_->plan.changes[i].name);
            Step step{region, operation, {{key, names}}, true, {}, {}};
            step.done = [this, some](const json&) {
                for (const std::size_t i : some)
                    job_->plan.changes[i].done = true;
            };
            step.failed = [this, some](const std::string& why) {
                for (const std::size_t i : some)
                    job_->plan.changes[i].error = why;
            };
            steps_.push_back(std::move(step));
        }
    }

    void answered(Result<CloudWatchReply> reply) {
        waiting_ = false;
        if (!running()) return;
        Step& step = steps_.front();
        if (!reply) {
            if (reply.error().code == Errc::unavailable && step.attempts < kAttemptsMax)
                return wait_longer();
            return give_up(reply.error().context);
        }
        ++job_->calls;
        const Answer& answer = reply->answer;
        const bool found_none = is_not_found(answer) && step.operation != "PutDashboard";
        if (answer.answer_class == AnswerClass::ok || found_none) {
            const json body = found_none ? json() : json::parse(reply->body, nullptr, false);
            job_->writes += step.writes ? 1 : 0;
            if (body.is_discarded() && !step.writes)
                return give_up(step.operation + " is answered with what is no JSON");
            const auto done = std::move(step.done);
            steps_.pop_front();
            if (!found_none && !body.is_object()) return done(json::object());
            return done(body);
        }
        const bool passes = answer.answer_class == AnswerClass::throttled ||
                            answer.answer_class == AnswerClass::transient || is_conflict(answer);
        job_->throttled += answer.answer_class == AnswerClass::throttled ? 1 : 0;
        if (passes && step.attempts < kAttemptsMax) return wait_longer();
        std::string why = explain(answer, step.operation);
        for (const std::string& message :
             validation_messages(json::parse(reply->body, nullptr, false)))
            why += "; " + message;
        // The next one would be denied as well.
        if (answer.answer_class == AnswerClass::denied && !is_conflict(answer))
            denied_[step.operation] = why;
        give_up(why);
    }

    void wait_longer() {
        const unsigned attempts = steps_.front().attempts;
        const double doubled = static_cast<double>(kBackoffFirst.count()) *
                               std::exp2(static_cast<double>(attempts - 1));
        const double most = std::min(doubled, static_cast<double>(kBackoffMax.count()));
        not_before_ = std::max(
            not_before_, clock_.mono_now() + std::chrono::milliseconds(static_cast<std::int64_t>(
                                                 most * (0.5 + rng_() / 2))));
    }

    void give_up(const std::string& why) {
        const auto failed = std::move(steps_.front().failed);
        const std::string text = printable(why, 2048);
        if (!failed) return fail_job(text);
        steps_.pop_front();
        failed(text);
    }

    void fail_job(const std::string& why) {
        job_->error = why;
        end(ControlJob::State::failed);
    }

    void end(ControlJob::State state) {
        steps_.clear();
        job_->state = state;
        on_end_(*job_);
    }

    HttpClient& http_;
    CredentialsProvider& credentials_;
    const Clock& clock_;
    Rng rng_;
    std::function<void(const ControlJob&)> on_end_;

    Order order_;
    std::map<std::string, std::unique_ptr<CloudWatchApi>> apis_;  // by region
    std::optional<ControlJob> job_;
    std::uint64_t last_id_ = 0;
    std::uint64_t planned_ = 0;  // the job that has its plan
    ControlHoldings holdings_;
    std::deque<Step> steps_;
    bool waiting_ = false;  // for the answer to the first step
    MonoTime not_before_{};
    std::map<std::string, std::string> denied_;  // operation -> why
};

CloudWatchControl::CloudWatchControl(HttpClient& http, CredentialsProvider& credentials,
                                     const Clock& clock, Rng rng,
                                     std::function<void(const ControlJob&)> on_end)
    : impl_(std::make_shared<Impl>(http, credentials, clock, std::move(rng), std::move(on_end))) {}

CloudWatchControl::~CloudWatchControl() = default;

Result<std::uint64_t> CloudWatchControl::start(Order order) {
    return impl_->start(std::move(order));
}
void CloudWatchControl::poll() {
    impl_->poll();
}
bool CloudWatchControl::running() const {
    return impl_->running();
}
const ControlJob* CloudWatchControl::job() const {
    return impl_->job();
}

}  // namespace ridgeline::collector
