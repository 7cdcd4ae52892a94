#include "tests/simulation/sim_agent.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "agent/pipeline/rendezvous.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::sim {

using agent::SampleInstant;
using agent::SealedBatch;
using std::chrono::milliseconds;

namespace {

constexpr Millis kLookMaxMs = 1'000;   // agent.cpp
constexpr Millis kRestartMs = 5'000;   // as systemd would
constexpr Millis kFarewellMs = 1'000;  // agent.cpp

std::uint64_t sum(const auto& numbers) {
    return std::accumulate(std::begin(numbers), std::end(numbers), std::uint64_t{0});
}

// As an agent with the endpoints collector-0, collector-1, … would.
std::vector<Network*> in_order(std::vector<Network*> networks, std::string_view host_id) {
    std::map<std::string, Network*> by_endpoint;
    std::vector<std::string> endpoints;
    for (std::size_t i = 0; i < networks.size(); ++i) {
        endpoints.push_back("collector-" + std::to_string(i));
        by_endpoint[endpoints.back()] = networks[i];
    }
    std::vector<Network*> ordered;
    for (const std::string& endpoint : agent::rendezvous_order(std::move(endpoints), host_id))
        ordered.push_back(by_endpoint[endpoint]);
    return ordered;
}

}  // namespace

SimAgent::SimAgent(World& world, Ledger& ledger, std::vector<Network*> networks, std::size_t index,
                   AgentOptions options)
    : world_(&world),
      ledger_(&ledger),
      index_(index),
      name_("agent-" + std::to_string(index)),
      networks_(in_order(std::move(networks), name_)),
      options_(options),
      clock_(world),
      disk_(world, name_) {
    constexpr std::array<Millis, 3> kIntervals = {1'000, 2'000, 5'000};
    for (std::size_t i = 0; i < options_.sources; ++i) {
        SimSource& source = sources_.emplace_back();
        source.name = "source" + std::to_string(i);
        source.interval_ms = kIntervals[i % kIntervals.size()];
        for (std::size_t s = 0; s < options_.series_per_source; ++s)
            source.series.push_back({"sim." + std::to_string(series_made_++), {}, 0, false});
    }
}

void SimAgent::event(const char* what, const std::function<void()>& run) {
    try {
        run();
        if (run_) balance();
    } catch (const Killed& killed) {
        died(killed.power);
    } catch (const Violation& violation) {
        throw Violation(name_ + ", " + what + ": " + violation.what());
    }
}

void SimAgent::later(Millis delay, const char* what, std::function<void()> run) {
    world_->after(delay, [this, life = life_, what, run = std::move(run)] {
        if (life == life_ && run_) event(what, run);
    });
}

void SimAgent::start() {
    if (run_) return;
    world_->say(name_, "starts");
    event("start", [this] { boot(); });
    if (!run_) start_in(kRestartMs);
}

void SimAgent::start_in(Millis delay) {
    if (std::exchange(start_due_, true)) return;
    world_->after(delay, [this] {
        start_due_ = false;
        start();
    });
}

void SimAgent::boot() {
    ++life_;
    unreadable_ = disk_.unreadable();
    // Kept out of run_ until the books are opened, so that a death meanwhile changes nothing in
    // them.
    disk_.sync_failures_lose_pages(false);
    auto spool = agent::Spool::open(disk_, options_.spool);
    disk_.sync_failures_lose_pages(true);
    if (!spool) {
        world_->say(name_, "cannot start: ", spool.error().context);
        return;
    }
    const auto count_drops = [&](const agent::Spool& from) {
        if (before_) before_->dropped_unsaid += sum(from.stats().dropped_samples);
    };
    Result<std::uint64_t> recovered = std::uint64_t{0};
    try {
        recovered = agent::recover_head(disk_, *spool, boot_id());
    } catch (const Killed&) {
        count_drops(*spool);
        throw;
    }
    count_drops(*spool);
    run_.emplace();
    run_->spool.emplace(std::move(*spool));
    run_->head.emplace(disk_, boot_id());
    world_->say(name_, "is up: ", run_->spool->stats().batches, " batches, next ",
                run_->spool->next_sequence(), ", from the head ", recovered ? *recovered : 0);
    Batches now = read_spool();
    drops_ = drops();
    if (before_) compare_with_before(now);
    before_.reset();
    held_ = now;
    fresh_.clear();
    filling_.clear();
    journalled_ = 0;
    head_refusals_ = refused();
    set_sources();
    agent::UplinkIdentity identity{name_, "sim", boot_id(), {}, {}};
    run_->session.emplace(*run_->spool, std::move(identity), clock_, agent::Rng{world_->random()});
    run_->schema_hash = run_->batcher->schema_hash();
    connect();
    look();
}

void SimAgent::set_sources() {
    run_->schedule.emplace(clock_);
    for (SimSource& source : sources_) {
        run_->schedule->add(milliseconds{source.interval_ms});
        for (SimSeries& series : source.series)
            series.declared = false;
    }
    run_->batch_entry = run_->schedule->add(milliseconds{options_.batch_ms});
    run_->batcher.emplace();
}

void SimAgent::look() {
    const bool batch_ends = turn();
    journal();
    if (batch_ends) seal();
    run_->spool->retry();
    sync_spool();
    carry_out(run_->session->on_tick());
    const auto wait =
        std::chrono::ceil<milliseconds>(run_->schedule->next_due() - clock_.mono_now()).count();
    later(std::clamp<Millis>(wait, 0, kLookMaxMs), "look", [this] {
        if (!run_->stopping) look();
    });
}

bool SimAgent::turn() {
    bool batch_ends = false;
    for (const agent::Schedule::Due& due : run_->schedule->take_due()) {
        if (due.index == run_->batch_entry) {
            batch_ends = true;
        } else if (sampling_) {
            add_round(sources_[due.index], due.at);
        }
    }
    return batch_ends;
}

void SimAgent::emit(SimSource& source, std::int64_t stamp_ms, SampleIds& ids) {
    agent::Batcher& batcher = *run_->batcher;
    if (world_->chance(options_.schema_change_percent)) {
        if (source.series.size() > 1 && world_->chance(50)) {
            const auto gone = static_cast<std::size_t>(
                world_->between(0, static_cast<Millis>(source.series.size()) - 1));
            if (source.series[gone].declared) batcher.retire(source.series[gone].slot);
            source.series.erase(source.series.begin() + static_cast<std::ptrdiff_t>(gone));
        } else {
            source.series.push_back({"sim." + std::to_string(series_made_++), {}, 0, false});
        }
    }
    for (SimSeries& series : source.series) {
        if (!series.declared) {
            series.slot = batcher.declare(series.metric, {{"source", source.name}});
            series.id = ledger_->series_id(
                to_string(SeriesDescriptor{series.metric, {{"source", source.name}}}));
            series.declared = true;
        }
        if (world_->chance(3)) continue;  // a device that was away
        const SampleId id = ledger_->take(index_, series.id, stamp_ms);
        ids.push_back(id);
        batcher.record(series.slot, ledger_->value_of(id));
    }
}

void SimAgent::add_round(SimSource& source, const SampleInstant& at) {
    run_->batcher->begin_round(source.name, at);
    const std::size_t before = filling_.size();
    emit(source, to_unix_ms(at.wall), filling_);
    if (const auto sealed = run_->batcher->end_round(clock_.wall_now(), clock_.mono_now()))
        spool_batch(*sealed, before);
    if (const auto round = run_->batcher->last_round())
        run_->head->add(*round, run_->batcher->schema(), run_->spool->next_number());
}

void SimAgent::journal() {
    (void)run_->head->write();
    journalled_ = filling_.size();
}

void SimAgent::seal() {
    if (const auto sealed = run_->batcher->seal(clock_.wall_now(), clock_.mono_now()))
        spool_batch(*sealed, filling_.size());
}

// `count`: how many of the samples in the batch being filled are in this one.
void SimAgent::spool_batch(const SealedBatch& batch, std::size_t count) {
    if (batch.body.sample_count != count) throw Violation("a batch is not what was sampled");
    const std::uint64_t sequence = run_->spool->append(batch);
    const auto end = filling_.begin() + static_cast<std::ptrdiff_t>(count);
    Kept& kept = fresh_[sequence];
    kept.ids.assign(filling_.begin(), end);
    std::sort(kept.ids.begin(), kept.ids.end());
    kept.on_disk = run_->spool->stats().memory_batches == 0;
    filling_.erase(filling_.begin(), end);
    journalled_ = 0;
    run_->head->discard();
    head_refusals_ = refused();
    world_->say(name_, "sealed ", sequence, ", ", batch.body.sample_count, " samples",
                run_->spool->stats().memory_batches > 0 ? ", in memory" : "");
    sync_spool();
    run_->schema_hash = batch.body.schema_hash;
    carry_out(run_->session->on_batch(batch.body.schema_hash));
}

void SimAgent::sync_spool() {
    const MonoTime now = clock_.mono_now();
    if (run_->sync_busy || now - run_->synced_at < milliseconds{options_.fsync_ms}) return;
    auto work = std::make_shared<agent::SyncWork>(run_->spool->take_unsynced());
    if (work->empty()) return;
    run_->synced_at = now;
    run_->sync_busy = true;
    // "Makes everything appended so far durable": all that is in the files now.
    auto covered = std::make_shared<std::set<std::uint64_t>>();
    const std::uint64_t in_memory = work->complete() ? run_->spool->stats().memory_batches : 0;
    for (auto next = run_->spool->next_held(0); next && work->complete();
         next = run_->spool->next_held(*next + 1))
        covered->insert(*next);
    for (std::uint64_t i = 0; i < in_memory; ++i)
        covered->erase(std::prev(covered->end()));
    const auto result = std::make_shared<Result<void>>();
    // On a worker thread, while the loop goes on.
    later(world_->between(0, options_.sync_takes_ms_max), "sync", [this, work, result, covered] {
        const std::uint64_t before = disk_.refusals();
        try {
            *result = work->run();
        } catch (const Killed&) {
            run_->hole = disk_.refusals() > before;  // one of its files, and then it died
            throw;
        }
        run_->hole = !*result;
        world_->say(name_, "synced", result->has_value() ? "" : ": " + result->error().context);
        later(world_->between(0, options_.sync_takes_ms_max), "synced", [this, result, covered] {
            run_->sync_busy = false;
            run_->spool->on_synced(*result);
            if (run_->hole) taint();
            run_->hole = false;
            for (auto& [sequence, kept] : held_) {
                if (*result && !kept.tainted && covered->contains(sequence)) kept.synced = true;
            }
        });
    });
}

// An fsync failed: whatever was not synced before may be gone, and what is appended until the spool
// hears of it lies behind that.
void SimAgent::taint() {
    for (Batches* batches : {&held_, &fresh_}) {
        for (auto& [sequence, kept] : *batches)
            kept.tainted = kept.tainted || !kept.synced;
    }
}

void SimAgent::connect() {
    if (std::exchange(run_->move_on, false)) ++run_->attempt;
    Network::Ends ends;
    const auto on_loop = [this](const char* what, std::function<void()> run) {
        return [this, life = life_, what, run = std::move(run)] {
            if (life == life_ && run_) event(what, run);
        };
    };
    ends.on_connected = on_loop("connected", [this] {
        run_->established = true;
        world_->say(name_, "connected as ", run_->connection);
        carry_out(run_->session->on_connected(run_->schema_hash));
    });
    ends.on_message = [this, life = life_](std::string_view bytes) {
        if (life == life_ && run_)
            event("message", [&] { carry_out(run_->session->on_message(bytes)); });
    };
    ends.on_disconnected = [this, life = life_](std::string_view why) {
        if (life == life_ && run_)
            event("disconnected", [&] {
                run_->move_on = !run_->established;
                carry_out(run_->session->on_disconnected(why));
            });
    };
    run_->connection = network().connect(index_, std::move(ends));
}

void SimAgent::carry_out(agent::UplinkActions actions) {
    if (actions.reconnect_in) {
        world_->say(name_, "no uplink: ", run_->session->stats().last_error, "; again in ",
                    actions.reconnect_in->count(), " ms");
        run_->move_on = run_->move_on || actions.try_another;
        network().close(run_->connection);
        run_->connection.clear();
        run_->established = false;
        later(actions.reconnect_in->count(), "connect", [this] {
            if (run_->connection.empty()) connect();
        });
        return;
    }
    for (std::string& message : actions.send) {
        watch_sent(message);
        network().send(run_->connection, std::move(message));
    }
}

void SimAgent::watch_sent(std::string_view bytes) {
    const auto message = wire::decode(bytes, wire::Limits{});
    if (!message) throw Violation("sends what cannot be decoded");
    const auto* batch = std::get_if<wire::Batch>(&*message);
    if (batch == nullptr) return;
    const auto sequence = run_->spool->sequence_of({batch->epoch, batch->sequence});
    if (!sequence) throw Violation("sends a batch that it does not know");
    world_->say(name_, "sends ", *sequence, " as ", batch->sequence, " of ", batch->epoch % 1000,
                batch->backlog ? " (backlog)" : "");
    const Ledger::Copies& copies = ledger_->logged(index_, batch->epoch, batch->sequence);
    if (copies.empty()) return;
    const auto ids = decode_if_whole(*sequence);
    if (!ids) return;
    for (const auto& [collector, logged] : copies) {
        // A head journal can be short of the last rounds of the batch that it was of.
        if (std::includes(logged.begin(), logged.end(), ids->begin(), ids->end())) continue;
        throw Violation("batch " + std::to_string(batch->sequence) +
                        " is sent under a number that the log has for another");
    }
}

SimAgent::Drops SimAgent::drops() const {
    Drops drops{};
    const auto& counted = run_->spool->stats().dropped_samples;
    std::copy(std::begin(counted), std::end(counted), drops.begin());
    return drops;
}

SampleIds SimAgent::decode(std::uint64_t sequence) {
    auto ids = decode_if_whole(sequence);
    if (!ids) throw Violation("batch " + std::to_string(sequence) + " has lost its schema");
    return std::move(*ids);
}

// nullopt: a failed sync took its schema, without which nobody can read it; told by the collector,
// the agent drops and counts it.
std::optional<SampleIds> SimAgent::decode_if_whole(std::uint64_t sequence) {
    const SimDisk::Truce truce(disk_);
    const auto body = run_->spool->read(sequence);
    if (!body)
        throw Violation("batch " + std::to_string(sequence) +
                        " cannot be read: " + body.error().context);
    const auto decoded = wire::decode_body(*body, wire::Limits{});
    const auto schema_bytes = run_->spool->schema(decoded->schema_hash);
    if (!schema_bytes) return std::nullopt;
    const auto schema = wire::decode_schema(*schema_bytes, wire::Limits{});
    const auto block = wire::decode_block(decoded->columns, *schema, wire::Limits{});
    if (!block) throw Violation("batch " + std::to_string(sequence) + " is damaged");
    SampleIds ids;
    for (const SampleGroup& group : block->groups) {
        for (const double value : group.values) {
            if (has_value(value)) ids.push_back(ledger_->find(index_, value));
        }
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

SimAgent::Batches SimAgent::read_spool() {
    Batches batches;
    for (auto next = run_->spool->next_held(0); next; next = run_->spool->next_held(*next + 1))
        batches[*next] = {decode(*next), true, false, false};
    auto newest = batches.rbegin();
    for (std::uint64_t i = 0; i < run_->spool->stats().memory_batches; ++i, ++newest)
        newest->second.on_disk = false;
    return batches;
}

void SimAgent::balance() {
    const agent::Spool& spool = *run_->spool;
    Batches all = std::move(held_);
    held_.clear();
    all.merge(fresh_);
    if (!fresh_.empty()) throw Violation("a number given out twice");

    for (auto next = spool.next_held(0); next; next = spool.next_held(*next + 1)) {
        auto kept = all.extract(*next);
        if (!kept) throw Violation("batch " + std::to_string(*next) + " from nowhere");
        held_.insert(std::move(kept));
    }
    auto newest = held_.rbegin();
    std::uint64_t in_memory = spool.stats().memory_batches;
    for (; newest != held_.rend(); ++newest) {
        if (in_memory > 0) {
            --in_memory;
        } else {
            newest->second.on_disk = true;
        }
    }
    if (in_memory > 0) throw Violation("more batches in memory than are held");

    // What is gone is in the log, or was counted.
    const Drops now = drops();
    std::uint64_t counted = sum(now) - sum(drops_);
    std::uint64_t missing = 0;
    std::uint64_t arrived = 0;
    for (const auto& [sequence, kept] : all) {
        if (ledger_->delivered(kept.ids)) {
            arrived += kept.ids.size();
            continue;
        }
        missing += kept.ids.size();
        world_->say(name_, "dropped ", sequence, ", ", kept.ids.size(), " samples");
        for (const SampleId id : kept.ids)
            ledger_->set_fate(id, Fate::dropped);
    }
    if (counted < missing || counted > missing + arrived) {
        throw Violation(std::to_string(missing) +
                        " samples left the spool without being in the log, and " +
                        std::to_string(counted) + " were counted");
    }
    drops_ = now;

    const auto& stats = spool.stats();
    if (stats.memory_bytes > options_.spool.memory_bytes_max)
        throw Violation("too much in memory: " + std::to_string(stats.memory_bytes));
    if (stats.batches != held_.size()) throw Violation("counts batches that it does not hold");
    if (run_->session && run_->session->in_flight() > agent::kCreditMax)
        throw Violation("more in flight than there can be");
}

void SimAgent::crash(bool power) {
    if (!run_) return;
    world_->say(name_, power ? "POWER CUT" : "KILLED");
    died(power);
}

void SimAgent::died(bool power) {
    ++deaths_;
    ++life_;
    disk_.disarm();
    if (run_) {
        if (run_->hole) taint();
        Before before;
        before.dropped_unsaid = sum(drops()) - sum(drops_);
        before.batches = std::move(held_);
        before.batches.merge(fresh_);
        const auto written = filling_.begin() + static_cast<std::ptrdiff_t>(journalled_);
        before.journalled.assign(filling_.begin(), written);
        before.instant.assign(written, filling_.end());
        before.head_sound = refused() == head_refusals_;
        before.power = power;
        before_ = std::move(before);
        if (!run_->connection.empty()) network().close(run_->connection);
        run_.reset();
    } else if (before_) {
        before_->power = before_->power || power;
    }
    held_.clear();
    fresh_.clear();
    filling_.clear();
    journalled_ = 0;
    if (power) {
        disk_.cut_power();
        ++boots_;
    }
    start_in(world_->between(50, 10'000));
}

// What the death took must be what such a death may take.
void SimAgent::compare_with_before(Batches& now) {
    std::set<SampleId> there;
    for (const auto& [sequence, kept] : now)
        there.insert(kept.ids.begin(), kept.ids.end());
    const bool power = before_->power;
    std::uint64_t unsaid = before_->dropped_unsaid;
    // A batch that was let go, and is here again: nobody kept an eye on its bytes.
    for (auto& [sequence, kept] : now) {
        if (!before_->batches.contains(sequence)) kept.tainted = disk_.lost_pages();
    }
    for (auto& [sequence, kept] : before_->batches) {
        // What is known of a batch's bytes holds for them in the next run, too.
        if (const auto same = now.find(sequence);
            same != now.end() && same->second.ids == kept.ids) {
            same->second.synced = kept.synced;
            same->second.tainted = kept.tainted;
        }
        SampleIds gone;
        for (const SampleId id : kept.ids) {
            if (!there.contains(id) && ledger_->fate(id) == Fate::kept) gone.push_back(id);
        }
        if (gone.empty()) continue;
        Fate fate = Fate::lost_power;
        if (kept.tainted || disk_.unreadable() > unreadable_) {
            fate = Fate::lost_disk;
        } else if (power ? kept.synced : kept.on_disk) {
            if (unsaid < gone.size()) {
                throw Violation("batch " + std::to_string(sequence) + " was " +
                                (power ? "synced" : "on disk") +
                                " and is gone: " + ledger_->describe(gone.front()));
            }
            unsaid -= gone.size();
            fate = Fate::dropped_unsaid;
        } else if (!power) {
            fate = Fate::lost_memory;
        }
        world_->say(name_, "lost batch ", sequence, ": ", to_string(fate));
        for (const SampleId id : gone)
            ledger_->set_fate(id, fate);
    }
    const auto write_off = [&](const SampleIds& ids, bool must_survive, Fate fate) {
        for (const SampleId id : ids) {
            if (there.contains(id) || ledger_->fate(id) != Fate::kept) continue;
            if (must_survive)
                throw Violation("was journalled and is gone: " + ledger_->describe(id));
            ledger_->set_fate(id, power ? Fate::lost_power : fate);
        }
    };
    const bool readable = disk_.unreadable() == unreadable_;
    write_off(before_->journalled, !power && before_->head_sound && readable,
              readable ? Fate::lost_memory : Fate::lost_disk);
    write_off(before_->instant, false, Fate::lost_instant);
    for (const SampleId id : there) {
        const Fate fate = ledger_->fate(id);
        if (fate == Fate::kept || fate == Fate::delivered) continue;
        ledger_->came_back(id);
        ++came_back_;
    }
}

void SimAgent::reload() {
    if (!run_ || run_->stopping) return;
    world_->say(name_, "reloads");
    event("reload", [this] {
        seal();
        set_sources();
    });
}

void SimAgent::stop_and_start_again() {
    if (!run_ || run_->stopping) return;
    world_->say(name_, "stops");
    event("stop", [this] {
        run_->stopping = true;
        seal();
        run_->spool->retry();
        const auto synced = run_->spool->take_unsynced().run();
        run_->spool->on_synced(synced);
        if (!synced) taint();
        later(world_->between(0, kFarewellMs), "stopped", [this] { throw Killed{false}; });
    });
}

void SimAgent::stop_sampling() {
    sampling_ = false;
    if (run_) event("last seal", [this] { seal(); });
}

bool SimAgent::drained() const {
    return run_ && run_->spool->stats().batches == 0 && filling_.empty();
}

void SimAgent::reconnect() {
    for (Network* network : networks_)
        network->reset(index_);
}

std::string SimAgent::state() const {
    if (!run_) return name_ + " is down";
    return name_ + ": " + std::string(to_string(run_->session->state())) + ", " +
           std::to_string(run_->spool->stats().batches) + " batches, oldest " +
           std::to_string(run_->spool->oldest().value_or(0)) + ", in flight " +
           std::to_string(run_->session->in_flight()) + ", " + run_->session->stats().last_error;
}

}  // namespace ridgeline::sim
