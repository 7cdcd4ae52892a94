// One agent of the swarm: its own key, CURVE connection, spool and session. What it does not do is
// sample a host, and its spool lies in memory.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "agent/pipeline/collector_socket.h"
#include "agent/pipeline/spool.h"
#include "agent/pipeline/uplink_session.h"
#include "common/net/uv.h"
#include "common/net/zmq_socket.h"
#include "tests/bench/swarm_host.h"
#include "tests/support/faulty_storage.h"

namespace ridgeline::bench {

// Counts of durations, to a sixteenth.
class Durations {
  public:
    void add(std::chrono::nanoseconds duration);
    // Upper ends in microseconds, and how many; then begins anew.
    std::map<std::int64_t, std::uint64_t> take();

  private:
    std::map<std::int64_t, std::uint64_t> counts_;
};

// What the agents of one process have in common.
struct SwarmShared {
    net::Loop* loop = nullptr;
    net::ZmqContext* context = nullptr;
    const Clock* clock = nullptr;
    std::string endpoint;
    std::string server_public_z85;
    std::chrono::seconds batch{10};
    // Counted over all agents and since the start.
    std::uint64_t sealed_batches = 0;
    std::uint64_t connections_lost = 0;
    std::string last_error;
    Durations ack_latency;  // of live batches, from sealed to acknowledged
    Durations lag;          // how much later than due a batch was sealed: ours, not the collector's
};

class SwarmAgent {
  public:
    static Result<std::unique_ptr<SwarmAgent>> make(SwarmShared& shared, std::string host_id,
                                                    const HostKind& kind, HostData data);
    ~SwarmAgent();

    const std::string& public_key() const { return keys_.public_z85; }
    const std::string& host_id() const { return host_id_; }
    void connect_in(std::chrono::milliseconds delay) { reconnect_.start(delay); }
    // The first batch is sealed then, the next ones a batch interval later each. `last_stamp_ms`:
    // of the first batch's last sample, a whole second.
    void sample_from(MonoTime first_seal, std::int64_t last_stamp_ms);
    void be_busy_from(std::int64_t time_ms) { data_.busy_from_ms = time_ms; }
    void stop_sampling() { seal_.stop(); }
    void on_tick();

    bool streaming() const { return session_.state() == agent::UplinkState::streaming; }
    const agent::UplinkStats& uplink_stats() const { return session_.stats(); }
    const agent::SpoolStats& spool_stats() const { return spool_.stats(); }

  private:
    struct Connection;
    struct SentBatch {
        std::uint64_t sequence;
        MonoTime at;
    };

    SwarmAgent(SwarmShared& shared, std::string host_id, const HostKind& kind, HostData data,
               net::KeyPair keys, std::unique_ptr<test::FaultyStorage> storage, agent::Spool spool);
    void connect();
    void close_later();
    void on_monitor_event();
    void drain();
    void carry_out(agent::UplinkActions actions);
    void flush();
    void seal();
    void note_acks();

    SwarmShared* shared_;
    std::string host_id_;
    const HostKind* kind_;
    HostData data_;
    net::KeyPair keys_;
    std::unique_ptr<test::FaultyStorage> storage_;
    agent::Spool spool_;
    agent::UplinkSession session_;
    std::unique_ptr<Connection> connection_;
    std::deque<std::string> outbox_;
    std::deque<SentBatch> sent_;  // live ones, not acknowledged
    net::Timer reconnect_;
    net::Timer seal_;
    MonoTime seal_due_;
    std::int64_t next_stamp_ms_ = 0;
};

}  // namespace ridgeline::bench
