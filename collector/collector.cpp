#include "collector/collector.h"

#include <algorithm>
#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "collector/alert/alert_desk.h"
#include "collector/alert/alert_text.h"
#include "collector/alert/inhibition.h"
#include "collector/aws/credentials_chain.h"
#include "collector/aws/curl_client.h"
#include "collector/aws/uv_program_runner.h"
#include "collector/cloudwatch/alarm_plan.h"
#include "collector/cloudwatch_service.h"
#include "collector/evaluation.h"
#include "collector/http/alert_api.h"
#include "collector/http/audit_api.h"
#include "collector/http/cloudwatch_api.h"
#include "collector/http/cost_api.h"
#include "collector/http/explain_api.h"
#include "collector/http/rule_api.h"
#include "collector/http/server.h"
#include "collector/http/silence_api.h"
#include "collector/ingest/ingest.h"
#include "collector/ingest/zmq_listener.h"
#include "collector/log/log.h"
#include "collector/notify/notifier.h"
#include "collector/rule/rule_parser.h"
#include "collector/view.h"
#include "common/base/service_notifier.h"
#include "common/base/text.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBatchesPerTurn = 64;
constexpr auto kKeyFilesLook = 500ms;  // a host whose file goes is cut off within a second
constexpr auto kNotifyLook = 500ms;
constexpr auto kCheckpoint = 5s;
constexpr auto kTick = 1s;
constexpr const char* kRuleFiles = "rule_files_refused";
constexpr const char* kHostTimes = "host_times_refused";
// In a row: one that was held up is no clock that is off.
constexpr std::uint64_t kBadTimesTold = 3;
constexpr auto kHousekeeping = 60s;
constexpr auto kStatusLook = 5s;
constexpr auto kDeskLook = 1s;  // a silence that ends is on its alerts' timelines within a second

IngestLimits ingest_limits(const LimitsConfig& config) {
    IngestLimits limits;
    limits.wire.message_bytes = config.message_bytes;
    limits.wire.series_per_schema = config.series_per_host;
    limits.quota = config.quota;
    limits.credit = config.credit;
    limits.hosts = config.hosts;
    limits.schemas_per_host = config.schemas_per_host;
    limits.future_max = config.future;
    limits.past_max = config.past;
    return limits;
}

ConnectionLimits connection_limits(const LimitsConfig& config) {
    // Agents say Hello as soon as the handshake is done; a collector that thousands come back to at
    // once is allowed to be slow.
    return {config.connections, config.connections_per_host, 4 * config.handshake_timeout};
}

SeriesStoreOptions series_options(const CollectorConfig& config) {
    SeriesStoreOptions options;
    options.window = config.storage.window;
    options.series_max = config.limits.series_total;
    // Those that have ended stay until they have left the window.
    options.series_per_host = 2 * std::size_t{config.limits.series_per_host};
    options.new_series_per_hour = config.limits.new_series_per_host_per_hour;
    return options;
}

class Collector {
  public:
    Collector(const CollectorConfig& config, RereadConfig reread, bool print_alerts,
              ServiceNotifier service_manager)
        : config_(config),
          reread_(std::move(reread)),
          print_alerts_(print_alerts),
          service_manager_(std::move(service_manager)) {}

    Result<void> start();
    void run() { loop_.run(); }

  private:
    Result<void> open_storage();
    Result<void> open_notifier(const Rng& jitter);
    Result<void> open_ports();
    void start_timers();
    void start_watchdog();
    std::string one_line() const;

    void on_message(const ZmqListener::Sender& sender, std::string_view bytes);
    void on_newcomer(const ZmqListener::Sender& sender, std::string_view bytes);
    void look_at_times(const std::string& host);
    void cut_flooding(const ZmqListener::Sender& sender);
    void send(const std::vector<Outgoing>& outgoing);
    void schedule_sync();
    void sync();
    void pump();
    void on_transition(const Transition& transition);
    void notify();
    ApiResponse answer(const ApiRequest& request);
    ControlModel control_model();
    void audit(const Actor& actor, const std::string& action, const std::string& subject,
               const std::string& before, const std::string& after);
    AlertDesk::HostTags host_tags() const;
    void reload();
    void take_new_config();
    void reload_limits(LimitsConfig limits);
    void reload_cloudwatch(const CollectorConfig& fresh);
    void reload_rules();
    void tell_of_rule_files(const LoadedRules& loaded);
    void retire_unenrolled();

    CollectorConfig config_;
    RereadConfig reread_;
    bool print_alerts_;
    ServiceNotifier service_manager_;
    SystemClock clock_;
    net::Loop loop_;
    net::ZmqContext zmq_;

    // In the order of the flow.
    std::optional<AllowList> allowed_;
    std::unique_ptr<EnrollmentBook> enrollment_book_;
    std::optional<Enrollment> enrollment_;
    std::unique_ptr<ZmqListener> listener_;
    std::unique_ptr<Storage> log_storage_;
    std::unique_ptr<Log> log_;
    std::optional<Ingest> ingest_;
    std::unique_ptr<Evaluation> evaluation_;
    std::unique_ptr<AlertDesk> desk_;
    std::vector<Rule> disabled_rules_;
    std::optional<CurlClient> http_client_;
    std::optional<CurlClient> aws_client_;  // may trust other certificates
    std::optional<UvProgramRunner> programs_;
    std::unique_ptr<CredentialsProvider> credentials_;
    std::optional<CloudWatchService> cloudwatch_;
    std::optional<Inhibition> inhibition_;
    Suppressors suppressors_;
    std::optional<NetworkSender> sender_;
    std::optional<Notifier> notifier_;
    std::map<std::string, bool> times_refused_;  // by host, as it was told last in this run
    std::size_t bad_rule_files_ = 0;
    ViewParts view_parts_;
    std::optional<CollectorView> view_;
    std::unique_ptr<HttpServer> http_;

    bool syncing_ = false;
    bool pumping_ = false;
    bool stopping_ = false;
    bool notifying_soon_ = false;
    std::optional<net::Timer> sync_timer_, key_files_timer_, checkpoint_timer_, housekeeping_timer_,
        notify_timer_, tick_timer_, status_timer_, watchdog_timer_, desk_timer_;
    std::optional<net::Signal> on_sigterm_, on_sigint_, on_sighup_;
};

Result<void> Collector::start() {
    RL_TRY(open_storage());
    http_client_.emplace(loop_);
    const Environment environment = aws_environment(config_.aws, process_environment());
    aws_client_.emplace(loop_, CurlClientOptions{aws_ca_bundle(environment)});
    programs_.emplace(loop_);
    // The jitter of retries; nothing secret comes from it.
    const auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
    const Rng jitter = [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
    credentials_ = default_credentials_chain(
        {.environment = environment,
         .profile_named = !config_.aws.profile.empty(),
         .region = [this] { return cloudwatch_ ? cloudwatch_->region() : std::string(); },
         .http = *aws_client_,
         .programs = *programs_,
         .clock = clock_,
         .jitter = jitter});
    cloudwatch_.emplace(
        config_,
        CloudWatchService::Peers{loop_, *aws_client_, *credentials_, *log_, *evaluation_, clock_,
                                 jitter, bad_rule_files_},
        [this] { schedule_sync(); },
        [this] {
            view_parts_.cloudwatch = cloudwatch_->sink();
            view_parts_.aws_metrics = cloudwatch_->metrics_source();
        });
    RL_TRY(cloudwatch_->open());
    RL_TRY(open_notifier(jitter));
    RL_TRY(open_ports());
    start_timers();
    start_watchdog();
    pump();
    return {};
}

Result<void> Collector::open_storage() {
    LogOptions log_options;
    log_options.max_size_bytes = config_.storage.max_size_bytes;
    // A small cap needs small segments: whole ones are dropped.
    log_options.segment_bytes =
        std::clamp<std::uint64_t>(config_.storage.max_size_bytes / 16, 1U << 20, 64U << 20);
    log_options.segment_bytes_max = config_.storage.max_size_bytes / 16;
    log_options.window = config_.storage.window;
    RL_ASSIGN_OR_RETURN(log_storage_, open_directory_storage(config_.storage.path / "log"));
    RL_ASSIGN_OR_RETURN(log_, Log::open(*log_storage_, log_options, clock_));
    if (log_->stats().torn_bytes > 0) {
        log::warning("cut a torn tail off the log", {{"bytes", log_->stats().torn_bytes}});
    }

    ingest_.emplace(*log_, clock_, ingest_limits(config_.limits),
                    [this](auto host, const wire::KeyChange& change) {
                        return enrollment_->change_key(host, change);
                    });

    RL_ASSIGN_OR_RETURN(auto opened,
                        AlertBook::open(config_.storage.path / "state.db", clock_.wall_now()));
    if (!opened.moved_aside.empty()) {
        log::error("the alert database was damaged; it was moved aside and a new one begun",
                   {{"file", opened.moved_aside}});
    }
    LoadedRules loaded = load_rules(config_.rules.packaged, config_.rules.path);
    for (const ConfigError& error : loaded.errors)
        log::error("rule file not used", {{"error", to_string(error)}});
    bad_rule_files_ = loaded.errors.size();
    log::info("rules loaded", {{"rules", loaded.rules.size()}});
    disabled_rules_ = loaded.disabled;
    EvaluationOptions options;
    options.limits.identities_per_rule = config_.rules.identities_per_rule;
    options.startup_grace = config_.rules.startup_grace;
    options.rules_incomplete = !loaded.errors.empty();
    RL_ASSIGN_OR_RETURN(
        evaluation_,
        Evaluation::open(
            *log_, series_options(config_), std::move(loaded.rules), std::move(opened.book), clock_,
            [this](const Transition& t) { on_transition(t); }, options));
    tell_of_rule_files(loaded);
    RL_ASSIGN_OR_RETURN(
        desk_, AlertDesk::open(evaluation_->book(), clock_, [this] { return host_tags(); }));
    return {};
}

Result<void> Collector::open_notifier(const Rng& jitter) {
    RL_ASSIGN_OR_RETURN(auto opened,
                        Outbox::open(config_.storage.path / "notify.db", config_.notify, jitter,
                                     to_unix_ms(clock_.wall_now())));
    if (!opened.moved_aside.empty()) {
        log::error(
            "the outbox of notifications was damaged; it was moved aside and a new one begun",
            {{"file", opened.moved_aside}});
    }
    if (opened.is_new) {
        RL_ASSIGN_OR_RETURN(const std::int64_t newest, evaluation_->book().newest_transition());
        RL_TRY(opened.outbox.start_after(newest));
    }
    inhibition_.emplace(evaluation_->engine());
    suppressors_.add(*inhibition_);
    suppressors_.add(*desk_);
    sender_.emplace(loop_, *http_client_, *aws_client_, *credentials_, clock_);
    notifier_.emplace(std::move(opened.outbox), evaluation_->book(), *sender_, suppressors_, clock_,
                      [this](const std::string& host) {
                          const auto known = ingest_->hosts().find(host);
                          return known == ingest_->hosts().end()
                                     ? std::map<std::string, std::string>{}
                                     : known->second.info.tags;
                      });
    evaluation_->on_unstored([this](const Transition& t) { notifier_->tell_unstored(t); });
    if (config_.notify.targets.empty())
        log::notice("nobody is told of alerts: there is no [target.NAME] in the configuration");
    return {};
}

Result<void> Collector::open_ports() {
    RL_ASSIGN_OR_RETURN(const net::LoadedKeys loaded,
                        net::load_or_create_key_file(config_.listen.key_file));
    const auto public_file = config_.listen.key_file.parent_path() / "collector.pub";
    if (loaded.created) {
        RL_TRY(net::save_public_key_file(public_file, loaded.keys.public_z85));
        log::notice(
            "made this collector's key pair. To enrol a host, run `ridgeline token create "
            "--address tcp://THIS_HOST:7171` here and `ridgeline-agent enroll TOKEN` there",
            {{"public_key_file", public_file.string()}});
    }
    allowed_.emplace(config_.listen.agents_dir);
    RL_ASSIGN_OR_RETURN(enrollment_book_,
                        EnrollmentBook::open(config_.storage.path / "enrollment.db"));
    enrollment_.emplace(*allowed_, *enrollment_book_, clock_, loaded.keys.public_z85);
    cloudwatch_->control().known_by(loaded.keys.public_z85);
    cloudwatch_->control().on_change([this](const Actor& actor, const ControlJob& job) {
        const auto changed = std::count_if(job.plan.changes.begin(), job.plan.changes.end(),
                                           [](const ControlChange& c) { return c.done; });
        audit(actor, job.destroys ? "cloudwatch.destroy" : "cloudwatch.apply",
              "alarms and dashboards", "",
              std::to_string(changed) + " changed, " + std::to_string(job.plan.to_do()) +
                  " not done");
    });
    const ZmqListener::Options options{config_.listen.agents, config_.limits.message_bytes,
                                       config_.limits.handshake_timeout,
                                       connection_limits(config_.limits)};
    RL_ASSIGN_OR_RETURN(listener_,
                        ZmqListener::open(
                            loop_, zmq_, options, loaded.keys, clock_,
                            [this](std::string_view key) { return enrollment_->admit(key); },
                            [this](const ZmqListener::Sender& sender, std::string_view bytes) {
                                on_message(sender, bytes);
                            }));
    view_parts_.clock = &clock_;
    view_parts_.log = log_.get();
    view_parts_.ingest = &*ingest_;
    view_parts_.evaluation = evaluation_.get();
    view_parts_.listener = listener_.get();
    view_parts_.enrollment = &*enrollment_;
    view_parts_.listen = &config_.listen;
    view_parts_.cloudwatch = cloudwatch_->sink();
    view_parts_.notifier = &*notifier_;
    view_parts_.aws_metrics = cloudwatch_->metrics_source();
    view_parts_.bad_rule_files = &bad_rule_files_;
    view_.emplace(view_parts_);
    RL_ASSIGN_OR_RETURN(ListenAddress address, check_listen_address(config_.listen.http));
    address.names = config_.listen.http_names;
    RL_ASSIGN_OR_RETURN(http_, HttpServer::start(loop_, address, [this](const ApiRequest& request) {
                            return answer(request);
                        }));
    view_parts_.http = http_.get();
    log::info("listening", {{"agents", listener_->endpoint()},
                            {"http", address.host + ":" + std::to_string(http_->port())}});
    return {};
}

void Collector::start_timers() {
    sync_timer_.emplace(loop_, [this] { sync(); });
    key_files_timer_.emplace(loop_, [this] {
        if (!allowed_->refresh()) return;
        listener_->recheck();
        retire_unenrolled();
    });
    key_files_timer_->start(kKeyFilesLook, kKeyFilesLook);
    checkpoint_timer_.emplace(loop_, [this] { evaluation_->checkpoint(); });
    checkpoint_timer_->start(kCheckpoint, kCheckpoint);
    tick_timer_.emplace(loop_, [this] { evaluation_->tick(); });
    tick_timer_->start(kTick, kTick);
    retire_unenrolled();
    desk_timer_.emplace(loop_, [this] {
        if (const auto done = desk_->tick(); !done) {
            static log::RateLimit limit(6);
            limit.write(log::Level::error, "alerts cannot be stored",
                        {{"error", done.error().context}});
        }
    });
    desk_timer_->start(kDeskLook, kDeskLook);
    housekeeping_timer_.emplace(loop_, [this] {
        evaluation_->trim();
        log_->trim();
        enrollment_->tidy();
    });
    housekeeping_timer_->start(kHousekeeping, kHousekeeping);
    notify_timer_.emplace(loop_, [this] { notify(); });
    notify_timer_->start(kNotifyLook, kNotifyLook);
    cloudwatch_->start_timers();
    const auto stop = [this] {
        if (stopping_) return loop_.stop();  // asked twice
        log::info("stopping");
        service_manager_.stopping("Committing what was judged");
        stopping_ = true;
        evaluation_->checkpoint();
        cloudwatch_->save();
        cloudwatch_->finish([this] { loop_.stop(); });
    };
    on_sigterm_.emplace(loop_, SIGTERM, stop);
    on_sigint_.emplace(loop_, SIGINT, stop);
    on_sighup_.emplace(loop_, SIGHUP, [this] { reload(); });
}

// Only a loop that turns says that it is alive.
void Collector::start_watchdog() {
    service_manager_.ready(one_line());
    if (!service_manager_.listened_to()) return;
    status_timer_.emplace(loop_, [this] { service_manager_.status(one_line()); });
    status_timer_->start(kStatusLook, kStatusLook);
    const auto interval = service_manager_.alive_interval();
    if (interval.count() == 0) return;
    watchdog_timer_.emplace(loop_, [this] { service_manager_.alive(); });
    watchdog_timer_->start(interval, interval);
}

// For `systemctl status`.
std::string Collector::one_line() const {
    const std::string ports =
        "agents on " + listener_->endpoint() + ", HTTP on port " + std::to_string(http_->port());
    const std::size_t hosts = ingest_->hosts().size();
    if (hosts == 0 && enrollment_->book().hosts().empty() && evaluation_->series().hosts().empty())
        return "No host yet: run `ridgeline token create` here and what it prints on a host; " +
               ports;
    const std::string replay = evaluation_->caught_up() ? "" : "Reading the log again; ";
    return replay + std::to_string(listener_->connections().size()) + " connections, " +
           std::to_string(hosts) + " hosts heard of since the start; " + ports;
}

void Collector::on_message(const ZmqListener::Sender& sender, std::string_view bytes) {
    if (sender.admission.kind == Admission::Kind::token) return on_newcomer(sender, bytes);
    enrollment_->on_message_with(sender.admission.id, sender.key);
    evaluation_->host_alive(sender.admission.id);
    std::vector<Outgoing> outgoing;
    ingest_->on_message(sender.connection, sender.admission.id, bytes, outgoing);
    send(outgoing);
    look_at_times(sender.admission.id);
    if (ingest_->flooding(sender.admission.id)) cut_flooding(sender);
    schedule_sync();
}

// A host whose clock is that wrong speaks, so it is not silent; but nothing of it is judged.
void Collector::look_at_times(const std::string& host) {
    const auto found = ingest_->hosts().find(host);
    if (found == ingest_->hosts().end()) return;
    const HostState& state = found->second;
    const bool refused = state.bad_times >= kBadTimesTold;
    if (!refused && (state.bad_times > 0 || state.live_batches == 0)) return;
    const auto known = times_refused_.find(host);
    if (known != times_refused_.end() && known->second == refused) return;
    times_refused_[host] = refused;
    if (refused) {
        evaluation_->raise(
            kHostTimes, host, Severity::p2,
            "what " + host +
                " samples is refused, its times are further off than [limits] future "
                "and past allow; set its clock");
    } else {
        evaluation_->clear(kHostTimes, host);
    }
}

void Collector::cut_flooding(const ZmqListener::Sender& sender) {
    static log::RateLimit limit(6);
    limit.write(log::Level::warning, "a host floods; its connection is closed",
                {{"host", sender.admission.id}});
    listener_->cut(sender.connection, CutReason::flood);
}

// Who holds a token may enrol, and is not heard in anything else.
void Collector::on_newcomer(const ZmqListener::Sender& sender, std::string_view bytes) {
    if (!ingest_->listens_to('\n' + sender.admission.id, bytes.size())) return cut_flooding(sender);
    if (const auto reply = enrollment_->on_newcomer(sender.admission.id, bytes))
        listener_->send(sender.connection, wire::encode(*reply));
}

void Collector::send(const std::vector<Outgoing>& outgoing) {
    for (const Outgoing& reply : outgoing)
        listener_->send(reply.connection, wire::encode(reply.message));
}

// The first batch after a sync starts the timer; what comes until it fires shares the next fsync.
void Collector::schedule_sync() {
    if (syncing_ || !log_->needs_sync()) return;
    syncing_ = true;
    sync_timer_->start(config_.storage.sync_interval);
}

void Collector::sync() {
    struct Work {
        Log::SyncTicket ticket;
        Result<void> result;
    };
    auto work = std::make_shared<Work>();
    work->ticket = log_->begin_sync();
    cloudwatch_->on_sync_begun();
    net::run_in_worker(
        loop_, [work] { work->result = work->ticket.run(); },
        [this, work] {
            if (stopping_) return;
            log_->finish_sync(work->ticket, work->result);
            std::vector<Outgoing> outgoing;
            if (!work->result) {
                log::error("fsync of the log failed; agents keep their samples and send them again",
                           {{"error", work->result.error().context}});
                ingest_->on_sync_failed();
                cloudwatch_->on_sync_failed();
            } else {
                cloudwatch_->on_durable();
            }
            ingest_->on_durable(log_->durable_position(), outgoing);
            send(outgoing);
            syncing_ = false;
            schedule_sync();
            pump();
        });
}

// Reads what is durable in bounded turns, so that a long replay does not keep agents waiting.
void Collector::pump() {
    if (pumping_ || stopping_) return;
    const auto more = evaluation_->pump(kBatchesPerTurn);
    if (!more) {
        static log::RateLimit limit(6);
        limit.write(log::Level::error, "the log cannot be read", {{"error", more.error().context}});
        return;
    }
    if (!*more) return;
    pumping_ = true;
    loop_.defer([this] {
        pumping_ = false;
        pump();
    });
}

// Not before the log has been read: until then it is not known what else fires.
void Collector::notify() {
    notifier_->poll(evaluation_->caught_up());
}

void Collector::on_transition(const Transition& transition) {
    const bool bad = transition.change == Change::fired || transition.change == Change::raised;
    log::write(bad ? log::Level::warning : log::Level::notice, "alert",
               {{"change", change_word(transition.change)},
                {"severity", to_string(transition.severity)},
                {"rule", transition.rule},
                {"host", transition.host},
                {"summary", transition.summary}});
    if (print_alerts_) std::cout << alert_line(transition) << std::endl;
    if (transition.rule == kNotStoredRule && transition.change == Change::resolved && notifier_)
        notifier_->stored_again();
    // Whoever is to be told at once is; the timer is for what waits.
    if (std::exchange(notifying_soon_, true)) return;
    loop_.defer([this] {
        notifying_soon_ = false;
        if (!stopping_) notify();
    });
}

ApiResponse Collector::answer(const ApiRequest& request) {
    const RuleEngine& engine = evaluation_->engine();
    if (auto response = handle_alerts(*desk_, engine, request)) return std::move(*response);
    if (auto response = handle_silences(*desk_, request)) return std::move(*response);
    if (auto response = handle_audit(*desk_, request)) return std::move(*response);
    if (auto response = handle_cost([this] { return cloudwatch_->cost(); }, request))
        return std::move(*response);
    if (auto response = handle_cloudwatch(control_model(), request)) return std::move(*response);
    if (auto response = handle_rules(evaluation_->book(), engine, disabled_rules_, request))
        return std::move(*response);
    if (auto response = handle_explain(
            {engine, evaluation_->series(), disabled_rules_, to_unix_ms(clock_.wall_now())},
            request))
        return std::move(*response);
    constexpr std::string_view kHost = "/api/v1/hosts/";
    constexpr std::string_view kRename = "/rename";
    std::string before;
    if (request.path.starts_with(kHost) && request.path.ends_with(kRename) &&
        request.path.size() > kHost.size() + kRename.size()) {
        before = enrollment_->book().name_of(
            request.path.substr(kHost.size(), request.path.size() - kHost.size() - kRename.size()));
    }
    ApiResponse response = handle_request(*view_, *view_, request);
    if (const auto change = audited_change(request, response)) {
        audit({printable(request.author, AlertDesk::kAuthorBytesMax), request.address},
              change->action, change->subject, before, change->after);
    }
    return response;
}

ControlModel Collector::control_model() {
    ControlModel model;
    model.start = [this](bool destroys, bool dry_run, const ApiRequest& by) {
        return cloudwatch_->control().start(
            destroys, dry_run, {printable(by.author, AlertDesk::kAuthorBytesMax), by.address});
    };
    model.job = [this] { return cloudwatch_->control().job(); };
    model.prices = [this] { return cloudwatch_->cost().prices; };
    return model;
}

// What is done is done: that it cannot be written down is an error of its own.
void Collector::audit(const Actor& actor, const std::string& action, const std::string& subject,
                      const std::string& before, const std::string& after) {
    const auto written = desk_->audit(actor, action, subject, before, after);
    if (written) return;
    log::error("the audit log cannot be written", {{"author", actor.author},
                                                   {"action", action},
                                                   {"subject", subject},
                                                   {"error", written.error().context}});
}

AlertDesk::HostTags Collector::host_tags() const {
    AlertDesk::HostTags hosts;
    for (const auto& [id, known] : evaluation_->engine().known_hosts().all())
        hosts[id] = known.record().tags;
    return hosts;
}

void Collector::reload() {
    service_manager_.reloading(clock_.mono_now());
    take_new_config();
    service_manager_.ready(one_line());
}

void Collector::take_new_config() {
    const auto fresh = reread_();
    if (!fresh) {
        log::error("the old configuration stays in force; mend it and reload");
        return;
    }
    reload_limits(fresh->limits);
    reload_cloudwatch(*fresh);
    config_.notify = fresh->notify;
    notifier_->change(fresh->notify);
    reload_rules();
}

void Collector::reload_limits(LimitsConfig limits) {
    if (limits.message_bytes != config_.limits.message_bytes ||
        limits.handshake_timeout != config_.limits.handshake_timeout) {
        log::notice("message_size and handshake_timeout change with the next start");
        limits.message_bytes = config_.limits.message_bytes;
        limits.handshake_timeout = config_.limits.handshake_timeout;
    }
    config_.limits = limits;
    ingest_->change(ingest_limits(limits));
    listener_->change(connection_limits(limits));
    evaluation_->series().change(series_options(config_));
    log::info("limits reloaded");
}

void Collector::reload_cloudwatch(const CollectorConfig& fresh) {
    const CollectorConfig before = config_;
    config_.cloudwatch_control = fresh.cloudwatch_control;
    config_.aws_metrics = fresh.aws_metrics;
    config_.cloudwatch.budget_usd_per_month = fresh.cloudwatch.budget_usd_per_month;
    config_.cloudwatch.prices = fresh.cloudwatch.prices;
    if (config_.cloudwatch != fresh.cloudwatch)
        log::notice("of [cloudwatch], all but budget and prices changes with the next start");
    if (const auto reloaded = cloudwatch_->reload(before); !reloaded) {
        config_.cloudwatch.budget_usd_per_month = before.cloudwatch.budget_usd_per_month;
        config_.cloudwatch.prices = before.cloudwatch.prices;
        log::error("CloudWatch's budget stays as it was; mend it and reload",
                   {{"error", reloaded.error().context}});
    }
    view_parts_.aws_metrics = cloudwatch_->metrics_source();
    retire_unenrolled();
}

void Collector::reload_rules() {
    LoadedRules loaded = load_rules(config_.rules.packaged, config_.rules.path);
    bad_rule_files_ = loaded.errors.size();
    if (!loaded.errors.empty()) {
        for (const ConfigError& error : loaded.errors)
            log::error("rule file refused", {{"error", to_string(error)}});
        log::error("of these files the old rules stay in force; mend them and reload",
                   {{"mistakes", loaded.errors.size()}});
        audit({"SIGHUP", ""}, "rules.refused", config_.rules.path.string(), "",
              to_string(loaded.errors.front()));
    }
    keep_rules_of_bad_files(loaded, evaluation_->engine().rules(), disabled_rules_,
                            config_.rules.path);
    log::info("rules reloaded", {{"rules", loaded.rules.size()}});
    audit({"SIGHUP", ""}, "rules.reload", config_.rules.path.string(),
          std::to_string(evaluation_->engine().rules().size()) + " rules",
          std::to_string(loaded.rules.size()) + " rules");
    disabled_rules_ = loaded.disabled;
    evaluation_->replace_rules(loaded.rules, !loaded.errors.empty());
    tell_of_rule_files(loaded);
}

void Collector::tell_of_rule_files(const LoadedRules& loaded) {
    // One alert for all of them: the first mistake, and how many there are.
    if (loaded.errors.empty()) return evaluation_->clear(kRuleFiles, "");
    evaluation_->raise(
        kRuleFiles, "", Severity::p2,
        std::to_string(loaded.errors.size()) +
            " mistakes in rule files, which are not used: " + to_string(loaded.errors.front()));
}

// Hosts that may not send any more are not expected to.
void Collector::retire_unenrolled() {
    std::vector<std::string> gone;
    const auto configured = [this](const std::string& id) {
        return std::any_of(config_.aws_metrics.begin(), config_.aws_metrics.end(),
                           [&](const AwsMetricsConfig& entry) { return entry.host_id() == id; });
    };
    for (const auto& [id, host] : evaluation_->engine().known_hosts().all()) {
        const bool pseudo = id.starts_with(AwsMetricsConfig::kHostPrefix);
        if (pseudo ? !configured(id) : enrollment_->enrolled_by(id) == "no") gone.push_back(id);
    }
    // A directory that cannot be seen for a moment is no reason to forget the fleet.
    if (gone.size() > 1 && allowed_->size() == 0) {
        log::warning("no host has a key file any more; they stay expected until they are revoked",
                     {{"directory", config_.listen.agents_dir.string()}, {"hosts", gone.size()}});
        return;
    }
    for (const std::string& id : gone) {
        evaluation_->retire_host(id, id.starts_with(AwsMetricsConfig::kHostPrefix)
                                         ? "[[aws_metrics]] does not name it any more"
                                         : "the host is not enrolled any more");
    }
    // Also of hosts of which nothing was ever accepted: no rule knows them.
    for (const std::string& id : evaluation_->raised(kHostTimes)) {
        if (enrollment_->enrolled_by(id) == "no") evaluation_->clear(kHostTimes, id);
    }
    std::erase_if(times_refused_,
                  [&](const auto& entry) { return enrollment_->enrolled_by(entry.first) == "no"; });
}

}  // namespace

Result<void> run_collector(const CollectorConfig& config, const RereadConfig& reread,
                           bool print_alerts) {
    Collector collector(config, reread, print_alerts, ServiceNotifier::from_environment());
    RL_TRY(collector.start());
    collector.run();
    return {};
}

std::string check_rules(const CollectorConfig& config) {
    const LoadedRules loaded = load_rules(config.rules.packaged, config.rules.path);
    std::string problems = to_string(loaded.errors);
    for (const Rule& rule : loaded.rules) {
        if (rule.cloudwatch_alarm.empty()) continue;
        if (const std::string why =
                rule.heartbeat ? "" : not_written(config.cloudwatch, rule.metric->name);
            !why.empty())
            problems += rule.cloudwatch_alarm + ": cloudwatch_alarm of rule \"" + rule.id +
                        "\": " + why + '\n';
    }
    return problems;
}

}  // namespace ridgeline::collector
