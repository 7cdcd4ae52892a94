// Alerts and their history, on disk: what fires, since when, and every transition with the value
// that caused it.
//
// One commit takes transitions, firing conditions and the log position they were worked out at, in
// one transaction: after a crash the rules go on from exactly there, and no transition is recorded
// twice or lost. Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/log/log_batch.h"
#include "collector/rule/engine.h"
#include "collector/state/sqlite.h"

namespace ridgeline::collector {

enum class AlertState : std::uint8_t { firing, resolved, episode };
std::string_view to_string(AlertState state);

struct Alert {
    std::int64_t id = 0;  // one for the whole life of a problem, whatever its severity becomes
    std::string key;
    std::string rule;
    std::string host;
    Attributes attributes;
    Severity severity = Severity::p4;
    AlertState state = AlertState::firing;
    std::int64_t since_ms = 0;     // the first breaching sample
    std::int64_t fired_ms = 0;     // the deciding sample
    std::int64_t resolved_ms = 0;  // 0 while firing
    double value = 0;
    double threshold = 0;
    std::string unit;
    std::string summary;
    std::string runbook;
    std::string reason;                       // why it was resolved, when no sample did it
    std::map<std::string, std::string> tags;  // of the host when it fired
    std::int64_t changed_ms = 0;              // of the newest transition
    std::int64_t reopened = 0;                // how often it fired again soon after it had resolved
    // Taken on by somebody; void once it is graver than it was then, and once it has resolved.
    std::string acked_by;  // empty: nobody
    std::int64_t acked_ms = 0;
    std::int64_t acked_until_ms = 0;  // 0: as long as it fires
    std::string ack_comment;
    std::int64_t flapping_ms = 0;  // since when; 0: it does not flap
    Severity flapping_severity = Severity::p4;
    std::int64_t silence = 0;  // the one that was last seen to hide it; 0: none

    bool acknowledged(std::int64_t now_ms) const {
        return !acked_by.empty() && (acked_until_ms == 0 || now_ms < acked_until_ms);
    }
};

struct AlertQuery {
    std::optional<AlertState> state;
    std::int64_t since_ms = 0;          // changed no earlier
    std::int64_t until_ms = INT64_MAX;  // and earlier than this
    std::string host;                   // globs; empty: all
    std::string rule;
    std::optional<Severity> severity;
    std::size_t limit = 1000;
    std::size_t offset = 0;
};

// What people do with an alert, and what happens to that by itself.
enum class NoteKind : std::uint8_t {
    acknowledged,
    unacknowledged,
    ack_void,     // it became graver, or resolved
    ack_expired,  // its time was over
    comment,
    silenced,
    silence_ended,
    flapping,
    steady,
};
std::string_view to_string(NoteKind kind);

// A line of an alert's history: a transition or a note.
struct TimelineEntry {
    std::int64_t time_ms = 0;
    std::optional<Change> change;  // of a transition, with the value that caused it
    Severity severity = Severity::p4;
    double value = 0;
    double threshold = 0;
    std::optional<NoteKind> note;
    std::string author;  // of a note; empty: nobody
    std::string text;
};

struct SilenceRow {
    std::int64_t id = 0;
    std::string matchers;  // JSON
    std::string author;
    std::string comment;
    std::int64_t created_ms = 0;
    std::int64_t starts_ms = 0;
    std::int64_t ends_ms = 0;
};

// Who did what.
struct AuditEntry {
    std::int64_t id = 0;
    std::int64_t time_ms = 0;
    std::string author;
    std::string address;  // where the request came from
    std::string action;   // "alert.acknowledge"
    std::string subject;
    std::string before;
    std::string after;
};

struct AuditQuery {
    std::string author;  // globs; empty: all
    std::string action;
    std::int64_t since_ms = 0;
    std::size_t limit = 100;
    std::size_t offset = 0;
};

// One change in an alert's life, as recorded; `id` only grows.
struct RecordedTransition {
    std::int64_t id = 0;
    Alert alert;  // as it is now: later transitions are in it already
    Change change = Change::none;
    Severity severity = Severity::p4;  // with it
    std::int64_t time_ms = 0;          // of the deciding sample
    double value = 0;
    double threshold = 0;
};

class AlertBook {
  public:
    static constexpr int kSchemaVersion = 2;
    // Firing again within this time of its resolve, an alert is the same one.
    static constexpr std::int64_t kReopenMs = 15 * 60'000;
    // An alert that fired or resolved 6 times within 30 minutes flaps, until it has done so no more
    // than twice: a plain count, which people can do in their heads, where Nagios and Icinga weigh
    // 20 slots.
    static constexpr std::int64_t kFlapWindowMs = 30 * 60'000;
    static constexpr std::int64_t kFlapStart = 6;
    static constexpr std::int64_t kFlapStop = 2;
    static constexpr std::size_t kNotesPerAlert = 1000;
    // Beyond these the oldest go, however young: what fills a disk is bounded.
    static constexpr std::int64_t kResolvedMax = 200'000;
    static constexpr std::int64_t kTransitionsMax = 2'000'000;
    static constexpr std::int64_t kAuditMax = 200'000;
    static constexpr std::int64_t kSilencesKept = 20'000;

    struct Opened;
    // A database that is damaged or of a newer version is moved aside (`<file>.bad-<time>`) and a
    // new one begun: alerts are worked out again from the log. One of an older version is brought
    // up to this one with all that is in it.
    static Result<Opened> open(const std::filesystem::path& file, WallTime now);

    // Where the rules left off; nullopt in a new database.
    Result<std::optional<LogPosition>> position();
    Result<std::vector<FiringCondition>> firing_conditions();

    Result<void> commit(LogPosition position, const std::vector<FiringCondition>& firing,
                        const std::vector<Transition>& transitions);

    // The hosts that are expected to send.
    Result<std::vector<HostRecord>> hosts();
    Result<void> save_hosts(const std::vector<HostRecord>& changed,
                            const std::vector<std::string>& gone);

    // Firing alerts go on under the key of their rule's new id.
    Result<void> rename(const std::vector<RenamedAlert>& renamed);

    Result<std::vector<Alert>> alerts(const AlertQuery& query);  // the newest first
    Result<std::size_t> firing_count();
    // The next ones after `id`, in order.
    Result<std::vector<RecordedTransition>> transitions_after(std::int64_t id, std::size_t limit);
    // Of the newest transition; 0 when there is none.
    Result<std::int64_t> newest_transition();
    Result<std::optional<Alert>> alert(std::int64_t id);
    // Oldest first.
    Result<std::vector<TimelineEntry>> timeline(std::int64_t alert, std::size_t limit,
                                                std::size_t offset);
    // Resolved alerts, transitions, ended silences and audit entries older than this go.
    Result<void> forget_before(std::int64_t ms);

    // What people do. `durably` makes all that `work` writes one transaction that is on disk when
    // it returns: nobody is told that something is so which a power cut can take back.
    Result<void> durably(const std::function<Result<void>()>& work);
    Result<void> set_ack(const Alert& alert);  // its ack fields
    Result<std::vector<Alert>> expired_acks(std::int64_t now_ms);
    Result<void> set_flapping(std::int64_t alert, std::int64_t since_ms, Severity severity);
    Result<void> set_silence(std::int64_t alert, std::int64_t silence);
    Result<std::int64_t> changes_since(const std::string& key, std::int64_t after_ms);
    Result<std::vector<Alert>> flapping_alerts();
    // Errc::limit when it has too many already.
    Result<void> add_note(std::int64_t alert, std::int64_t time_ms, NoteKind kind,
                          std::string_view author, std::string_view text);
    Result<std::int64_t> add_silence(const SilenceRow& silence);
    Result<void> set_silence_end(std::int64_t id, std::int64_t ends_ms);
    Result<std::vector<SilenceRow>> silences();  // the newest first
    Result<void> add_audit(const AuditEntry& entry);
    Result<std::vector<AuditEntry>> audit(const AuditQuery& query);  // the newest first

  private:
    explicit AlertBook(Database database) : database_(std::move(database)) {}
    Result<void> create_schema(int version);
    Result<void> reopen_or_insert(const Transition& transition, AlertState state, std::int64_t& id);
    Result<std::vector<Alert>> alerts_where(const char* condition, std::int64_t value);
    Result<void> void_ack(std::int64_t id, const Transition& transition);
    Result<void> count_flaps(std::int64_t id, const Transition& transition);
    Result<void> record(const Transition& transition);
    Result<void> record_transition(std::int64_t alert, const Transition& transition);
    Result<std::int64_t> open_alert_id(const std::string& key);
    Result<void> write_firing(const std::vector<FiringCondition>& firing);

    Database database_;
    std::vector<FiringCondition>
        written_;  // what the table holds, so that an unchanged list is not written again
    bool written_known_ = false;
};

struct AlertBook::Opened {
    AlertBook book;
    std::string moved_aside;  // the damaged file's new name, or empty
};

}  // namespace ridgeline::collector
