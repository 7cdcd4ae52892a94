#include "agent/agent.h"

#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <malloc.h>
#include <unistd.h>

#include "agent/facts/imds.h"
#include "agent/identity.h"
#include "agent/pipeline/batch.h"
#include "agent/pipeline/pipeline_source.h"
#include "agent/pipeline/self_limit.h"
#include "agent/pipeline/unset_clock.h"
#include "agent/pipeline/uplink.h"
#include "agent/pipeline/uplink_session.h"
#include "agent/resident_pages.h"
#include "agent/sampler.h"
#include "agent/source/catalogue.h"
#include "agent/source/host_root.h"
#include "agent/spool_keeper.h"
#include "agent/status.h"
#include "common/base/clock.h"
#include "common/base/service_notifier.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/log/log.h"
#include "common/net/curve_keys.h"
#include "common/net/uv.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLookMax{1000};  // how long a step of the wall clock may go unseen
constexpr std::chrono::seconds kUplinkRetry{30};
constexpr std::chrono::seconds kManagerLook{5};
constexpr std::chrono::seconds kSettled{30};   // after the start, everything has run once
constexpr std::chrono::hours kCodeRelease{1};  // rare work, such as a reload, maps code as well
constexpr milliseconds kFarewell{1000};        // for the last batch to be acknowledged
constexpr milliseconds kFarewellLook{20};

class Agent {
  public:
    Agent(const AgentConfig& config, std::filesystem::path config_file,
          ServiceNotifier service_manager)
        : config_(config),
          config_file_(std::move(config_file)),
          service_manager_(std::move(service_manager)),
          self_limiter_(config.self_limits) {}

    Result<void> start();
    void run() { loop_.run(); }
    bool worker_busy() const {
        return sampler_.worker_busy() || (keeper_ && keeper_->busy()) || ec2_busy_;
    }

  private:
    // In the order of the flow.
    void set_sources();
    void look();
    void look_at_clock();
    void add_round(std::size_t index, Source& source, const SampleInstant& at);
    void journal();
    void look_at_self();
    void tell_service_manager();
    void ask_ec2();
    void tell_identity();
    void seal();
    void spool_batch(const SealedBatch& batch);
    void start_uplink();
    Result<void> try_start_uplink();
    bool needs_new_uplink(const AgentConfig& next) const;

    AgentStatus status() const;
    AgentStatus take_status();
    std::string answer_status();
    void reload();
    void take_new_config();
    void stop();
    void say_farewell();
    std::size_t rounds_per_batch() const {
        return static_cast<std::size_t>(config_.batch / config_.interval) + 2;
    }

    AgentConfig config_;
    std::filesystem::path config_file_;
    ServiceNotifier service_manager_;
    MonoTime told_manager_;
    MonoTime said_alive_;
    SystemClock clock_;
    std::optional<Identity> identity_;
    std::string boot_id_;
    bool ec2_busy_ = false;
    WallTime started_ = clock_.wall_now();
    ClockWatch clock_watch_;

    net::Loop loop_;
    std::optional<HostRoot> root_;
    net::LoopMeter loop_meter_{loop_};
    Sampler sampler_{loop_, clock_,
                     [this](std::size_t index, Source& source, const SampleInstant& at) {
                         add_round(index, source, at);
                     },
                     [this] { journal(); }};
    std::optional<Batcher> batcher_;
    std::vector<std::pair<std::size_t, std::int64_t>>
        sampled_;  // source and stamp, journalled next

    SelfLimiter self_limiter_;
    SelfUsageReader self_usage_reader_;
    SelfUsage self_usage_;
    Lateness lateness_;
    bool series_frozen_ = false;
    std::chrono::nanoseconds loop_busy_{0};
    MonoTime self_looked_;
    MonoTime code_release_due_ = clock_.mono_now() + kSettled;

    std::optional<SpoolKeeper> keeper_;
    std::string head_error_;            // said already
    std::uint64_t spooled_schema_ = 0;  // of the last batch

    std::optional<net::KeyPair> keys_;
    std::string server_key_;
    std::optional<UplinkSession> session_;
    std::optional<Uplink> uplink_;
    std::string uplink_error_;
    MonoTime uplink_tried_;

    std::unique_ptr<StatusServer> status_server_;
    std::optional<net::Timer> look_timer_;
    std::optional<net::Timer> farewell_timer_;
    std::vector<std::unique_ptr<net::Signal>> signals_;
    bool stopping_ = false;
    MonoTime stop_by_;
};

Result<void> Agent::start() {
    RL_ASSIGN_OR_RETURN(root_, HostRoot::open(config_.root));
    boot_id_ = read_boot_id(*root_);
    keeper_.emplace(loop_, clock_,
                    SpoolKeeper::Options{config_.spool_path, config_.spool_bytes_max,
                                         config_.fsync_interval, boot_id_},
                    [this] {
                        if (uplink_) uplink_->on_spool_replaced();
                    });
    RL_TRY(keeper_->open());
    RL_ASSIGN_OR_RETURN(identity_,
                        Identity::establish(config_, *root_, config_.spool_path, true, clock_));
    set_sources();

    auto server =
        StatusServer::open(loop_, config_.status_socket, [this] { return answer_status(); });
    if (!server && server.error().code == Errc::unavailable) return fail(std::move(server).error());
    if (server) {
        status_server_ = std::move(*server);
    } else {
        log::warning("no status socket, going on", {{"error", server.error().context}});
    }
    for (const int number : {SIGTERM, SIGINT}) {
        signals_.push_back(std::make_unique<net::Signal>(loop_, number, [this] { stop(); }));
    }
    signals_.push_back(std::make_unique<net::Signal>(loop_, SIGHUP, [this] { reload(); }));

    log::info("sampling", {{"version", RIDGELINE_VERSION},
                           {"host_id", identity_->host_id()},
                           {"sources", sampler_.size()},
                           {"interval", format_duration(config_.interval)},
                           {"spooled_batches", keeper_->spool().stats().batches}});
    start_uplink();
    look_timer_.emplace(loop_, [this] { look(); });
    service_manager_.ready(one_line(status()));
    look();
    return {};
}

void Agent::set_sources() {
    auto sources = make_sources(config_.sources, *root_);
    // The pipeline's own figures go with the agent's.
    if (const ConfiguredSource* self = find_source(config_.sources, "agent"); self->enabled) {
        sources.push_back(
            {std::make_unique<PipelineSource>([this] { return take_status(); }), self->interval});
    }
    sampler_.set_sources(std::move(sources), config_.batch);
    sampler_.set_stretch(self_limiter_.factor());
    const BatchCounts counted = batcher_ ? batcher_->counts() : BatchCounts{};
    batcher_.emplace(rounds_per_batch(), counted);
}

// One turn: samples what is due, journals it, ends the batch on its edge, and looks after spool and
// uplink.
void Agent::look() {
    look_at_clock();
    const bool batch_ends = sampler_.turn();
    journal();
    if (batch_ends && !clock_watch_.unset()) seal();
    look_at_self();
    tell_service_manager();
    keeper_->look();
    ask_ec2();
    if (uplink_) {
        uplink_->on_tick();
    } else if (!config_.endpoints.empty() && clock_.mono_now() - uplink_tried_ >= kUplinkRetry) {
        start_uplink();
    }
    const auto wait = std::chrono::ceil<milliseconds>(sampler_.next_due() - clock_.mono_now());
    look_timer_->start(std::clamp(wait, milliseconds{0}, kLookMax));
}

// Samples that were stamped by a clock that was not set yet wait in the batch and the head journal,
// for as long as there is room, and are stamped anew when it is.
void Agent::look_at_clock() {
    switch (clock_watch_.look(clock_)) {
        case ClockWatch::News::none:
            return;
        case ClockWatch::News::is_unset:
            log::warning("the clock is not set; samples wait until it is");
            seal();  // it was, until now
            return;
        case ClockWatch::News::is_set:
            log::notice("the clock is set; waiting samples are stamped anew");
            batcher_->shift_stamps(clock_watch_.shift());
            seal();
            return;
    }
}

void Agent::add_round(std::size_t index, Source& source, const SampleInstant& at) {
    look_at_clock();  // else a round of the time after it was set would be moved with those before
    SampleInstant stamped = at;
    stamped.wall = clock_watch_.stamp_of(at.wall, at.mono, clock_);
    batcher_->begin_round(source.name(), stamped);
    source.emit(*batcher_);
    if (const auto sealed = batcher_->end_round(clock_.wall_now(), clock_.mono_now()))
        spool_batch(*sealed);
    if (const auto round = batcher_->last_round()) {
        keeper_->head().add(*round, batcher_->schema(), keeper_->spool().next_number(),
                            clock_watch_.unset());
        sampled_.emplace_back(index, round->stamp_ms);
    }
}

// Keeps the agent within its limits on itself.
void Agent::look_at_self() {
    const MonoTime now = clock_.mono_now();
    if (now - self_looked_ < kSelfLook) return;
    self_looked_ = now;
    lateness_ += sampler_.take_lateness();
    loop_busy_ = std::max(loop_busy_, loop_meter_.take_longest());
    tell_identity();  // the host may have a new name
    if (now >= code_release_due_) {
        release_unused_code();
        ::malloc_trim(0);  // telling a collector of the series took several times what they take
        code_release_due_ = now + kCodeRelease;
    }
    const auto usage = self_usage_reader_.read();
    if (!usage) return;  // the agent source says why
    self_usage_ = *usage;
    const bool changed = self_limiter_.look(self_usage_, now);
    const bool thaws =
        std::exchange(series_frozen_, self_limiter_.last_resort()) && !series_frozen_;
    batcher_->freeze_series(series_frozen_);
    if (thaws) {  // what was refused meanwhile is declared by new sources
        seal();
        set_sources();
    }
    if (self_limiter_.over_memory()) ::malloc_trim(0);
    if (!changed) return;
    sampler_.set_stretch(self_limiter_.factor());
    if (self_limiter_.factor() > 1) {
        log::warning("over its own limit, sampling less often",
                     {{"why", self_limiter_.reason()},
                      {"intervals_times", std::uint64_t{self_limiter_.factor()}}});
    } else {
        log::notice("within its own limits again, sampling as configured");
    }
}

// Only a loop that turns says that it is alive.
void Agent::tell_service_manager() {
    if (!service_manager_.listened_to() || stopping_) return;
    const MonoTime now = clock_.mono_now();
    const auto alive_interval = service_manager_.alive_interval();
    if (alive_interval.count() > 0 && now - said_alive_ >= alive_interval) {
        said_alive_ = now;
        service_manager_.alive();
    }
    if (now - told_manager_ < kManagerLook) return;
    told_manager_ = now;
    service_manager_.status(one_line(status()));
}

void Agent::ask_ec2() {
    if (ec2_busy_ || !identity_->ec2_due()) return;
    ec2_busy_ = true;
    const auto answer =
        std::make_shared<Result<Facts>>(fail(Errc::unavailable, "the question was not asked"));
    net::run_in_worker(
        loop_, [answer] { *answer = fetch_ec2_facts(imds_settings_from_environment()); },
        [this, answer] {
            ec2_busy_ = false;
            const std::string before = identity_->ec2_error();
            if (identity_->take(*answer)) {
                log::info("instance metadata known", {{"tags", answer->value().size()}});
                tell_identity();
            }
            const std::string now = identity_->ec2_error();
            if (!now.empty() && now != before)
                log::warning("no instance metadata, trying again", {{"error", now}});
        });
}

void Agent::tell_identity() {
    if (uplink_) uplink_->on_identity(identity_->tags(config_), identity_->facts(config_));
}

void Agent::journal() {
    // Every batch tries it anew; it is said once.
    if (auto written = keeper_->head().write();
        !written && written.error().context != head_error_) {
        head_error_ = written.error().context;
        log::warning("the head journal cannot be written, going on", {{"error", head_error_}});
    }
    for (const auto& [index, stamp_ms] : sampled_) {
        log::debug("sampled", {{"t", stamp_ms}, {"source", sampler_.name(index)}});
    }
    sampled_.clear();
}

void Agent::seal() {
    if (const auto sealed = batcher_->seal(clock_.wall_now(), clock_.mono_now()))
        spool_batch(*sealed);
}

void Agent::spool_batch(const SealedBatch& batch) {
    const std::uint64_t sequence = keeper_->append(batch);
    log::debug("sealed", {{"sequence", sequence},
                          {"samples", batch.body.sample_count},
                          {"bytes", batch.body.columns.size()}});
    // Describing a schema takes several times its size for a moment; malloc would keep it for good.
    if (batch.body.schema_hash != std::exchange(spooled_schema_, batch.body.schema_hash))
        ::malloc_trim(0);
    if (uplink_) uplink_->on_batch(batch.body.schema_hash);
}

void Agent::start_uplink() {
    if (config_.endpoints.empty()) {
        log::notice(
            "no collector configured: samples are spooled and wait. To send them, run `ridgeline "
            "token create` at your collector and `ridgeline-agent enroll TOKEN` here, then "
            "`systemctl reload ridgeline-agent`; `ridgeline-agent once` shows them now",
            {{"config", config_file_.string()}});
        return;
    }
    uplink_tried_ = clock_.mono_now();
    if (auto started = try_start_uplink(); !started) {
        if (uplink_error_ != started.error().context) {
            log::error("no uplink; samples are kept in the spool",
                       {{"error", started.error().context}});
        }
        uplink_error_ = started.error().context;
        return;
    }
    uplink_error_.clear();
}

Result<void> Agent::try_start_uplink() {
    RL_ASSIGN_OR_RETURN(net::LoadedKeys loaded, net::load_or_create_key_file(config_.key_file));
    keys_ = std::move(loaded.keys);
    if (loaded.created) {
        log::notice(
            "made this agent's key pair; enrol the host with ridgeline-agent enroll TOKEN, or put "
            "its public key into the collector's directory of enrolled keys",
            {{"file", identity_->host_id() + ".pub"}, {"public_key", keys_->public_z85}});
    }
    auto server_key = net::load_public_key_file(config_.server_key_file);
    if (!server_key) return fail(std::move(server_key).error().within("server_key_file"));
    server_key_ = *server_key;
    UplinkIdentity identity{identity_->host_id(), RIDGELINE_VERSION, identity_->boot_id(),
                            identity_->tags(config_), identity_->facts(config_)};
    session_.emplace(keeper_->spool(), std::move(identity), clock_, Rng{std::random_device{}()});
    uplink_.emplace(loop_, UplinkConfig{config_.endpoints, server_key_}, identity_->host_id(),
                    *keys_, *session_);
    uplink_->start(batcher_->schema_hash());
    return {};
}

// As it is sent: what was measured since the last time is not told twice.
AgentStatus Agent::take_status() {
    AgentStatus taken = status();
    lateness_ = {};
    loop_busy_ = {};
    return taken;
}

AgentStatus Agent::status() const {
    AgentStatus status;
    status.host_id = identity_->host_id();
    status.tags = identity_->tags(config_);
    status.ec2_error = identity_->ec2_error();
    status.version = RIDGELINE_VERSION;
    if (keys_) status.public_key = keys_->public_z85;
    status.started = started_;
    status.samples = batcher_->counts().samples;
    status.values_refused = batcher_->counts().values_refused;
    status.series_refused = batcher_->counts().series_refused;
    status.ticks_missed = sampler_.ticks_missed();
    status.wall_steps = sampler_.wall_steps();
    status.lateness = lateness_;
    status.loop_busy = loop_busy_;
    status.self = self_usage_;
    status.thinning = self_limiter_.factor();
    status.thinning_reason = self_limiter_.reason();
    status.sources = sampler_.status();
    status.spool = keeper_->spool().stats();
    status.uplink_state = "off";
    status.collector_configured = !config_.endpoints.empty();
    if (uplink_) {
        status.uplink_state = to_string(session_->state());
        status.uplink_endpoint = uplink_->endpoint();
        status.uplink = session_->stats();
        status.in_flight = session_->in_flight();
    } else {
        status.uplink.last_error =
            config_.endpoints.empty() ? "no collector configured" : uplink_error_;
    }
    return status;
}

std::string Agent::answer_status() {
    AgentStatus answer = status();
    if (const auto oldest = keeper_->spool().oldest()) {
        const auto body = keeper_->spool().read(*oldest);
        if (!body) return to_json(answer);
        if (const auto batch = wire::decode_body(*body, wire::Limits{}))
            answer.spool_oldest = from_unix_ms(batch->sealed_wall_ms);
    }
    return to_json(answer);
}

// Another collector, or other keys in the files. Files that cannot be read now leave it as it is.
bool Agent::needs_new_uplink(const AgentConfig& next) const {
    if (!uplink_) return false;
    if (next.endpoints != config_.endpoints) return true;
    const auto keys = net::load_secret_key_file(next.key_file);
    const auto server_key = net::load_public_key_file(next.server_key_file);
    return (keys && keys->public_z85 != keys_->public_z85) ||
           (server_key && *server_key != server_key_);
}

void Agent::reload() {
    service_manager_.reloading(clock_.mono_now());
    take_new_config();
    service_manager_.ready(one_line(status()));
}

void Agent::take_new_config() {
    LoadedAgentConfig loaded = load_agent_config(config_file_);
    if (!loaded.errors.empty()) {
        for (const ConfigError& error : loaded.errors) {
            log::error("the new configuration is refused, the old one stays in force",
                       {{"error", to_string(error)}});
        }
        return;
    }
    const AgentConfig& next = loaded.config;
    for (const std::string& key : keys_needing_restart(config_, next)) {
        log::warning("this change takes effect when the agent is restarted", {{"key", key}});
    }
    seal();
    const bool uplink_changed = needs_new_uplink(next);
    config_.endpoints = next.endpoints;
    config_.server_key_file = next.server_key_file;
    config_.key_file = next.key_file;
    config_.interval = next.interval;
    config_.batch = next.batch;
    config_.sources = next.sources;
    config_.fsync_interval = next.fsync_interval;
    keeper_->change_fsync_interval(next.fsync_interval);
    config_.log_level = next.log_level;
    config_.tags = next.tags;
    config_.self_limits = next.self_limits;
    self_limiter_.set_limits(next.self_limits);
    set_sources();
    log::set_level(config_.log_level);
    log::info("configuration reloaded", {{"sources", sampler_.size()}});
    if (uplink_ && uplink_changed) {
        log::notice("collector or key changed, connecting anew");
        uplink_.reset();
        session_.reset();
    }
    if (!uplink_) start_uplink();  // a key file may have come
    tell_identity();
    look();
}

// Whatever was sampled is on disk before anything else is tried; then a moment for the collector to
// take it.
void Agent::stop() {
    if (std::exchange(stopping_, true)) return;
    service_manager_.stopping("Putting what was sampled into the spool");
    look_timer_->stop();
    keeper_->prepare_to_stop();
    // With stamps of a clock that is not set no collector takes it: the next run finds it in the
    // head journal, and may know the time.
    if (!clock_watch_.unset()) seal();
    keeper_->flush();
    stop_by_ = clock_.mono_now() + kFarewell;
    farewell_timer_.emplace(loop_, [this] { say_farewell(); });
    farewell_timer_->start(milliseconds{0}, kFarewellLook);
}

void Agent::say_farewell() {
    const bool streaming = uplink_ && session_->state() == UplinkState::streaming;
    if (streaming && session_->in_flight() > 0 && clock_.mono_now() < stop_by_) return;
    log::info("stopped", {{"spooled_batches", keeper_->spool().stats().batches}});
    loop_.stop();
}

// glibc keeps a heap per thread and what was freed, for the next burst; an agent has no bursts
// worth the host's memory (mallopt(3)). Before any thread is started.
void keep_heap_small() {
    constexpr int kThresholdBytes = 64 * 1024;
    ::mallopt(M_ARENA_MAX, 1);
    ::mallopt(M_TRIM_THRESHOLD, kThresholdBytes);
    ::mallopt(M_MMAP_THRESHOLD, kThresholdBytes);
}

}  // namespace

Result<void> run_agent(const AgentConfig& config, const std::filesystem::path& config_file) {
    keep_heap_small();
    Agent agent(config, config_file, ServiceNotifier::from_environment());
    RL_TRY(agent.start());
    agent.run();
    if (agent.worker_busy()) {
        // A read that hangs in the kernel (a dead mount) cannot be waited for. All that matters is
        // on disk.
        std::_Exit(EXIT_SUCCESS);
    }
    return {};
}

}  // namespace ridgeline::agent
