#include "collector/view.h"

#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/metric/catalog.h"

namespace ridgeline::collector {

namespace {

double resident_bytes() {
    const auto statm = read_file("/proc/self/statm", 4096);
    if (!statm) return 0;
    std::string_view rest = *statm;
    next_field(rest);
    return static_cast<double>(to_u64(next_field(rest)).value_or(0)) *
           static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// What an agent on another machine would connect to: a wildcard stands for this machine's name.
std::string advertised_endpoint(const std::string& listening) {
    const std::size_t port = listening.rfind(':');
    const std::string host = listening.substr(6, port - 6);  // after "tcp://"
    if (host != "0.0.0.0" && host != "[::]" && host != "*") return listening;
    char name[256] = "";
    if (::gethostname(name, sizeof name - 1) != 0) return listening;
    return "tcp://" + std::string(name) + listening.substr(port);
}

// Collects families; the samples of one name are put together.
class Families {
  public:
    void counter(const char* name, const char* help, std::uint64_t value,
                 std::vector<Attribute> labels = {}) {
        add(std::string(name) + "_total", help, true, static_cast<double>(value),
            std::move(labels));
    }
    void gauge(const char* name, const char* help, double value,
               std::vector<Attribute> labels = {}) {
        add(name, help, false, value, std::move(labels));
    }
    std::vector<SelfMetric> take() { return std::move(families_); }

  private:
    void add(const std::string& name, const char* help, bool counter, double value,
             std::vector<Attribute> labels) {
        const std::string full = "ridgeline_collector_" + name;
        if (families_.empty() || families_.back().name != full)
            families_.push_back({full, help, counter, {}});
        families_.back().samples.push_back({std::move(labels), value});
    }
    std::vector<SelfMetric> families_;
};

void add_ingest(Families& out, const IngestStats& s) {
    out.counter("messages", "Messages from agents", s.messages);
    out.counter("received_bytes", "Bytes of messages from agents", s.bytes);
    out.counter("batches", "New batches appended to the log", s.batches);
    out.counter("samples", "Samples in new batches", s.samples);
    out.counter("samples_thinned",
                "Samples that agents took out of old batches for want of room; not in samples",
                s.samples_thinned);
    out.counter("batches_duplicate", "Batches that were in the log already", s.duplicates);
    out.counter("batches_lost", "Batches that agents gave up before they came here",
                s.batches_lost);
    out.counter("schema_requests", "Schemas asked from agents", s.schema_requests);
    const char* help = "Messages not taken, by reason";
    out.counter("messages_refused", help, s.undecodable, {{"reason", "undecodable"}});
    out.counter("messages_refused", help, s.over_limit, {{"reason", "over_limit"}});
    out.counter("messages_refused", help, s.wrong_host, {{"reason", "wrong_host"}});
    out.counter("messages_refused", help, s.bad_protocol, {{"reason", "bad_protocol"}});
    out.counter("messages_refused", help, s.before_hello, {{"reason", "before_hello"}});
    out.counter("messages_refused", help, s.bad_time, {{"reason", "bad_time"}});
    out.counter("messages_refused", help, s.unknown_kind, {{"reason", "unknown_kind"}});
    out.counter("messages_refused", help, s.log_errors, {{"reason", "log_error"}});
    out.counter("messages_refused", help, s.flood, {{"reason", "flood"}});
    out.counter("messages_refused", help, s.hosts_full, {{"reason", "hosts_full"}});
    help = "Batches over their host's quota, which agents send again later, by lane";
    out.counter("batches_deferred", help, s.deferred_live, {{"lane", "live"}});
    out.counter("batches_deferred", help, s.deferred_backlog, {{"lane", "backlog"}});
    out.counter("batches_deferred_unanswered",
                "Of those, the ones of agents too old to be told to wait", s.deferred_unanswered);
    out.counter("batches_lost_doubted",
                "Batches agents claim to have lost, more than they can have had", s.losses_doubted);
    out.counter("schemas_forgotten", "Schemas given up for others of the same host",
                s.schemas_forgotten);
}

void add_listener(Families& out, const ZmqListener& listener) {
    const ListenerStats& s = listener.stats();
    out.counter("handshakes_admitted", "Connections of enrolled agents", s.admitted);
    out.counter("handshakes_denied", "Connections with a key that is not enrolled", s.denied);
    const char* help = "Handshakes that came to nothing, by kind";
    out.counter("handshakes_failed", help, s.handshakes_ended, {{"kind", "ended"}});
    out.counter("handshakes_failed", help, s.handshakes_not_curve, {{"kind", "not_curve"}});
    out.counter("handshakes_failed", help, s.handshakes_auth, {{"kind", "denied"}});
    out.counter("connections_accepted", "Connections to the agents' port", s.accepted);
    out.counter("connections_accept_errors", "Connections that could not be accepted",
                s.accept_errors);
    for (std::size_t i = 0; i < s.cut.size(); ++i) {
        out.counter("connections_cut", "Connections that were closed, by reason", s.cut[i],
                    {{"reason", std::string(to_string(static_cast<CutReason>(i)))}});
    }
    out.gauge("connections", "Open connections to the agents' port",
              static_cast<double>(listener.connections().size()));
    out.gauge("connections_silent", "Of those, the ones on which no host has spoken yet",
              static_cast<double>(listener.connections().strangers()));
    out.counter("messages_malformed", "Messages that are not one frame from a known peer",
                s.malformed);
    out.counter("replies_dropped", "Replies to peers that were gone or did not read",
                s.replies_dropped);
}

void add_enrollment(Families& out, const Enrollment& enrollment) {
    const EnrollmentStats& s = enrollment.stats();
    out.gauge("hosts_enrolled", "Hosts enrolled with a token",
              static_cast<double>(enrollment.book().hosts().size()));
    out.counter("enrollments", "Hosts enrolled since the start", s.enrolled);
    out.counter("enrollments_refused", "Enrolments refused", s.refused);
    out.counter("enrollment_messages_ignored", "Messages of token holders that are no enrolment",
                s.ignored);
    out.counter("keys_changed", "Hosts that have changed their key", s.keys_changed);
}

void add_log(Families& out, const Log& log, const LogReaderStats& reader) {
    const LogStats& s = log.stats();
    out.gauge("log_size_bytes", "Size of the log on disk", static_cast<double>(log.size_bytes()));
    out.counter("log_append_errors", "Batches that could not be written and were not acknowledged",
                s.append_errors);
    out.counter("log_sync_errors",
                "Failed fsyncs; what they left in doubt was cut off and is sent again",
                s.sync_errors);
    out.counter("log_torn_bytes", "Bytes cut off a damaged log at start", s.torn_bytes);
    out.counter("log_segments_dropped_unread",
                "Segments dropped for size before every reader was done",
                s.segments_dropped_unread);
    out.counter("log_records_skipped", "Damaged records the rules' reader passed over",
                reader.records_skipped);
    out.counter("log_bytes_fell_off", "Bytes trimmed before the rules' reader came to them",
                reader.bytes_fell_off);
}

void add_notifications(Families& out, Notifier& notifier) {
    const OutboxStats& s = notifier.outbox().stats();
    out.counter("notifications_sent", "Messages that targets took", s.sent);
    out.counter("notifications_retries", "Tries to send a message that came to nothing", s.retries);
    out.counter(
        "notifications_refused",
        "Messages that no try will deliver, and alerts untold when their target was removed",
        s.refused);
    out.counter("notifications_suppressed", "Alerts that ended without anybody having been told",
                s.suppressed);
    out.counter("notifications_unrouted", "Alerts that no route took", s.unrouted);
    out.counter("notifications_unstored_left",
                "Alerts that could not be stored and were too many to be told at once",
                notifier.unstored_left());
    out.counter("notifications_storage_errors", "Failures of the outbox's database",
                notifier.storage_errors());
    const auto targets = notifier.outbox().targets();
    if (!targets) return;
    for (const TargetState& target : *targets) {
        const std::vector<Attribute> label = {{"target", target.target}};
        out.gauge("notifications_waiting", "Alerts a target is still to be told of",
                  static_cast<double>(target.waiting), label);
        out.gauge("notifications_failing_since_seconds",
                  "Unix time since when a target takes nothing; 0: it does",
                  static_cast<double>(target.failing_since_ms) / 1000, label);
    }
}

void add_cloudwatch(Families& out, const CloudWatchStats& s) {
    for (std::size_t i = 0; i < s.answers.size(); ++i) {
        out.counter("cloudwatch_requests", "Answers from CloudWatch by class", s.answers[i],
                    {{"class", std::string(to_string(static_cast<AnswerClass>(i)))}});
    }
    out.counter("cloudwatch_request_errors", "Requests without an answer", s.request_errors);
    out.counter("cloudwatch_datums_sent", "Datums CloudWatch took", s.datums_sent);
    out.counter("cloudwatch_samples_sent", "Samples in those datums", s.samples_sent);
    for (std::size_t i = 0; i < s.samples_refused.size(); ++i) {
        out.counter("cloudwatch_samples_refused", "Samples not sent, by reason",
                    s.samples_refused[i],
                    {{"reason", std::string(to_string(static_cast<Refusal>(i)))}});
    }
    for (std::size_t i = 0; i < s.lost_answers.size(); ++i) {
        out.counter("cloudwatch_lost_answers",
                    "Requests whose answer was lost, by what became of them", s.lost_answers[i],
                    {{"outcome", std::string(to_string(static_cast<LostAnswer>(i)))}});
    }
    out.counter("cloudwatch_samples_dropped", "Samples of requests with the outcome \"dropped\"",
                s.samples_dropped);
    out.counter("cloudwatch_read_backs", "GetMetricStatistics requests about lost answers",
                s.read_backs);
    out.counter("cloudwatch_read_back_errors", "Of those, without a usable answer",
                s.read_back_errors);
    out.counter("cloudwatch_backlog_datums_sent", "Of the datums sent, those that were late",
                s.backlog_datums_sent);
    out.counter("cloudwatch_stretches_repeated",
                "Stretches of the log that came out otherwise than before a restart",
                s.flushes_repeated);
    out.counter("cloudwatch_log_bytes_lost", "Bytes of the log trimmed before they were read",
                s.log_bytes_lost);
    out.counter("cloudwatch_bytes_sent", "Bodies of requests, as sent", s.bytes_sent);
    out.counter("cloudwatch_cursor_errors", "Failures to save the cursor", s.cursor_errors);
    out.gauge("cloudwatch_samples_pending", "Samples in memory and not sent yet",
              static_cast<double>(s.samples_pending));
    out.gauge("cloudwatch_backlog_bytes", "Bytes of the log whose samples are still to be sent",
              static_cast<double>(s.backlog_bytes));
    out.gauge("cloudwatch_doubtful_requests", "Requests that may or may not have arrived",
              static_cast<double>(s.doubtful));
    out.gauge("cloudwatch_flushed_until_seconds",
              "Unix time before which every period was sent by the live lane",
              static_cast<double>(to_unix_ms(s.flushed_until)) / 1000);
}

void add_aws_metrics(Families& out, const AwsMetricsSource& source) {
    for (const auto& [entry, s] : source.stats()) {
        const std::vector<Attribute> labels{{"entry", entry}};
        for (std::size_t i = 0; i < s.answers.size(); ++i) {
            out.counter(
                "aws_metrics_requests", "Answers to GetMetricData by class", s.answers[i],
                {{"class", std::string(to_string(static_cast<AnswerClass>(i)))}, {"entry", entry}});
        }
        out.counter("aws_metrics_request_errors", "Requests without a usable answer",
                    s.request_errors, labels);
        out.counter("aws_metrics_asked", "Metrics asked for, which AWS bills", s.metrics_asked,
                    labels);
        out.counter("aws_metrics_samples", "Points taken into the log", s.samples, labels);
        out.counter("aws_metrics_samples_late",
                    "Of those, the ones CloudWatch did not have when their period was first read",
                    s.samples_late, labels);
        out.counter("aws_metrics_samples_revised",
                    "Points CloudWatch changed after they were taken; left as they were",
                    s.samples_revised, labels);
        out.gauge("aws_metrics_series_empty",
                  "Series asked for that CloudWatch has never had a point of; is the id right?",
                  static_cast<double>(s.series_empty), labels);
        out.gauge("aws_metrics_failing", "1 while an entry cannot be read", s.failing ? 1 : 0,
                  labels);
    }
}

}  // namespace

void CollectorView::describe(const std::string& id, HostView& view) const {
    view.id = id;
    view.name = parts_.enrollment->book().name_of(id);
    view.enrolled =
        id.starts_with(AwsMetricsConfig::kHostPrefix) ? "aws" : parts_.enrollment->enrolled_by(id);
}

std::vector<HostView> CollectorView::hosts() {
    std::vector<HostView> views;
    for (const auto& [id, state] : parts_.ingest->hosts()) {
        HostView view;
        describe(id, view);
        view.agent_version = state.info.agent_version;
        view.tags = state.info.tags;
        view.facts = state.info.facts;
        view.connected = parts_.ingest->connected(id);
        view.last_seen_ms = to_unix_ms(state.last_seen);
        view.last_sample_ms = state.last_sample_ms;
        view.clock_offset_ms = state.clock_offset_ms;
        view.batches = state.batches;
        view.samples = state.samples;
        view.duplicates = state.duplicates;
        view.batches_lost = state.batches_lost;
        view.batches_deferred = state.batches_deferred;
        view.series = parts_.evaluation->series().series_count(id);
        views.push_back(std::move(view));
    }
    // Hosts that have not been heard of since the start, but are in the window.
    for (const auto& [id, latest_ms] : parts_.evaluation->series().hosts()) {
        if (parts_.ingest->hosts().contains(id)) continue;
        HostView view;
        describe(id, view);
        view.last_sample_ms = latest_ms;
        view.series = parts_.evaluation->series().series_count(id);
        views.push_back(std::move(view));
    }
    // Enrolled ones that have never sent anything.
    for (const auto& [id, host] : parts_.enrollment->book().hosts()) {
        if (parts_.ingest->hosts().contains(id) || parts_.evaluation->series().series_count(id) > 0)
            continue;
        describe(id, views.emplace_back());
    }
    return views;
}

std::vector<SeriesView> CollectorView::series(const SeriesFilter& filter) {
    const SeriesStore& store = parts_.evaluation->series();
    std::vector<SeriesView> views;
    for (const SeriesId id : store.find({filter.host, filter.metric, filter.attributes})) {
        const SeriesDescriptor& descriptor = store.descriptor_of(id);
        const MetricInfo* metric = find_metric(descriptor.metric);
        if (const auto thinned = find_thinned(descriptor.metric)) metric = thinned->metric;
        views.push_back({id, store.host_of(id), descriptor.metric,
                         metric == nullptr ? "" : std::string(metric->unit), descriptor.attributes,
                         store.window_of(id).latest_value(), store.window_of(id).latest_ms()});
    }
    return views;
}

std::vector<PointView> CollectorView::points(std::uint32_t series_id, std::int64_t from_ms,
                                             std::int64_t to_ms, std::int64_t step_ms) {
    std::vector<PointView> views;
    for (const Aggregate& step :
         parts_.evaluation->series().aggregate(series_id, from_ms, to_ms, step_ms)) {
        views.push_back({step.t_ms, step.min, step.max, step.sum / static_cast<double>(step.count),
                         step.last, step.count});
    }
    return views;
}

std::vector<SelfMetric> CollectorView::self_metrics() {
    Families out;
    add_ingest(out, parts_.ingest->stats());
    if (parts_.listener != nullptr) add_listener(out, *parts_.listener);
    add_enrollment(out, *parts_.enrollment);
    add_log(out, *parts_.log, parts_.evaluation->reader_stats());
    const SeriesStore& store = parts_.evaluation->series();
    out.gauge("series", "Series in the window", static_cast<double>(store.series_count()));
    out.gauge("window_bytes", "Memory of the window", static_cast<double>(store.bytes()));
    out.counter("window_duplicates", "Samples for an instant that had a value already",
                store.stats().duplicates);
    const char* refused =
        "Samples of series beyond a limit; in the log, but neither shown nor judged";
    out.counter("window_series_refused", refused, store.stats().refused_total,
                {{"limit", "series_total"}});
    out.counter("window_series_refused", refused, store.stats().refused_per_host,
                {{"limit", "series_per_host"}});
    out.counter("window_series_refused", refused, store.stats().refused_new,
                {{"limit", "new_series_per_host_per_hour"}});
    out.counter("window_series_freed", "Series of which nothing is left in the window",
                store.stats().series_freed);
    out.gauge("rules", "Rules in force",
              static_cast<double>(parts_.evaluation->engine().rules().size()));
    out.gauge("rule_files_bad", "Mistakes in rule files; see `ridgeline-collector check`",
              static_cast<double>(*parts_.bad_rule_files));
    out.counter("alert_transitions", "Alerts that fired, changed severity or resolved",
                parts_.evaluation->stats().transitions);
    out.counter("alert_store_errors", "Commits of alerts that failed",
                parts_.evaluation->stats().commit_errors);
    out.gauge("alerts_firing", "Alerts that fire now",
              static_cast<double>(parts_.evaluation->engine().firing().size()));
    if (parts_.notifier != nullptr) add_notifications(out, *parts_.notifier);
    if (parts_.cloudwatch != nullptr) add_cloudwatch(out, parts_.cloudwatch->stats());
    if (parts_.aws_metrics != nullptr) add_aws_metrics(out, *parts_.aws_metrics);
    if (parts_.http != nullptr) {
        out.counter("http_requests", "HTTP requests answered", parts_.http->stats().requests);
        out.counter("http_client_errors", "HTTP requests answered with 4xx",
                    parts_.http->stats().client_errors);
    }
    out.gauge("memory_rss_bytes", "Resident memory", resident_bytes());
    return out.take();
}

std::vector<NotificationTargetView> CollectorView::notification_targets() {
    Outbox& outbox = parts_.notifier->outbox();
    std::vector<NotificationTargetView> views;
    const auto states = outbox.targets();
    if (!states) return views;
    for (const TargetState& state : *states) {
        const TargetConfig& config = *outbox.config().target(state.target);
        views.push_back({state.target, std::string(to_string(config.type)), config.fallback,
                         state.waiting, state.oldest_ms, state.last_sent_ms, state.failing_since_ms,
                         state.given_up, state.last_error});
    }
    return views;
}

std::string CollectorView::not_ready() {
    if (!parts_.evaluation->caught_up()) return "reading the log";
    if (!parts_.log->trouble().empty())
        return "the log cannot be written: " + parts_.log->trouble();
    return {};
}

std::int64_t CollectorView::now_ms() const {
    return to_unix_ms(parts_.clock->wall_now());
}

std::vector<TokenView> CollectorView::tokens() {
    parts_.enrollment->tidy();
    std::vector<TokenView> views;
    for (const auto& [id, token] : parts_.enrollment->book().tokens())
        views.push_back({id,
                         "",
                         token.created_ms,
                         token.expires_ms,
                         token.uses_max,
                         token.uses,
                         token.tags,
                         {}});
    return views;
}

Result<TokenView> CollectorView::create_token(const TokenArgs& args) {
    TokenRequest request;
    if (args.lifetime.count() > 0) request.lifetime = args.lifetime;
    request.uses_max = args.uses_max;
    request.tags = args.tags;
    request.endpoints = args.endpoints;
    if (request.endpoints.empty()) request.endpoints = parts_.listen->advertise;
    if (request.endpoints.empty())
        request.endpoints = {advertised_endpoint(parts_.listener->endpoint())};
    RL_ASSIGN_OR_RETURN(NewToken token, parts_.enrollment->create_token(request));
    const TokenRecord& r = token.record;
    return TokenView{r.id,   std::move(token.line), r.created_ms, r.expires_ms, r.uses_max, 0,
                     r.tags, request.endpoints};
}

Result<void> CollectorView::remove_token(const std::string& id) {
    RL_TRY(parts_.enrollment->remove_token(id));
    parts_.listener->recheck();
    return {};
}

Result<std::string> CollectorView::revoke_host(const std::string& id) {
    RL_ASSIGN_OR_RETURN(std::string remark, parts_.enrollment->revoke(id));
    parts_.listener->recheck();
    parts_.evaluation->retire_host(id, "the host was revoked");
    return remark;
}

Result<void> CollectorView::rename_host(const std::string& id, const std::string& name) {
    const bool known = parts_.ingest->hosts().contains(id) ||
                       parts_.evaluation->series().series_count(id) > 0 ||
                       parts_.enrollment->enrolled_by(id) != "no";
    if (!known) return fail(Errc::not_found, "no host " + printable(id, 100));
    return parts_.enrollment->rename(id, name);
}

}  // namespace ridgeline::collector
