#include "tests/simulation/sim_collector.h"

#include <utility>

#include "common/wire/messages.h"

namespace ridgeline::sim {

namespace {

constexpr Millis kRestartMs = 5'000;  // as systemd would

std::size_t agent_of(std::string_view host) {
    return static_cast<std::size_t>(host.back() - '0');
}

}  // namespace

SimCollector::SimCollector(World& world, Ledger& ledger, std::size_t index,
                           CollectorOptions options)
    : world_(&world),
      ledger_(&ledger),
      index_(index),
      name_("collector-" + std::to_string(index)),
      options_(options),
      clock_(world),
      disk_(world, name_) {}

void SimCollector::event(const char* what, const std::function<void()>& run) {
    try {
        run();
    } catch (const Killed& killed) {
        died(killed.power);
    } catch (const Violation& violation) {
        throw Violation(name_ + ", " + what + ": " + violation.what());
    }
}

void SimCollector::later(Millis delay, const char* what, std::function<void()> run) {
    world_->after(delay, [this, life = life_, what, run = std::move(run)] {
        if (life == life_ && run_) event(what, run);
    });
}

void SimCollector::start() {
    if (run_) return;
    if (away_until_ > world_->now()) return start_in(kRestartMs);
    world_->say(name_, "starts");
    event("start", [this] { boot(); });
    if (!run_) start_in(kRestartMs);
}

void SimCollector::start_in(Millis delay) {
    if (std::exchange(start_due_, true)) return;
    world_->after(delay, [this] {
        start_due_ = false;
        start();
    });
}

void SimCollector::boot() {
    ++life_;
    auto log = collector::Log::open(disk_, options_.log, clock_);
    if (!log) {
        world_->say(name_, "cannot start: ", log.error().context);
        return;
    }
    run_.emplace();
    run_->log = std::move(*log);
    run_->ingest.emplace(*run_->log, clock_, options_.limits);
    if (read_to_ > run_->log->end_position())
        throw Violation("the log ends before what its reader has read");
    run_->reader = run_->log->open_reader(read_to_);
    world_->say(name_, "is up: log ", run_->log->oldest_position(), "..", run_->log->end_position(),
                ", cut off ", run_->log->stats().torn_bytes);
    pump();
}

void SimCollector::on_message(std::string_view connection, std::size_t agent,
                              std::string_view bytes) {
    if (!run_) return;
    event("message", [&] {
        std::vector<collector::Outgoing> outgoing;
        run_->ingest->on_message(connection, "agent-" + std::to_string(agent), bytes, outgoing);
        send(outgoing);
        schedule_sync();
    });
}

void SimCollector::send(const std::vector<collector::Outgoing>& outgoing) {
    for (const collector::Outgoing& reply : outgoing) {
        if (const auto* ack = std::get_if<wire::Ack>(&reply.message)) {
            for (const std::uint64_t sequence : ack->sequences)
                world_->say(name_, reply.connection, ": ack ", sequence);
        } else if (const auto* reject = std::get_if<wire::Reject>(&reply.message)) {
            world_->say(name_, reply.connection, ": reject ", reject->sequence, ", ",
                        reject->detail);
        } else if (const auto* welcome = std::get_if<wire::Welcome>(&reply.message)) {
            world_->say(name_, reply.connection, ": welcome, durable up to ",
                        welcome->durable.empty() ? 0 : welcome->durable.back().last);
        }
        network_->reply(reply.connection, wire::encode(reply.message));
    }
}

void SimCollector::schedule_sync() {
    if (run_->syncing || !run_->log->needs_sync()) return;
    run_->syncing = true;
    later(options_.sync_interval_ms, "sync", [this] { sync(); });
}

void SimCollector::sync() {
    auto ticket = std::make_shared<collector::Log::SyncTicket>(run_->log->begin_sync());
    const auto result = std::make_shared<Result<void>>();
    // On a worker thread, while the loop goes on.
    later(world_->between(0, options_.sync_takes_ms_max), "sync", [this, ticket, result] {
        *result = ticket->run();
        later(world_->between(0, options_.sync_takes_ms_max), "synced", [this, ticket, result] {
            run_->log->finish_sync(*ticket, *result);
            world_->say(name_, "log durable up to ", run_->log->durable_position(),
                        result->has_value() ? "" : ": " + result->error().context);
            std::vector<collector::Outgoing> outgoing;
            if (!*result) run_->ingest->on_sync_failed();
            run_->ingest->on_durable(run_->log->durable_position(), outgoing);
            send(outgoing);
            run_->syncing = false;
            schedule_sync();
            pump();
        });
    });
}

void SimCollector::pump() {
    const SimDisk::Truce truce(disk_);
    for (;;) {
        const auto batch = run_->reader->next();
        if (!batch) throw Violation("the log cannot be read: " + batch.error().context);
        if (!*batch) break;
        ledger_->read_from_log(index_, agent_of((*batch)->host->host_id), **batch, false);
    }
    read_to_ = run_->reader->position();
    if (run_->reader->stats().bytes_fell_off > 0) throw Violation("the log lost what was unread");
}

void SimCollector::read_again() {
    const SimDisk::Truce truce(disk_);
    const auto reader = run_->log->open_reader(run_->log->oldest_position());
    for (;;) {
        const auto batch = reader->next();
        if (!batch) throw Violation("the log cannot be read: " + batch.error().context);
        if (!*batch) break;
        ledger_->read_from_log(index_, agent_of((*batch)->host->host_id), **batch, true);
    }
}

void SimCollector::crash(bool power) {
    if (!run_) return;
    world_->say(name_, power ? "POWER CUT" : "KILLED");
    died(power);
}

void SimCollector::go_away(Millis ms) {
    world_->say(name_, "is away for ", ms, " ms");
    away_until_ = world_->now() + ms;
    crash(false);
}

void SimCollector::died(bool power) {
    ++deaths_;
    ++life_;
    disk_.disarm();
    run_.reset();
    network_->collector_went_down(power);
    if (power) disk_.cut_power();
    start_in(world_->between(50, 20'000));
}

}  // namespace ridgeline::sim
