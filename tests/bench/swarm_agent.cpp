#include "tests/bench/swarm_agent.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "common/wire/block_codec.h"

namespace ridgeline::bench {

namespace {

using std::chrono::milliseconds;

// 25 minutes of batches, in small segments: one is kept until all its batches are acknowledged.
agent::SpoolOptions spool_options() {
    agent::SpoolOptions options;
    options.bytes_max = 384U << 10;
    return options;
}

constexpr int kBitsKept = 5;  // a step is at most a sixteenth

milliseconds until(MonoTime due, MonoTime now) {
    return std::max(milliseconds{0}, std::chrono::ceil<milliseconds>(due - now));
}

}  // namespace

void Durations::add(std::chrono::nanoseconds duration) {
    const auto us = static_cast<std::uint64_t>(
        std::max<std::int64_t>(duration / std::chrono::microseconds{1}, 0));
    // The leading bits are kept, and rounded up.
    const int width = static_cast<int>(std::bit_width(us));
    const int shift = std::max(width - kBitsKept, 0);
    ++counts_[static_cast<std::int64_t>(((us >> shift) + 1) << shift)];
}

std::map<std::int64_t, std::uint64_t> Durations::take() {
    return std::exchange(counts_, {});
}

struct SwarmAgent::Connection {
    Connection(net::Loop& loop, agent::CollectorSocket opened, std::function<void()> on_socket,
               std::function<void()> on_monitor)
        : socket(std::move(opened.socket)),
          monitor(std::move(opened.monitor)),
          socket_poll(loop, socket.fd(), [run = std::move(on_socket)](int, int) { run(); }),
          monitor_poll(loop, monitor.socket().fd(),
                       [run = std::move(on_monitor)](int, int) { run(); }) {
        // libuv polls level-triggered: the descriptors stay readable until the sockets are read
        // empty. A watcher for each, which asks in every turn of the loop, would ask thousands.
        socket_poll.start(UV_READABLE);
        monitor_poll.start(UV_READABLE);
    }

    net::ZmqSocket socket;
    net::ZmqMonitor monitor;
    net::Poll socket_poll;
    net::Poll monitor_poll;
    bool established = false;
};

Result<std::unique_ptr<SwarmAgent>> SwarmAgent::make(SwarmShared& shared, std::string host_id,
                                                     const HostKind& kind, HostData data) {
    RL_ASSIGN_OR_RETURN(net::KeyPair keys, net::generate_key_pair());
    auto storage = std::make_unique<test::FaultyStorage>();
    RL_ASSIGN_OR_RETURN(agent::Spool spool, agent::Spool::open(*storage, spool_options()));
    return std::unique_ptr<SwarmAgent>(new SwarmAgent(shared, std::move(host_id), kind, data,
                                                      std::move(keys), std::move(storage),
                                                      std::move(spool)));
}

SwarmAgent::SwarmAgent(SwarmShared& shared, std::string host_id, const HostKind& kind,
                       HostData data, net::KeyPair keys,
                       std::unique_ptr<test::FaultyStorage> storage, agent::Spool spool)
    : shared_(&shared),
      host_id_(std::move(host_id)),
      kind_(&kind),
      data_(data),
      keys_(std::move(keys)),
      storage_(std::move(storage)),
      spool_(std::move(spool)),
      session_(spool_,
               {host_id_,
                RIDGELINE_VERSION,
                "boot-" + host_id_,
                {{"env", "prod"}, {"role", "web"}},
                {{"cpu.count", "2"},
                 {"ec2.instance_type", "t3.medium"},
                 {"ec2.zone", "eu-central-1a"},
                 {"kernel", "6.1.0-28-cloud-amd64"},
                 {"os", "Debian GNU/Linux 12 (bookworm)"}}},
               *shared.clock, agent::Rng(static_cast<std::uint32_t>(data.number))),
      reconnect_(*shared.loop, [this] { connect(); }),
      seal_(*shared.loop, [this] { seal(); }) {}

SwarmAgent::~SwarmAgent() = default;

void SwarmAgent::connect() {
    auto opened = agent::open_collector_socket(*shared_->context, shared_->endpoint,
                                               shared_->server_public_z85, keys_);
    if (!opened) {
        carry_out(session_.on_disconnected(opened.error().context));
        return;
    }
    connection_ = std::make_unique<Connection>(
        *shared_->loop, std::move(*opened), [this] { drain(); }, [this] { on_monitor_event(); });
    // libzmq signals what comes after somebody has looked in vain, not what was there before.
    on_monitor_event();
    drain();
}

// A callback of the connection may be running.
void SwarmAgent::close_later() {
    outbox_.clear();
    sent_.clear();
    if (!connection_) return;
    if (connection_->established) ++shared_->connections_lost;
    shared_->loop->defer([closing = std::shared_ptr<Connection>(std::move(connection_))] {});
}

void SwarmAgent::on_monitor_event() {
    while (connection_) {
        const auto event = connection_->monitor.next();
        if (!event || !*event) return;
        if ((*event)->id == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            connection_->established = true;
            carry_out(session_.on_connected(kind_->hash()));
            drain();
        } else {
            carry_out(session_.on_disconnected(agent::why_it_ended(**event)));
        }
    }
}

// Sending takes in what libzmq has to say as well and so may use up the descriptor's signal: the
// socket is read empty after either.
void SwarmAgent::drain() {
    while (connection_) {
        const auto frames = connection_->socket.receive(1);
        if (!frames || frames->empty()) return;
        carry_out(session_.on_message(frames->front().bytes()));
        note_acks();
    }
}

void SwarmAgent::carry_out(agent::UplinkActions actions) {
    if (actions.reconnect_in) {
        shared_->last_error = session_.stats().last_error;
        close_later();
        reconnect_.start(*actions.reconnect_in);
        return;
    }
    std::move(actions.send.begin(), actions.send.end(), std::back_inserter(outbox_));
    flush();
}

void SwarmAgent::flush() {
    while (connection_ && connection_->established && !outbox_.empty()) {
        const auto sent = connection_->socket.send(outbox_.front());
        if (!sent || !*sent) return;
        outbox_.pop_front();
    }
}

void SwarmAgent::on_tick() {
    carry_out(session_.on_tick());
    drain();
}

void SwarmAgent::sample_from(MonoTime first_seal, std::int64_t last_stamp_ms) {
    seal_due_ = first_seal;
    next_stamp_ms_ = last_stamp_ms - (shared_->batch - std::chrono::seconds{1}) / milliseconds{1};
    seal_.start(until(seal_due_, shared_->clock->mono_now()));
}

void SwarmAgent::seal() {
    const MonoTime now = shared_->clock->mono_now();
    shared_->lag.add(now - seal_due_);
    const auto ticks = static_cast<std::size_t>(shared_->batch.count());
    const SampleBlock block = kind_->block(data_, next_stamp_ms_, ticks);
    next_stamp_ms_ += shared_->batch / milliseconds{1};
    agent::SealedBatch batch;
    batch.body.schema_hash = kind_->hash();
    batch.body.sealed_wall_ms = to_unix_ms(shared_->clock->wall_now());
    batch.body.sealed_mono_ms = now.time_since_epoch() / milliseconds{1};
    batch.body.sample_count = static_cast<std::uint32_t>(block.sample_count());
    batch.body.columns = wire::encode_block(block);
    batch.schema = kind_->encoded_schema();
    const std::uint64_t sequence = spool_.append(batch);
    ++shared_->sealed_batches;
    auto actions = session_.on_batch(kind_->hash());
    if (!actions.send.empty()) sent_.push_back({sequence, now});
    carry_out(std::move(actions));
    drain();
    seal_due_ += shared_->batch;
    seal_.start(until(seal_due_, shared_->clock->mono_now()));
}

void SwarmAgent::note_acks() {
    const MonoTime now = shared_->clock->mono_now();
    std::erase_if(sent_, [&](const SentBatch& batch) {
        if (spool_.holds(batch.sequence)) return false;
        shared_->ack_latency.add(now - batch.at);
        return true;
    });
}

}  // namespace ridgeline::bench
