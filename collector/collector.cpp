#include "collector/collector.h"

#include <csignal>
#include <iostream>
#include <optional>
#include <random>

#include "collector/alert/alert_text.h"
#include "collector/aws/credentials.h"
#include "collector/aws/curl_client.h"
#include "collector/aws/endpoint.h"
#include "collector/evaluation.h"
#include "collector/http/server.h"
#include "collector/ingest/ingest.h"
#include "collector/ingest/zmq_listener.h"
#include "collector/log/log.h"
#include "collector/rule/rule_parser.h"
#include "collector/sink/cloudwatch_sink.h"
#include "collector/view.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"

namespace ridgeline::collector {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBatchesPerTurn = 64;
constexpr auto kCloudWatchPoll = 250ms;
constexpr auto kKeyFilesLook = 500ms;  // a host whose file goes is cut off within a second
constexpr auto kCheckpoint = 5s;
constexpr auto kHousekeeping = 60s;

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
    Collector(const CollectorConfig& config, RereadConfig reread, bool print_alerts)
        : config_(config), reread_(std::move(reread)), print_alerts_(print_alerts) {}

    Result<void> start();
    void run() { loop_.run(); }

  private:
    Result<void> open_storage();
    Result<void> open_cloudwatch();
    Result<void> open_ports();
    void start_timers();

    void on_message(const ZmqListener::Sender& sender, std::string_view bytes);
    void on_newcomer(const ZmqListener::Sender& sender, std::string_view bytes);
    void cut_flooding(const ZmqListener::Sender& sender);
    void send(const std::vector<Outgoing>& outgoing);
    void schedule_sync();
    void sync();
    void pump();
    void on_transition(const Transition& transition) const;
    void reload();
    void reload_limits(LimitsConfig limits);
    void reload_rules();

    CollectorConfig config_;
    RereadConfig reread_;
    bool print_alerts_;
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
    std::optional<CurlClient> http_client_;
    std::unique_ptr<CredentialsProvider> credentials_;
    std::unique_ptr<CloudWatchSink> cloudwatch_;
    std::size_t bad_rule_files_ = 0;
    ViewParts view_parts_;
    std::optional<CollectorView> view_;
    std::unique_ptr<HttpServer> http_;

    bool syncing_ = false;
    bool pumping_ = false;
    bool stopping_ = false;
    std::optional<net::Timer> sync_timer_, cloudwatch_timer_, key_files_timer_, checkpoint_timer_,
        housekeeping_timer_;
    std::optional<net::Signal> on_sigterm_, on_sigint_, on_sighup_;
};

Result<void> Collector::start() {
    RL_TRY(open_storage());
    RL_TRY(open_cloudwatch());
    RL_TRY(open_ports());
    start_timers();
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
    RL_ASSIGN_OR_RETURN(evaluation_,
                        Evaluation::open(*log_, series_options(config_), std::move(loaded.rules),
                                         std::move(opened.book), clock_,
                                         [this](const Transition& t) { on_transition(t); }));
    return {};
}

Result<void> Collector::open_cloudwatch() {
    if (!config_.cloudwatch.enabled) return {};
    const Environment environment = process_environment();
    CloudWatchTarget target;
    RL_ASSIGN_OR_RETURN(target.region, resolve_region(config_.cloudwatch.region, environment));
    RL_ASSIGN_OR_RETURN(target.endpoint, cloudwatch_endpoint(config_.cloudwatch.endpoint_url,
                                                             target.region, environment));
    http_client_.emplace(loop_);
    credentials_ = default_credentials_chain(environment, *http_client_, clock_);
    const LogOpener opener = [this](LogPosition from) -> Result<std::unique_ptr<LogReader>> {
        return log_->open_reader(from);
    };
    // The jitter of retries; nothing secret comes from it.
    auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
    const Rng rng = [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
    RL_ASSIGN_OR_RETURN(
        cloudwatch_,
        CloudWatchSink::open(config_.cloudwatch, target, config_.storage.path / "cloudwatch.cursor",
                             opener, *http_client_, *credentials_, clock_, rng));
    log_->hold("cloudwatch", cloudwatch_->needed_from());
    log::info("writing to CloudWatch",
              {{"endpoint", target.endpoint}, {"namespace", config_.cloudwatch.space}});
    return {};
}

Result<void> Collector::open_ports() {
    RL_ASSIGN_OR_RETURN(const net::LoadedKeys loaded,
                        net::load_or_create_key_file(config_.listen.key_file));
    const auto public_file = config_.listen.key_file.parent_path() / "collector.pub";
    if (loaded.created) {
        RL_TRY(net::save_public_key_file(public_file, loaded.keys.public_z85));
        log::notice("made a new key pair; copy the public key to every agent",
                    {{"file", public_file.string()}});
    }
    allowed_.emplace(config_.listen.agents_dir);
    RL_ASSIGN_OR_RETURN(enrollment_book_,
                        EnrollmentBook::open(config_.storage.path / "enrollment.db"));
    enrollment_.emplace(*allowed_, *enrollment_book_, clock_, loaded.keys.public_z85);
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
    view_parts_.cloudwatch = cloudwatch_.get();
    view_parts_.bad_rule_files = &bad_rule_files_;
    view_.emplace(view_parts_);
    RL_ASSIGN_OR_RETURN(const ListenAddress address, check_listen_address(config_.listen.http));
    RL_ASSIGN_OR_RETURN(http_, HttpServer::start(loop_, address, [this](const ApiRequest& request) {
                            return handle_request(*view_, *view_, request);
                        }));
    view_parts_.http = http_.get();
    log::info("listening", {{"agents", listener_->endpoint()},
                            {"http", address.host + ":" + std::to_string(http_->port())}});
    return {};
}

void Collector::start_timers() {
    sync_timer_.emplace(loop_, [this] { sync(); });
    key_files_timer_.emplace(loop_, [this] {
        if (allowed_->refresh()) listener_->recheck();
    });
    key_files_timer_->start(kKeyFilesLook, kKeyFilesLook);
    checkpoint_timer_.emplace(loop_, [this] { evaluation_->checkpoint(); });
    checkpoint_timer_->start(kCheckpoint, kCheckpoint);
    housekeeping_timer_.emplace(loop_, [this] {
        evaluation_->trim();
        log_->trim();
        enrollment_->tidy();
    });
    housekeeping_timer_->start(kHousekeeping, kHousekeeping);
    if (cloudwatch_) {
        cloudwatch_timer_.emplace(loop_, [this] {
            cloudwatch_->poll();
            log_->hold("cloudwatch", cloudwatch_->needed_from());
        });
        cloudwatch_timer_->start(kCloudWatchPoll, kCloudWatchPoll);
    }
    const auto stop = [this] {
        log::info("stopping");
        stopping_ = true;
        evaluation_->checkpoint();
        loop_.stop();
    };
    on_sigterm_.emplace(loop_, SIGTERM, stop);
    on_sigint_.emplace(loop_, SIGINT, stop);
    on_sighup_.emplace(loop_, SIGHUP, [this] { reload(); });
}

void Collector::on_message(const ZmqListener::Sender& sender, std::string_view bytes) {
    if (sender.admission.kind == Admission::Kind::token) return on_newcomer(sender, bytes);
    enrollment_->on_message_with(sender.admission.id, sender.key);
    std::vector<Outgoing> outgoing;
    ingest_->on_message(sender.connection, sender.admission.id, bytes, outgoing);
    send(outgoing);
    if (ingest_->flooding(sender.admission.id)) cut_flooding(sender);
    schedule_sync();
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
    const auto message = wire::decode(bytes, wire::Limits{});
    const auto* request = message ? std::get_if<wire::Enroll>(&*message) : nullptr;
    if (request == nullptr) return;
    listener_->send(sender.connection,
                    wire::encode(enrollment_->enroll(sender.admission.id, *request)));
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

void Collector::on_transition(const Transition& transition) const {
    const bool bad = transition.change == Change::fired || transition.change == Change::raised;
    log::write(bad ? log::Level::warning : log::Level::notice, "alert",
               {{"change", change_word(transition.change)},
                {"severity", to_string(transition.severity)},
                {"rule", transition.rule},
                {"host", transition.host},
                {"summary", transition.summary}});
    if (print_alerts_) std::cout << alert_line(transition) << std::endl;
}

void Collector::reload() {
    const auto fresh = reread_();
    if (!fresh) {
        log::error("the old configuration stays in force; mend it and reload");
        return;
    }
    reload_limits(fresh->limits);
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

void Collector::reload_rules() {
    LoadedRules loaded = load_rules(config_.rules.packaged, config_.rules.path);
    bad_rule_files_ = loaded.errors.size();
    if (!loaded.errors.empty()) {
        for (const ConfigError& error : loaded.errors)
            log::error("rule file refused", {{"error", to_string(error)}});
        log::error("the old rules stay in force; mend the files and reload",
                   {{"mistakes", loaded.errors.size()}});
        return;
    }
    log::info("rules reloaded", {{"rules", loaded.rules.size()}});
    evaluation_->replace_rules(std::move(loaded.rules));
}

}  // namespace

Result<void> run_collector(const CollectorConfig& config, const RereadConfig& reread,
                           bool print_alerts) {
    Collector collector(config, reread, print_alerts);
    RL_TRY(collector.start());
    collector.run();
    return {};
}

std::string check_rules(const CollectorConfig& config) {
    return to_string(load_rules(config.rules.packaged, config.rules.path).errors);
}

}  // namespace ridgeline::collector
