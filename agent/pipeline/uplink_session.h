// The uplink's conversation, without sockets: what was heard goes in, what to do comes out.
//
// Hello -> Welcome, then batches within the collector's credit in two lanes. Batches sealed since
// the connection was made are live and go first; older ones are backlog, in order, and leave half
// of the credit free so that live data never waits behind them. A batch leaves the spool only when
// the collector says it is durable. Pure; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pipeline/spool.h"
#include "common/base/clock.h"
#include "common/wire/messages.h"

namespace ridgeline::agent {

using Rng = std::mt19937_64;

inline constexpr std::chrono::seconds kAckTimeout{30};
inline constexpr std::chrono::seconds kWelcomeTimeout{30};
inline constexpr std::chrono::milliseconds kBackoffMin{250};
inline constexpr std::chrono::seconds kBackoffMax{30};
inline constexpr std::chrono::seconds kRefusedBackoff{
    60};                                          // after a refusal that only an operator can lift
inline constexpr std::uint32_t kCreditMax = 256;  // whatever the collector grants
// However long the collector asks to wait with a lane: it may be another one tomorrow.
inline constexpr std::chrono::minutes kPauseMax{5};
inline constexpr std::size_t kInFlightBytesMax = 8U << 20;  // likewise; one batch may exceed it

struct UplinkIdentity {
    std::string host_id;
    std::string agent_version;
    std::string boot_id;
    wire::TextMap tags;   // may change while the agent runs
    wire::TextMap facts;  // likewise
};

enum class UplinkState : std::uint8_t { disconnected, greeting, streaming };
std::string_view to_string(UplinkState state);

struct UplinkStats {
    std::uint64_t connections = 0;
    std::uint64_t acked_batches = 0;
    std::uint64_t rejected_batches = 0;
    std::uint64_t deferred_batches = 0;  // over the collector's quota, kept and sent again later
    std::uint64_t messages_refused = 0;  // from the collector, not understood
    std::string last_error;              // why the last connection ended or was refused
};

// What the transport is to do, in this order.
struct UplinkActions {
    std::vector<std::string> send;
    // Close the connection and open the next one after this long.
    std::optional<std::chrono::milliseconds> reconnect_in;
    bool try_another = false;  // if there are several collectors: this one is of no use now
};

class UplinkSession {
  public:
    UplinkSession(Spool& spool, UplinkIdentity identity, const Clock& clock, Rng rng);

    UplinkActions on_connected(std::uint64_t schema_hash);
    UplinkActions on_message(std::string_view bytes);
    // A batch of this schema was sealed into the spool.
    UplinkActions on_batch(std::uint64_t schema_hash);
    // What is known of the host has changed; the collector is told at once, or with the next Hello.
    UplinkActions on_identity(wire::TextMap tags, wire::TextMap facts);
    // The spool's batches have other sequences now.
    UplinkActions on_spool_replaced();
    // To be called about once a second: timeouts.
    UplinkActions on_tick();
    // The transport lost the connection, or could not make one.
    UplinkActions on_disconnected(std::string_view why);

    UplinkState state() const { return state_; }
    std::size_t in_flight() const { return in_flight_.size(); }
    const UplinkStats& stats() const { return stats_; }

  private:
    struct Sent {
        MonoTime at;
        std::size_t bytes = 0;
        bool backlog = false;
        bool again = false;  // was sent a second time, after a schema
    };
    using InFlight = std::map<std::uint64_t, Sent>;  // by the spool's sequence

    void say_hello(UplinkActions& actions);
    std::vector<std::uint64_t> epochs_to_name() const;
    // Of the present epoch, or one that the last Hello named.
    bool is_named(std::uint64_t sequence) const;
    void on(const wire::Welcome& welcome, UplinkActions& actions);
    void on(const wire::Ack& ack, UplinkActions& actions);
    void on(const wire::Reject& reject, UplinkActions& actions);
    void on(const wire::SchemaRequest& request, UplinkActions& actions);
    void postpone(const wire::Reject& reject, UplinkActions& actions);
    void pump(UplinkActions& actions);
    // The first batch from `from` on that is not in flight already.
    std::optional<std::uint64_t> next_to_send(std::uint64_t from) const;
    void send_batch(std::uint64_t sequence, bool backlog, UplinkActions& actions);
    std::string encoded_batch(std::uint64_t sequence, bool backlog, std::string body) const;
    bool send_schema(std::uint64_t hash, UplinkActions& actions);
    void clear_in_flight();
    InFlight::iterator find_in_flight(BatchNumber number);
    void settle(InFlight::iterator sent);
    void end(std::string_view why, std::chrono::milliseconds in, UplinkActions& actions);
    std::chrono::milliseconds next_backoff();
    std::chrono::milliseconds jittered(std::chrono::milliseconds delay);

    Spool* spool_;
    UplinkIdentity identity_;
    const Clock* clock_;
    Rng rng_;
    wire::Limits limits_;
    UplinkState state_ = UplinkState::disconnected;
    UplinkStats stats_;
    std::chrono::milliseconds backoff_ = kBackoffMin;
    std::uint32_t credit_ = 0;
    std::uint32_t hellos_ = 0;  // on this connection
    MonoTime greeted_at_;
    std::uint64_t schema_hash_ = 0;
    std::uint64_t live_from_ = 0;  // sequences from here on are live
    std::uint64_t live_next_ = 0;  // the next one of each lane to be sent
    std::uint64_t backlog_next_ = 0;
    MonoTime live_paused_until_;  // the collector asked to wait
    MonoTime backlog_paused_until_;
    std::size_t backlog_in_flight_ = 0;
    std::size_t bytes_in_flight_ = 0;
    bool hello_is_old_ = false;             // the identity changed since it was said
    std::vector<std::uint64_t> named_;      // earlier epochs, by the last Hello
    std::set<std::uint64_t> schemas_owed_;  // asked for before any batch had them
    InFlight in_flight_;
};

}  // namespace ridgeline::agent
