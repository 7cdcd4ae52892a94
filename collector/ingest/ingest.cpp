#include "collector/ingest/ingest.h"

#include <algorithm>

#include "common/log/log.h"
#include "common/wire/block_codec.h"

namespace ridgeline::collector {

namespace {

// Agents make one batch a second at most, and their spools are not thought to hold more than this.
constexpr double kLossesPerSecond = 1;
constexpr double kLossesMax = 31 * 86'400;
// No agent comes so far within an epoch, and ranges of such numbers stay small when encoded.
constexpr std::uint64_t kSequencesEnd = std::uint64_t{1} << 48U;
// In all; what an agent is not told it sends once more.
constexpr std::size_t kRangesPerWelcome = 1'000;
// As much as fits a double exactly: no more can be believed anyway.
constexpr std::uint64_t kLossClaimMax = std::uint64_t{1} << 52;
// A host changes its key once in its life or once a day; a few more while somebody tries it out.
constexpr double kKeyChangesPerSecond = 1.0 / 60;
constexpr double kKeyChangesMax = 10;
constexpr std::chrono::minutes kNoRoomWait{1};
constexpr double kAgentInFlightBytes = 8U << 20;  // agent/pipeline/uplink_session.h
constexpr std::size_t kAwaitedMax = 256;          // an agent's credit at most, uplink_session.h
constexpr std::size_t kSchemaWeightPerHost = 2;   // times what one schema may have
constexpr std::int64_t kEarliestMs =
    946'684'800'000;  // 2000-01-01: earlier stamps are a clock that was never set

const char* name_of(wire::RejectReason reason) {
    switch (reason) {
        case wire::RejectReason::undecodable:
            return "undecodable";
        case wire::RejectReason::wrong_host:
            return "wrong_host";
        case wire::RejectReason::too_old_protocol:
            return "too_old_protocol";
        case wire::RejectReason::over_limit:
            return "over_limit";
        case wire::RejectReason::hello_first:
            return "hello_first";
        case wire::RejectReason::later:
            return "later";
    }
    return "unknown";
}

std::size_t schema_weight(const Schema& schema) {
    std::size_t weight = 0;
    for (const SchemaGroup& group : schema.groups) {
        for (const SeriesDescriptor& series : group.series)
            weight += series_weight(series);
    }
    return weight;
}

}  // namespace

void Ingest::on_message(std::string_view connection, std::string_view host, std::string_view bytes,
                        Replies& out) {
    ++stats_.messages;
    stats_.bytes += bytes.size();
    if (!listens_to(host, bytes.size())) return;
    auto message = wire::decode(bytes, limits_.wire);
    if (!message) return refuse(connection, host, bytes, message.error(), out);
    if (auto it = hosts_.find(host); it != hosts_.end()) it->second.last_seen = clock_.wall_now();
    if (const auto* hello = std::get_if<wire::Hello>(&*message)) {
        handle(connection, host, *hello, out);
    } else if (const auto* batch = std::get_if<wire::Batch>(&*message)) {
        handle(connection, host, *batch, out);
    } else if (auto* reply = std::get_if<wire::SchemaReply>(&*message)) {
        handle(connection, host, *reply, out);
    } else if (const auto* change = std::get_if<wire::KeyChange>(&*message);
               change != nullptr && on_key_change_) {
        out.push_back({std::string(connection), change_key(host, *change)});
    } else {
        ++stats_.unknown_kind;  // a message that only a collector sends
    }
}

void Ingest::refuse(std::string_view connection, std::string_view host, std::string_view bytes,
                    const Error& error, Replies& out) {
    if (error.code == Errc::unsupported) {
        ++stats_.unknown_kind;
        return;
    }
    const bool over_limit = error.code == Errc::limit;
    over_limit ? ++stats_.over_limit : ++stats_.undecodable;
    account(host).quota.on_refused(false, clock_.mono_now());
    static log::RateLimit limit(10);
    limit.write(log::Level::warning, "message dropped", {{"host", host}, {"error", error.context}});
    const auto peer = peers_.find(connection);
    const auto hash = wire::schema_hash_of_reply(bytes);
    if (peer == peers_.end() || !hash) return;
    const auto reason =
        over_limit ? wire::RejectReason::over_limit : wire::RejectReason::undecodable;
    std::erase_if(peer->second.awaited, [&](const Awaited& awaited) {
        if (awaited.schema_hash != *hash) return false;
        reject(connection, awaited.epoch, awaited.sequence, reason, error.context, out);
        return true;
    });
}

wire::KeyChangeReply Ingest::change_key(std::string_view host, const wire::KeyChange& change) {
    const MonoTime now = clock_.mono_now();
    TokenBucket& left = account(host).key_changes;
    if (left.level(now) < 1) {
        ++stats_.over_limit;
        return {false, "this host changes its key too often; try again in a minute"};
    }
    left.take(1, now);
    return on_key_change_(host, change);
}

void Ingest::reject(std::string_view connection, std::uint64_t epoch, std::uint64_t sequence,
                    wire::RejectReason reason, std::string detail, Replies& out) {
    static log::RateLimit limit(10);
    const auto peer = peers_.find(connection);
    limit.write(log::Level::warning, "refused",
                {{"host", peer == peers_.end() ? std::string_view("")
                                               : std::string_view(peer->second.host)},
                 {"reason", name_of(reason)},
                 {"sequence", sequence},
                 {"detail", detail}});
    out.push_back(
        {std::string(connection), wire::Reject{epoch, sequence, reason, std::move(detail)}});
}

void Ingest::handle(std::string_view connection, std::string_view host, const wire::Hello& hello,
                    Replies& out) {
    if (hello.host_id != host) {
        ++stats_.wrong_host;
        reject(connection, hello.epoch, 0, wire::RejectReason::wrong_host,
               "this key is enrolled for " + std::string(host) + ", not for " + hello.host_id, out);
        return;
    }
    if (hello.protocol_version < 1) {
        ++stats_.bad_protocol;
        reject(connection, hello.epoch, 0, wire::RejectReason::too_old_protocol,
               "no protocol version", out);
        return;
    }
    if (!hosts_.contains(host) && hosts_.size() >= limits_.hosts) {
        ++stats_.hosts_full;
        wire::Reject reject{
            hello.epoch, 0,
            hello.can_wait ? wire::RejectReason::later : wire::RejectReason::over_limit,
            "the collector has as many hosts as it may",
            static_cast<std::uint32_t>(std::chrono::milliseconds{kNoRoomWait}.count())};
        out.push_back({std::string(connection), std::move(reject)});
        return;
    }
    const WallTime now = clock_.wall_now();
    HostState& state = hosts_[std::string(host)];
    const HostInfo info{hello.host_id, hello.agent_version, hello.boot_id, hello.tags, hello.facts};
    state.info = info;
    state.last_seen = now;
    state.clock_offset_ms = hello.wall_ms - to_unix_ms(now);
    if (state.epoch != hello.epoch) state.lost_in_epoch = 0;
    state.epoch = hello.epoch;
    log_.set_host(info);
    // One connection a host: an agent that comes back has left its old one, which nobody tells a
    // ROUTER.
    if (const auto was = peers_.find(connection); was != peers_.end()) {
        connections_.erase(was->second.host);
        peers_.erase(was);
    }
    std::string& current = connections_[std::string(host)];
    peers_.erase(current);
    current = connection;
    peers_[current] = Peer{std::string(host), hello.can_wait, {}};

    std::vector<std::uint64_t> epochs = {hello.epoch};
    epochs.insert(epochs.end(), hello.earlier_epochs.begin(), hello.earlier_epochs.end());
    log_.keep_epochs(host, epochs);
    if (hello.protocol_version >= 2) {
        count_losses(host, state, hello.dropped_batches);
    } else if (const SequenceSet* known = log_.book().find(host, hello.epoch);
               known != nullptr && hello.first_unacked > 1) {
        // What the agent no longer holds and never came here is lost for good.
        count_losses(host, state, known->missing(1, hello.first_unacked - 1));
    }
    // Sequences that are in the log but not yet durable must not be promised, and must not be kept
    // from an agent that a crash made forget them either: it would give them to other batches,
    // which would be taken for duplicates. So it hears of them when they are durable, or gone.
    std::erase_if(waiting_hellos_, [&](const WaitingHello& other) { return other.host == host; });
    WaitingHello waiting{std::string(connection), std::string(host), std::move(epochs)};
    if (must_wait(host, log_.durable_position())) {
        waiting_hellos_.push_back(std::move(waiting));
    } else {
        welcome(connection, host, waiting.epochs, out);
    }
}

// Whether there are batches of the host that are not durable.
bool Ingest::must_wait(std::string_view host, LogPosition durable) const {
    const auto last = last_pending_.find(host);
    return last != last_pending_.end() && last->second > durable;
}

void Ingest::welcome(std::string_view connection, std::string_view host,
                     const std::vector<std::uint64_t>& epochs, Replies& out) {
    wire::Welcome welcome;
    welcome.collector_version = RIDGELINE_VERSION;
    welcome.credit = limits_.credit;
    welcome.server_wall_ms = to_unix_ms(clock_.wall_now());
    std::size_t room = kRangesPerWelcome;
    for (const std::uint64_t epoch : epochs) {
        const SequenceSet* known = log_.book().find(host, epoch);
        if (known == nullptr) continue;
        auto ranges = known->ranges();
        ranges.resize(std::min(ranges.size(), room));
        room -= ranges.size();
        if (epoch == epochs.front()) {
            welcome.durable = std::move(ranges);
        } else if (!ranges.empty()) {
            welcome.earlier.push_back({epoch, std::move(ranges)});
        }
    }
    out.push_back({std::string(connection), std::move(welcome)});
}

void Ingest::count_losses(std::string_view host, HostState& state, std::uint64_t lost) {
    if (lost <= state.lost_in_epoch) return;
    const std::uint64_t claimed = lost - state.lost_in_epoch;
    const auto believed = static_cast<std::uint64_t>(account(host).losses.take_up_to(
        static_cast<double>(std::min(claimed, kLossClaimMax)), clock_.mono_now()));
    stats_.batches_lost += believed;
    stats_.losses_doubted += claimed - believed;
    state.batches_lost += believed;
    state.lost_in_epoch = lost;
}

Ingest::Account& Ingest::account(std::string_view host) {
    if (const auto it = accounts_.find(host); it != accounts_.end()) return it->second;
    const MonoTime now = clock_.mono_now();
    return accounts_
        .try_emplace(
            std::string(host),
            Account{HostQuota(limits_.quota, now), TokenBucket(kLossesPerSecond, kLossesMax, now),
                    TokenBucket(kKeyChangesPerSecond, kKeyChangesMax, now)})
        .first->second;
}

// What an agent has under way when it hears that it must wait, twice for good measure: it may have
// to send all of it again after a schema.
InFlightAllowance Ingest::allowance() const {
    return {2.0 * limits_.credit + 64,
            2 * (kAgentInFlightBytes + static_cast<double>(limits_.wire.message_bytes))};
}

bool Ingest::listens_to(std::string_view sender, std::size_t bytes) {
    account(sender).quota.on_message(bytes, clock_.mono_now());
    if (!flooding(sender)) return true;
    ++stats_.flood;
    return false;
}

bool Ingest::flooding(std::string_view host) {
    return account(host).quota.flooding(allowance(), clock_.mono_now());
}

void Ingest::change(const IngestLimits& limits) {
    limits_ = limits;
    for (auto& [host, account] : accounts_)
        account.quota.change(limits.quota, clock_.mono_now());
}

bool Ingest::postponed(std::string_view connection, std::string_view host, const wire::Batch& batch,
                       Replies& out) {
    const auto verdict = account(host).quota.judge(batch.backlog, clock_.mono_now());
    if (verdict.wait.count() == 0) return false;
    ++(batch.backlog ? stats_.deferred_backlog : stats_.deferred_live);
    ++hosts_[std::string(host)].batches_deferred;
    if (!peers_.find(connection)->second.can_wait) {
        // It would take the word for a refusal and drop the batch. Unanswered, the batch comes
        // again with the next connection.
        ++stats_.deferred_unanswered;
        return true;
    }
    static log::RateLimit limit(6);
    limit.write(log::Level::notice, "over quota; told to send later",
                {{"host", host},
                 {"too_many", verdict.over},
                 {"wait_ms", verdict.wait.count()},
                 {"sequence", batch.sequence}});
    wire::Reject reject{batch.epoch, batch.sequence, wire::RejectReason::later,
                        "more " + std::string(verdict.over) + " than this host's quota",
                        static_cast<std::uint32_t>(std::min<std::chrono::milliseconds::rep>(
                            verdict.wait.count(), UINT32_MAX))};
    out.push_back({std::string(connection), std::move(reject)});
    return true;
}

bool Ingest::admissible(std::string_view connection, std::string_view host,
                        const wire::Batch& batch, Replies& out) {
    if (batch.host_id != host) {
        ++stats_.wrong_host;
        reject(connection, batch.epoch, batch.sequence, wire::RejectReason::wrong_host,
               "this key is enrolled for " + std::string(host), out);
        return false;
    }
    if (!peers_.contains(connection)) {
        ++stats_.before_hello;
        reject(connection, batch.epoch, 0, wire::RejectReason::hello_first, "say Hello first", out);
        return false;
    }
    return true;
}

bool Ingest::times_are_plausible(const SampleBlock& block) const {
    const WallTime now = clock_.wall_now();
    const std::int64_t latest_ms = to_unix_ms(now + limits_.future_max);
    const std::int64_t earliest_ms = std::max(kEarliestMs, to_unix_ms(now - limits_.past_max));
    return std::all_of(block.groups.begin(), block.groups.end(), [&](const SampleGroup& group) {
        return std::is_sorted(group.timestamps_ms.begin(), group.timestamps_ms.end()) &&
               std::all_of(group.timestamps_ms.begin(), group.timestamps_ms.end(),
                           [&](std::int64_t t) { return t >= earliest_ms && t <= latest_ms; });
    });
}

const SharedSchema* Ingest::find_schema(std::string_view host, std::uint64_t hash) {
    const auto it = schemas_.find(host);
    if (it == schemas_.end()) return nullptr;
    auto& list = it->second;
    const auto found = std::find_if(list.begin(), list.end(),
                                    [&](const ListedSchema& s) { return s.known->hash == hash; });
    if (found == list.end()) return nullptr;
    list.splice(list.begin(), list, found);
    return list.front().known.get();
}

void Ingest::handle(std::string_view connection, std::string_view host, const wire::Batch& batch,
                    Replies& out) {
    if (!admissible(connection, host, batch, out)) return;
    HostState& state = hosts_[std::string(host)];
    const auto refuse = [&](std::uint64_t& counter, wire::RejectReason reason, std::string why) {
        ++counter;
        account(host).quota.on_refused(batch.backlog, clock_.mono_now());
        reject(connection, batch.epoch, batch.sequence, reason, std::move(why), out);
    };
    const auto refuse_error = [&](const Error& error) {
        const bool limit = error.code == Errc::limit;
        refuse(limit ? stats_.over_limit : stats_.undecodable,
               limit ? wire::RejectReason::over_limit : wire::RejectReason::undecodable,
               error.context);
    };
    const auto refuse_unless_postponed = [&](const Error& error) {
        if (!postponed(connection, host, batch, out)) refuse_error(error);
    };
    const auto body = wire::decode_body(batch.body, limits_.wire);
    if (!body) return refuse_unless_postponed(body.error());
    const auto range = wire::range_of(*body, batch.sequence);
    if (!range) return refuse_unless_postponed(range.error());
    if (range->last >= kSequencesEnd) {
        return refuse_unless_postponed(
            {Errc::limit, 0, "the batch's number is higher than any agent comes"});
    }
    if (log_.contains(host, batch.epoch, *range)) {
        ++stats_.duplicates;
        ++state.duplicates;
        // The first copy may not be durable yet; the ack waits for all that is in the log now.
        pending_acks_.push_back(
            {log_.end_position(), std::string(connection), batch.epoch, *range});
        on_durable(log_.durable_position(), out);
        return;
    }
    // What is in the log already costs little; all that comes after this does not.
    if (postponed(connection, host, batch, out)) return;
    const SharedSchema* schema = find_schema(host, body->schema_hash);
    if (schema == nullptr) {
        ++stats_.schema_requests;
        auto& awaited = peers_.find(connection)->second.awaited;
        const Awaited wanted{body->schema_hash, batch.epoch, batch.sequence};
        if (std::find(awaited.begin(), awaited.end(), wanted) == awaited.end())
            awaited.push_back(wanted);
        if (awaited.size() > kAwaitedMax) awaited.pop_front();
        out.push_back({std::string(connection), wire::SchemaRequest{body->schema_hash}});
        return;
    }
    const auto block = blocks_.decode(body->columns, schema->schema, limits_.wire);
    if (!block) return refuse_error(block.error());
    if (!times_are_plausible(*block)) {
        // It costs what a good one costs: a host whose clock was wrong for a day has thousands of
        // them, and the good ones wait behind.
        ++stats_.bad_time;
        if (!batch.backlog) ++state.bad_times;
        account(host).quota.on_samples(batch.backlog, block->sample_count(), clock_.mono_now());
        return reject(connection, batch.epoch, batch.sequence, wire::RejectReason::over_limit,
                      "samples out of order, or stamped further ahead of the collector's clock, or "
                      "behind it, than its limits allow",
                      out);
    }
    const auto position = log_.append({host, batch.epoch, batch.sequence, batch.backlog, batch.body,
                                       body->schema_hash, schema->encoded, body->first_sequence});
    if (!position) {
        // Not acked, so it stays in the agent's spool and comes again.
        static log::RateLimit limit(6);
        ++stats_.log_errors;
        limit.write(log::Level::error, "the log cannot be written; agents keep their samples",
                    {{"error", position.error().context}});
        return;
    }
    const std::uint64_t samples = block->sample_count();
    ++stats_.batches;
    ++state.batches;
    if (!batch.backlog) {
        ++state.live_batches;
        state.bad_times = 0;
    }
    account(host).quota.on_samples(batch.backlog, samples, clock_.mono_now());
    stats_.samples += samples;
    state.samples += samples;
    stats_.samples_thinned += body->thinned_samples;
    state.samples_thinned += body->thinned_samples;
    for (const SampleGroup& group : block->groups) {
        if (!group.timestamps_ms.empty()) {
            state.last_sample_ms = std::max(state.last_sample_ms, group.timestamps_ms.back());
        }
    }
    last_pending_.insert_or_assign(std::string(host), log_.end_position());
    pending_acks_.push_back({log_.end_position(), std::string(connection), batch.epoch, *range});
}

void Ingest::handle(std::string_view connection, std::string_view host, wire::SchemaReply& reply,
                    Replies& out) {
    if (schema_hash(reply.schema) != reply.schema_hash) {
        ++stats_.undecodable;
        account(host).quota.on_refused(false, clock_.mono_now());
        reject(connection, 0, 0, wire::RejectReason::undecodable,
               "the schema does not have the hash it is sent under", out);
        return;
    }
    if (const auto peer = peers_.find(connection); peer != peers_.end()) {
        std::erase_if(peer->second.awaited,
                      [&](const Awaited& a) { return a.schema_hash == reply.schema_hash; });
    }
    auto& list = schemas_[std::string(host)];
    std::erase_if(list, [&](const ListedSchema& s) { return s.known->hash == reply.schema_hash; });
    const std::size_t weight = schema_weight(reply.schema);
    std::string encoded = wire::encode_schema(reply.schema);
    auto known = schema_pool_.find(reply.schema_hash, encoded);
    if (!known)
        known = schema_pool_.add(reply.schema_hash, std::move(encoded), std::move(reply.schema));
    list.push_front({std::move(known), weight});
    std::size_t total = 0;
    std::size_t kept = 0;
    for (auto it = list.begin(); it != list.end() && kept < limits_.schemas_per_host; ++it) {
        total += it->weight;
        // The newest stays in any case: the batches that wait for it could not be taken else.
        if (kept > 0 && total > kSchemaWeightPerHost * limits_.wire.series_per_schema) break;
        ++kept;
    }
    stats_.schemas_forgotten += list.size() - kept;
    list.resize(kept);
}

void Ingest::on_durable(LogPosition position, Replies& out) {
    while (!pending_acks_.empty() && pending_acks_.front().position <= position) {
        PendingAck& ack = pending_acks_.front();
        wire::Ack* last = out.empty() ? nullptr : std::get_if<wire::Ack>(&out.back().message);
        if (last != nullptr && out.back().connection == ack.connection &&
            last->epoch == ack.epoch) {
            last->sequences.push_back(ack.range.last);
        } else {
            out.push_back({std::move(ack.connection), wire::Ack{ack.epoch, {ack.range.last}}});
        }
        pending_acks_.pop_front();
    }
    if (pending_acks_.empty()) last_pending_.clear();
    std::erase_if(waiting_hellos_, [&](const WaitingHello& hello) {
        if (must_wait(hello.host, position)) return false;
        if (peers_.contains(hello.connection))
            welcome(hello.connection, hello.host, hello.epochs, out);
        return true;
    });
}

void Ingest::on_sync_failed() {
    pending_acks_.clear();
    last_pending_.clear();
}

bool Ingest::connected(std::string_view host) const {
    const auto state = hosts_.find(host);
    return state != hosts_.end() &&
           clock_.wall_now() - state->second.last_seen < limits_.silent_after &&
           connections_.contains(host);
}

}  // namespace ridgeline::collector
