#include "agent/pipeline/uplink_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kHellosMax =
    3;  // on one connection; more means that the two ends do not understand each other
constexpr std::size_t kSchemasOwedMax = 16;

std::int64_t in_ms(MonoTime mono) {
    return std::chrono::duration_cast<milliseconds>(mono.time_since_epoch()).count();
}

}  // namespace

std::string_view to_string(UplinkState state) {
    switch (state) {
        case UplinkState::disconnected:
            return "disconnected";
        case UplinkState::greeting:
            return "greeting";
        case UplinkState::streaming:
            return "streaming";
    }
    return "";
}

UplinkSession::UplinkSession(Spool& spool, UplinkIdentity identity, const Clock& clock, Rng rng)
    : spool_(&spool), identity_(std::move(identity)), clock_(&clock), rng_(rng) {}

UplinkActions UplinkSession::on_connected(std::uint64_t schema_hash) {
    UplinkActions actions;
    schema_hash_ = schema_hash;
    ++stats_.connections;
    hellos_ = 0;
    live_from_ = spool_->next_sequence();
    live_paused_until_ = backlog_paused_until_ = MonoTime{};
    say_hello(actions);
    return actions;
}

void UplinkSession::say_hello(UplinkActions& actions) {
    if (++hellos_ > kHellosMax) {
        end("the collector asks for Hello again and again", next_backoff(), actions);
        return;
    }
    clear_in_flight();
    hello_is_old_ = false;
    state_ = UplinkState::greeting;
    greeted_at_ = clock_->mono_now();
    wire::Hello hello;
    hello.host_id = identity_.host_id;
    hello.agent_version = identity_.agent_version;
    hello.epoch = spool_->epoch();
    hello.next_sequence = spool_->next_number().number;
    hello.first_unacked = spool_->first_unacked_number();
    named_ = epochs_to_name();
    hello.earlier_epochs = named_;
    hello.dropped_batches = spool_->stats().dropped_batches;
    hello.schema_hash = schema_hash_;
    hello.boot_id = identity_.boot_id;
    hello.tags = identity_.tags;
    hello.facts = identity_.facts;
    hello.wall_ms = to_unix_ms(clock_->wall_now());
    hello.mono_ms = in_ms(greeted_at_);
    hello.can_wait = true;
    actions.send.push_back(wire::encode(hello));
}

// The oldest, which are sent first; the others when these are drained.
std::vector<std::uint64_t> UplinkSession::epochs_to_name() const {
    std::vector<std::uint64_t> epochs = spool_->earlier_epochs();
    epochs.resize(std::min(epochs.size(), limits_.epochs_per_hello));
    return epochs;
}

bool UplinkSession::is_named(std::uint64_t sequence) const {
    const std::uint64_t epoch = spool_->number_of(sequence).epoch;
    return epoch == spool_->epoch() ||
           std::find(named_.begin(), named_.end(), epoch) != named_.end();
}

UplinkActions UplinkSession::on_message(std::string_view bytes) {
    UplinkActions actions;
    if (state_ == UplinkState::disconnected) return actions;
    const auto message = wire::decode(bytes, limits_);
    if (!message) {
        ++stats_.messages_refused;
        return actions;
    }
    std::visit(
        [&](const auto& kind) {
            if constexpr (requires { on(kind, actions); }) {
                on(kind, actions);
            } else {
                ++stats_.messages_refused;  // only agents say these, or nobody in a session
            }
        },
        *message);
    return actions;
}

void UplinkSession::on(const wire::Welcome& welcome, UplinkActions& actions) {
    if (state_ != UplinkState::greeting) {
        ++stats_.messages_refused;
        return;
    }
    const std::uint64_t next = spool_->next_number().number;
    for (const wire::SequenceRange& range : welcome.durable) {
        if (range.last < next) continue;
        // A copy of this machine went on from the same memory, or the collector errs. Neither is
        // mended by waiting; a new epoch is nobody else's.
        end("the collector claims sequence numbers that were never given", next_backoff(), actions);
        actions.try_another = true;
        spool_->begin_epoch();
        return;
    }
    for (const wire::SequenceRange& range : welcome.durable)
        spool_->ack_range(spool_->epoch(), range.first, range.last);
    for (const wire::EpochDurable& earlier : welcome.earlier) {
        for (const wire::SequenceRange& range : earlier.durable)
            spool_->ack_range(earlier.epoch, range.first, range.last);
    }
    credit_ = std::clamp<std::uint32_t>(welcome.credit, 1, kCreditMax);
    state_ = UplinkState::streaming;
    stats_.last_error.clear();
    backoff_ = kBackoffMin;
    live_next_ = live_from_;
    backlog_next_ = 0;
    if (hello_is_old_) {
        hellos_ = 0;
        say_hello(actions);
        return;
    }
    pump(actions);
}

void UplinkSession::on(const wire::Ack& ack, UplinkActions& actions) {
    if (!spool_->knows_epoch(ack.epoch)) {
        ++stats_.messages_refused;
        return;
    }
    std::vector<std::uint64_t> durable;
    for (const std::uint64_t number : ack.sequences) {
        const auto sent = find_in_flight({ack.epoch, number});
        if (sent == in_flight_.end()) continue;
        durable.push_back(sent->first);
        settle(sent);
    }
    stats_.acked_batches += durable.size();
    spool_->ack(durable);
    pump(actions);
}

void UplinkSession::on(const wire::Reject& reject, UplinkActions& actions) {
    const auto told = [&](std::string_view what) {
        const std::string detail = printable(reject.detail, 200);
        return std::string(what) + (detail.empty() ? "" : ": " + detail);
    };
    switch (reject.reason) {
        case wire::RejectReason::hello_first:
            say_hello(actions);
            return;
        case wire::RejectReason::wrong_host:
            end(told("the collector has another host id enrolled with this key"),
                jittered(kRefusedBackoff), actions);
            actions.try_another = true;
            return;
        case wire::RejectReason::too_old_protocol:
            end(told("the collector no longer speaks this agent's protocol; update the agent"),
                jittered(kRefusedBackoff), actions);
            actions.try_another = true;
            return;
        case wire::RejectReason::undecodable:
        case wire::RejectReason::over_limit:
            break;
        case wire::RejectReason::later:
        default:  // of a newer collector: what it means is not known, so nothing is given up
            postpone(reject, actions);
            return;
    }
    const auto sent = find_in_flight({reject.epoch, reject.sequence});
    if (sent != in_flight_.end()) {
        const std::uint64_t sequence = sent->first;
        settle(sent);
        ++stats_.rejected_batches;
        stats_.last_error = told("the collector refused a batch");
        spool_->drop(sequence, DropReason::rejected);
        pump(actions);
    } else if (reject.sequence == 0) {
        end(told("the collector refused a message"), next_backoff(), actions);
    }
}

// The batch stays in the spool and at the head of its lane, which rests as long as the collector
// asks. The other lane has a quota of its own and goes on.
void UplinkSession::postpone(const wire::Reject& reject, UplinkActions& actions) {
    const milliseconds wait =
        std::clamp<milliseconds>(milliseconds{reject.retry_after_ms}, kBackoffMin, kPauseMax);
    const std::string why = "the collector asks to wait: " + printable(reject.detail, 200);
    if (reject.sequence == 0) {
        end(why, jittered(wait) + wait / 2, actions);
        actions.try_another = true;
        return;
    }
    const auto sent = find_in_flight({reject.epoch, reject.sequence});
    if (sent == in_flight_.end()) return;
    const std::uint64_t sequence = sent->first;
    const bool backlog = sent->second.backlog;
    settle(sent);
    ++stats_.deferred_batches;
    stats_.last_error = why;
    std::uint64_t& next = backlog ? backlog_next_ : live_next_;
    MonoTime& until = backlog ? backlog_paused_until_ : live_paused_until_;
    next = std::min(next, sequence);
    until = std::max(until, clock_->mono_now() + wait);
    pump(actions);
}

void UplinkSession::on(const wire::SchemaRequest& request, UplinkActions& actions) {
    if (!send_schema(request.schema_hash, actions) && schemas_owed_.size() < kSchemasOwedMax) {
        schemas_owed_.insert(request.schema_hash);
    }
    std::vector<std::uint64_t> unreadable;
    for (auto& [sequence, sent] : in_flight_) {
        if (sent.again) continue;
        auto body = spool_->read(sequence);
        const auto decoded =
            body ? wire::decode_body(*body, limits_) : Result<wire::BatchBody>(fail(body.error()));
        if (!decoded) {
            unreadable.push_back(sequence);
        } else if (decoded->schema_hash == request.schema_hash) {
            if (schemas_owed_.contains(request.schema_hash)) {
                unreadable.push_back(sequence);  // its schema is lost, so nobody can ever read it
                continue;
            }
            sent.again = true;
            actions.send.push_back(encoded_batch(sequence, sent.backlog, std::move(*body)));
        }
    }
    for (const std::uint64_t sequence : unreadable) {
        settle(in_flight_.find(sequence));
        spool_->drop(sequence, DropReason::corrupt);
    }
    pump(actions);
}

bool UplinkSession::send_schema(std::uint64_t hash, UplinkActions& actions) {
    const auto encoded = spool_->schema(hash);
    if (!encoded) return false;
    auto schema = wire::decode_schema(*encoded, limits_);
    if (!schema) return false;
    actions.send.push_back(wire::encode(wire::SchemaReply{hash, std::move(*schema)}));
    return true;
}

UplinkActions UplinkSession::on_batch(std::uint64_t schema_hash) {
    UplinkActions actions;
    schema_hash_ = schema_hash;
    if (state_ != UplinkState::streaming) return actions;
    std::erase_if(schemas_owed_, [&](std::uint64_t hash) { return send_schema(hash, actions); });
    pump(actions);
    return actions;
}

UplinkActions UplinkSession::on_identity(wire::TextMap tags, wire::TextMap facts) {
    UplinkActions actions;
    if (tags == identity_.tags && facts == identity_.facts) return actions;
    identity_.tags = std::move(tags);
    identity_.facts = std::move(facts);
    // While a Welcome is awaited, a second Hello would only be answered by a second one.
    hello_is_old_ = state_ == UplinkState::greeting;
    if (state_ == UplinkState::streaming) {
        hellos_ = 0;
        say_hello(actions);
    }
    return actions;
}

UplinkActions UplinkSession::on_spool_replaced() {
    UplinkActions actions;
    if (state_ != UplinkState::disconnected)
        end("the spool was opened, its batches are in another order", kBackoffMin, actions);
    return actions;
}

UplinkActions UplinkSession::on_tick() {
    UplinkActions actions;
    const MonoTime now = clock_->mono_now();
    if (state_ == UplinkState::greeting && now - greeted_at_ >= kWelcomeTimeout) {
        end("the collector did not answer Hello", next_backoff(), actions);
        actions.try_another = true;
    } else if (state_ == UplinkState::streaming) {
        const bool overdue =
            std::any_of(in_flight_.begin(), in_flight_.end(),
                        [&](const auto& sent) { return now - sent.second.at >= kAckTimeout; });
        if (overdue) {
            end("the collector did not acknowledge a batch in time", next_backoff(), actions);
            actions.try_another = true;
        } else {
            pump(actions);  // a lane's pause may be over
        }
    }
    return actions;
}

UplinkActions UplinkSession::on_disconnected(std::string_view why) {
    UplinkActions actions;
    end(why, next_backoff(), actions);
    return actions;
}

void UplinkSession::pump(UplinkActions& actions) {
    if (state_ != UplinkState::streaming) return;
    const std::size_t backlog_share = std::max<std::size_t>(credit_ / 2, 1);
    const MonoTime now = clock_->mono_now();
    while (in_flight_.size() < credit_ && bytes_in_flight_ < kInFlightBytesMax) {
        if (now >= live_paused_until_) {
            if (const auto live = next_to_send(live_next_)) {
                if (!spool_->sendable(*live)) return;
                live_next_ = *live + 1;
                send_batch(*live, false, actions);
                continue;
            }
        }
        if (now < backlog_paused_until_ || backlog_in_flight_ >= backlog_share) return;
        const auto old = next_to_send(backlog_next_);
        if (!old || *old >= live_from_) return;
        if (!is_named(*old)) {
            // The collector may not remember what it has of that epoch until it is named, which it
            // is when those before it are drained.
            if (backlog_in_flight_ > 0 || epochs_to_name() == named_) return;
            hellos_ = 0;
            say_hello(actions);
            return;
        }
        if (!spool_->sendable(*old)) return;
        backlog_next_ = *old + 1;
        send_batch(*old, true, actions);
    }
}

std::optional<std::uint64_t> UplinkSession::next_to_send(std::uint64_t from) const {
    auto held = spool_->next_held(from);
    while (held && in_flight_.contains(*held))
        held = spool_->next_held(*held + 1);
    return held;
}

// A batch that cannot be read is passed over: the spool has counted it, or it is tried again on the
// next connection.
void UplinkSession::send_batch(std::uint64_t sequence, bool backlog, UplinkActions& actions) {
    auto body = spool_->read(sequence);
    if (!body) {
        stats_.last_error = body.error().context;
        return;
    }
    spool_->note_sent(sequence);
    in_flight_[sequence] = Sent{clock_->mono_now(), body->size(), backlog, false};
    backlog_in_flight_ += backlog ? 1 : 0;
    bytes_in_flight_ += body->size();
    actions.send.push_back(encoded_batch(sequence, backlog, std::move(*body)));
}

std::string UplinkSession::encoded_batch(std::uint64_t sequence, bool backlog,
                                         std::string body) const {
    const BatchNumber number = spool_->number_of(sequence);
    return wire::encode(
        wire::Batch{identity_.host_id, number.epoch, number.number, backlog, std::move(body)});
}

UplinkSession::InFlight::iterator UplinkSession::find_in_flight(BatchNumber number) {
    const auto sequence = spool_->sequence_of(number);
    return sequence ? in_flight_.find(*sequence) : in_flight_.end();
}

void UplinkSession::settle(InFlight::iterator sent) {
    backlog_in_flight_ -= sent->second.backlog ? 1 : 0;
    bytes_in_flight_ -= sent->second.bytes;
    in_flight_.erase(sent);
}

void UplinkSession::clear_in_flight() {
    in_flight_.clear();
    backlog_in_flight_ = 0;
    bytes_in_flight_ = 0;
}

void UplinkSession::end(std::string_view why, milliseconds in, UplinkActions& actions) {
    state_ = UplinkState::disconnected;
    clear_in_flight();
    schemas_owed_.clear();
    stats_.last_error = why;
    actions.send.clear();
    actions.reconnect_in = in;
}

milliseconds UplinkSession::next_backoff() {
    const milliseconds delay = backoff_;
    backoff_ = std::min<milliseconds>(backoff_ * 2, kBackoffMax);
    return jittered(delay);
}

// Between half of it and all of it, so that a fleet that lost its collector does not come back as
// one.
milliseconds UplinkSession::jittered(milliseconds delay) {
    return milliseconds{
        std::uniform_int_distribution<milliseconds::rep>(delay.count() / 2, delay.count())(rng_)};
}

}  // namespace ridgeline::agent
