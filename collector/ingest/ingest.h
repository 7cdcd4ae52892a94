// Takes in what agents send: checks who speaks for whom, what is new, what decodes; appends to the
// log; acks once it is durable. Sans-I/O: messages in, messages out; sockets and fsync are the
// owner's. Loop thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/ingest/host_quota.h"
#include "collector/log/log.h"
#include "collector/log/schema_pool.h"
#include "common/base/clock.h"
#include "common/wire/block_codec.h"
#include "common/wire/messages.h"

namespace ridgeline::collector {

struct IngestLimits {
    wire::Limits wire;
    QuotaLimits quota;
    std::uint32_t credit = 16;
    std::size_t hosts = 50'000;
    std::size_t schemas_per_host = 8;
    std::chrono::milliseconds future_max =
        std::chrono::hours{2};  // CloudWatch takes no more either
    std::chrono::milliseconds past_max = std::chrono::hours{24} * 400;
    std::chrono::milliseconds silent_after = std::chrono::seconds{45};
};

struct IngestStats {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
    std::uint64_t batches = 0;  // new ones, appended
    std::uint64_t samples = 0;
    std::uint64_t samples_thinned = 0;  // taken out by agents that had no room for them
    std::uint64_t duplicates = 0;
    std::uint64_t schema_requests = 0;
    std::uint64_t schemas_forgotten = 0;  // for others of the same host; asked for again if needed
    std::uint64_t batches_lost = 0;       // sequences the agent gave up before they came here
    std::uint64_t losses_doubted = 0;     // claimed to be lost, but more than a host can have had
    // told to come later, by lane, and left without an answer since the agent would not understand
    std::uint64_t deferred_live = 0;
    std::uint64_t deferred_backlog = 0;
    std::uint64_t deferred_unanswered = 0;  // of those
    // refusals
    std::uint64_t undecodable = 0;
    std::uint64_t over_limit = 0;
    std::uint64_t wrong_host = 0;
    std::uint64_t bad_protocol = 0;
    std::uint64_t before_hello = 0;
    std::uint64_t bad_time = 0;
    std::uint64_t unknown_kind = 0;  // of a newer protocol: ignored
    std::uint64_t log_errors = 0;    // not taken since the log could not be written
    std::uint64_t flood = 0;         // not looked at: their host goes on however often it is told
    std::uint64_t hosts_full = 0;    // Hellos of hosts for whom there is no room
};

struct HostState {
    HostInfo info;
    WallTime last_seen{};  // last message, collector's clock
    std::int64_t last_sample_ms = 0;
    std::int64_t clock_offset_ms =
        0;  // agent − collector, as of the last Hello; includes one network delay
    std::uint64_t batches = 0;
    std::uint64_t samples = 0;
    std::uint64_t samples_thinned = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t batches_lost = 0;
    std::uint64_t batches_deferred = 0;
    // Live batches in a row that were refused for their samples' times. A backlog says how the
    // clock was, not how it is.
    std::uint64_t bad_times = 0;
    std::uint64_t live_batches = 0;  // of `batches`
    std::uint64_t lost_in_epoch = 0;
    std::uint64_t epoch = 0;
};

struct Outgoing {
    std::string connection;  // the ROUTER's identity of the peer
    wire::Message message;
};

class Ingest {
  public:
    // Whether a host may have another key.
    using OnKeyChange =
        std::function<wire::KeyChangeReply(std::string_view host, const wire::KeyChange&)>;

    Ingest(Log& log, const Clock& clock, IngestLimits limits, OnKeyChange on_key_change = {})
        : log_(log), clock_(clock), limits_(limits), on_key_change_(std::move(on_key_change)) {}

    // `host` is the one enrolled with the key the connection authenticated with.
    void on_message(std::string_view connection, std::string_view host, std::string_view bytes,
                    std::vector<Outgoing>& out);
    // Charges a message to whoever sent it; false when it is one too many even to be looked at.
    // Done by on_message(), and for who is no host (whose name must not look like one's) by the
    // caller.
    bool listens_to(std::string_view sender, std::size_t bytes);
    // Whether `host` floods: its connection is to be closed. What it holds it sends again.
    bool flooding(std::string_view host);
    // New limits, in force from now on.
    void change(const IngestLimits& limits);
    // The log is durable up to `position`: the acks and Welcomes that waited for it.
    void on_durable(LogPosition position, std::vector<Outgoing>& out);
    // A sync failed: what lies past the durable position was cut off and will be sent again. To be
    // followed by on_durable().
    void on_sync_failed();

    const IngestStats& stats() const { return stats_; }
    const std::map<std::string, HostState, std::less<>>& hosts() const { return hosts_; }
    // Said Hello on a connection and was heard of lately.
    bool connected(std::string_view host) const;

  private:
    struct ListedSchema {
        std::shared_ptr<const SharedSchema> known;
        std::size_t weight = 0;  // series, those with much text counted several times
    };
    struct Awaited {
        std::uint64_t schema_hash = 0;
        std::uint64_t epoch = 0;
        std::uint64_t sequence = 0;
        bool operator==(const Awaited&) const = default;
    };
    struct Peer {
        std::string host;
        bool can_wait = false;
        std::deque<Awaited> awaited;  // batches whose schema was asked for, the oldest first
    };
    struct Account {
        HostQuota quota;
        // How many lost batches a host can have: a month's, and what passes of time. A claim costs
        // the claimant nothing, but it shows as an alarming number.
        TokenBucket losses;
        // Each is a commit to a database, which everybody waits for.
        TokenBucket key_changes;
    };
    struct PendingAck {
        LogPosition position;  // durable once the log is durable past it
        std::string connection;
        std::uint64_t epoch;
        wire::SequenceRange range;  // acked by its last
    };
    // Its Welcome waits until all batches of its host are durable.
    struct WaitingHello {
        std::string connection;
        std::string host;
        std::vector<std::uint64_t> epochs;  // the present one first
    };
    using Replies = std::vector<Outgoing>;

    void handle(std::string_view connection, std::string_view host, const wire::Hello& hello,
                Replies& out);
    void handle(std::string_view connection, std::string_view host, const wire::Batch& batch,
                Replies& out);
    void handle(std::string_view connection, std::string_view host, wire::SchemaReply& reply,
                Replies& out);
    wire::KeyChangeReply change_key(std::string_view host, const wire::KeyChange& change);
    // A message that cannot be decoded; when it is a schema, the batches that wait for it are
    // refused, or their agent would send them for ever.
    void refuse(std::string_view connection, std::string_view host, std::string_view bytes,
                const Error& error, Replies& out);
    // `epochs`: the present one first.
    void welcome(std::string_view connection, std::string_view host,
                 const std::vector<std::uint64_t>& epochs, Replies& out);
    void reject(std::string_view connection, std::uint64_t epoch, std::uint64_t sequence,
                wire::RejectReason reason, std::string detail, Replies& out);
    bool admissible(std::string_view connection, std::string_view host, const wire::Batch& batch,
                    Replies& out);
    // Over quota: told to come later, or left alone.
    bool postponed(std::string_view connection, std::string_view host, const wire::Batch& batch,
                   Replies& out);
    void count_losses(std::string_view host, HostState& state, std::uint64_t lost);
    bool must_wait(std::string_view host, LogPosition durable) const;
    InFlightAllowance allowance() const;
    Account& account(std::string_view host);
    bool times_are_plausible(const SampleBlock& block) const;
    const SharedSchema* find_schema(std::string_view host, std::uint64_t hash);

    Log& log_;
    const Clock& clock_;
    IngestLimits limits_;
    wire::BlockDecoder blocks_;
    OnKeyChange on_key_change_;
    IngestStats stats_;
    std::map<std::string, HostState, std::less<>> hosts_;
    std::map<std::string, Account, std::less<>> accounts_;  // by host; enrolled ones only come here
    std::map<std::string, Peer, std::less<>> peers_;        // by connection
    std::map<std::string, std::string, std::less<>> connections_;  // by host
    SchemaPool schema_pool_;
    std::map<std::string, std::list<ListedSchema>, std::less<>>
        schemas_;                          // by host, the last used first
    std::deque<PendingAck> pending_acks_;  // ascending by position
    // By host, the position of its last one.
    std::map<std::string, LogPosition, std::less<>> last_pending_;
    std::vector<WaitingHello> waiting_hellos_;  // one a host at most
};

}  // namespace ridgeline::collector
