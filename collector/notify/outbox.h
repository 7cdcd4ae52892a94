// The durable outbox: which alert is to be told to whom, what they were told, and when the next
// message is due.
//
// A thread is the messages to one target about the alerts of one group. It keeps, for each alert,
// what it is now and what was last told of it; a message says the difference. So a late message
// tells what is true now, an alert that began and ended while nobody could be reached is one line,
// and a raise edits the same incident. A transition and its place in the threads, and the cursor
// that says it was taken, are one transaction: after a crash nothing is told twice or lost, but the
// one message whose answer was on its way, which keeps its key.
//
// Never sends and never reads a clock. Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/alert/suppression.h"
#include "collector/notify/config.h"
#include "collector/notify/message.h"
#include "collector/state/sqlite.h"

namespace ridgeline::collector {

// How a try to send ended.
struct Outcome {
    enum class Kind : std::uint8_t { accepted, retry, refused };
    Kind kind = Kind::accepted;
    std::string detail;                                      // why not, for people
    std::optional<std::chrono::milliseconds> retry_after{};  // as the target asks
    std::string remote{};        // accepted: what the target calls the message, if it can be edited
    bool forget_remote = false;  // the message that was to be edited is gone: begin anew
};

struct OutboxStats {
    std::uint64_t transitions = 0;
    std::uint64_t sent = 0;
    std::uint64_t retries = 0;
    std::uint64_t refused = 0;     // messages no try will deliver (dead letters)
    std::uint64_t suppressed = 0;  // alerts that ended without having been told
    std::uint64_t unrouted = 0;    // transitions that no route took
};

struct TargetState {
    std::string target;
    std::size_t waiting = 0;            // alerts with something untold
    std::int64_t oldest_ms = 0;         // since when; 0: none waits
    std::int64_t failing_since_ms = 0;  // 0: the last try was accepted
    bool given_up = false;              // its fallback is told meanwhile
    std::string last_error;
    std::int64_t last_sent_ms = 0;
};

class Outbox {
  public:
    static constexpr int kSchemaVersion = 3;
    // The random part of a back-off, in [0, 1).
    using Jitter = std::function<double()>;
    using TagsOf = std::function<std::map<std::string, std::string>(const std::string& host)>;

    struct Opened;
    static Result<Opened> open(const std::filesystem::path& file, NotifyConfig config,
                               Jitter jitter, std::int64_t now_ms);

    // Other targets and routes; what waits for a target that is gone is let go, and counted.
    Result<void> change(NotifyConfig config);
    // The newest transition that was taken in.
    std::int64_t cursor() const { return cursor_; }
    // For a new outbox: what happened before is not told.
    Result<void> start_after(std::int64_t transition);
    Result<void> take(const std::vector<RecordedTransition>& transitions, const TagsOf& tags_of,
                      std::int64_t now_ms);

    // The message that is due for `target`, if there is one. Asked again without settle(), it gives
    // the same one.
    Result<std::optional<Message>> due(const std::string& target, const Suppressor& suppressor,
                                       std::int64_t now_ms);
    Result<void> settle(const Message& message, const Outcome& outcome, std::int64_t now_ms);
    // The names of those who are told of the alert, by the routes.
    std::vector<std::string> route(const Alert& alert,
                                   const std::map<std::string, std::string>& tags) const;
    // Before due(): what people have acknowledged since the last time is due for the targets that
    // keep incidents of their own. Costs something only when there is such news, and at the start.
    Result<void> notice_acknowledged(const Suppressor& suppressor, std::int64_t now_ms);
    // The name of an incident: `what`, as this collector alone calls it.
    std::string incident(const std::string& what) const;
    const NotifyConfig& config() const { return config_; }
    const OutboxStats& stats() const { return stats_; }
    Result<std::vector<TargetState>> targets();

  private:
    struct Target {
        std::int64_t failing_since_ms = 0;
        std::int64_t not_before_ms = 0;
        std::int64_t last_sent_ms = 0;
        int attempts = 0;
        bool given_up = false;
        std::string last_error;
    };
    struct Item {
        std::int64_t alert = 0;
        std::int64_t transition = 0;
        std::int64_t since_ms = 0;  // the oldest untold change
        int told = 0;               // 0 nothing, else the severity told
        bool changed = false;
        bool held = false;  // was suppressed when it could have been told
        Alert is;
        bool acked = false;  // that it is acknowledged was told
        std::string incident;
    };
    struct Thread {
        std::int64_t id = 0;
        std::string key;
        std::int64_t last_ms = 0;  // of the last message
        std::int64_t due_ms = 0;
        std::int64_t messages = 0;
        std::string remote;
    };

    explicit Outbox(Database database) : database_(std::move(database)) {}
    Result<void> load();
    Result<void> migrate(int version);
    Result<void> name_incidents(int version);
    Result<void> in_transaction(const std::function<Result<void>()>& work);
    std::vector<const TargetConfig*> targets_for(const Alert& alert,
                                                 const std::map<std::string, std::string>& tags,
                                                 const std::string& except) const;
    Result<void> take_one(const RecordedTransition& transition, const TagsOf& tags_of,
                          std::int64_t now_ms);
    Result<void> put(const TargetConfig& target, const std::string& group, const Alert& alert,
                     std::int64_t transition, std::int64_t now_ms);
    Result<void> update(const Alert& alert, std::int64_t transition, Change change,
                        std::int64_t now_ms);
    Result<std::vector<Thread>> threads(const std::string& target, std::int64_t due_until_ms);
    Result<std::vector<Item>> items(std::int64_t thread);
    Result<std::optional<Message>> compose(const TargetConfig& target, const Thread& thread,
                                           const Suppressor& suppressor, std::int64_t now_ms);
    Result<void> write(std::int64_t thread, const Item& item);
    Result<void> remove(std::int64_t thread, std::int64_t alert);
    Result<void> set_due(std::int64_t thread, std::int64_t due_ms);
    // Its due time from what is in it; without items it goes.
    Result<void> reschedule(std::int64_t thread, std::int64_t last_ms);
    Result<void> mark_told(const Message& message, const Outcome& outcome, std::int64_t now_ms);
    Result<void> give_up(const TargetConfig& target, const Message& message, std::int64_t now_ms);
    Result<void> own_alert(const TargetConfig& target, AlertState state, std::int64_t now_ms);
    Result<void> forget_remote(std::int64_t thread);
    Result<void> save_target(const std::string& name);

    Database database_;
    NotifyConfig config_;
    Jitter jitter_;
    std::int64_t cursor_ = 0;
    // Drawn once: two collectors may count their alerts alike, and page the same service.
    std::uint64_t collector_ = 0;
    std::map<std::string, Target> states_;
    OutboxStats stats_;
    std::optional<std::uint64_t> acknowledgements_;  // that were noticed
};

struct Outbox::Opened {
    Outbox outbox;
    bool is_new = false;
    std::string moved_aside;  // the damaged file's new name, or empty
};

// 1 s, doubled with every try, at most 5 min, and up to half of it more at random.
std::chrono::milliseconds retry_delay(int attempts, double random);

}  // namespace ridgeline::collector
