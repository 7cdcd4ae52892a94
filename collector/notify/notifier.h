// From the alert book's transitions to messages that were taken: fills the outbox, sends what is
// due, writes down what came of it. Loop thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collector/alert/alert_book.h"
#include "collector/alert/suppression.h"
#include "collector/aws/aws_config.h"
#include "collector/notify/outbox.h"
#include "collector/notify/sender.h"
#include "collector/rule/transition.h"
#include "common/base/clock.h"

namespace ridgeline::collector {

class Notifier {
  public:
    // All but `outbox` must outlive it.
    Notifier(Outbox outbox, AlertBook& book, MessageSender& sender, const Suppressor& suppressor,
             const Clock& clock, Outbox::TagsOf tags_of);

    // To be called about twice a second, and after a transition. Nothing is sent while `may_send`
    // is false: what would hold an alert back is not known yet.
    void poll(bool may_send);
    void change(NotifyConfig config);

    // Of an alert that cannot be stored now: whom its routes name is told past the outbox, with
    // what else waits. Kept in memory, so at most once a life of the process; the outbox tells of
    // it in its turn once it is stored. Then stored_again() ends the incidents that this began, and
    // what was not sent yet is left to the outbox.
    void tell_unstored(const Transition& transition);
    void stored_again();

    Outbox& outbox() { return outbox_; }
    // Too many to be told past the outbox: told once they are stored.
    std::uint64_t unstored_left() const { return unstored_left_; }
    std::uint64_t storage_errors() const { return storage_errors_; }

  private:
    void take();
    void send_due(const TargetConfig& target);
    void settle(const Message& message, const Outcome& outcome);
    // True: nothing of what became of earlier messages to it is left to be written down.
    bool settled(const std::string& target);
    bool stored(const Result<void>& result);
    // Past the outbox, of one target.
    struct Direct {
        std::vector<MessageItem> waiting;
        std::optional<Message> under_way;   // until it is taken or refused
        bool in_flight = false;             // is it, just now
        bool over = false;                  // what it says is the outbox's by now
        std::map<std::string, Alert> told;  // by key; of targets that keep incidents
        int attempts = 0;
        std::int64_t not_before_ms = 0;
    };
    void end_incident(Direct& direct, Alert alert) const;
    // Of a message that will not be sent again: it may have arrived all the same.
    void withdraw(const std::string& target, Direct& direct);
    bool keeps_incidents(const std::string& target) const;
    void send_direct(const TargetConfig& target);
    void settle_direct(const std::string& target, const Outcome& outcome);

    Outbox outbox_;
    AlertBook& book_;
    MessageSender& sender_;
    const Suppressor& suppressor_;
    const Clock& clock_;
    Outbox::TagsOf tags_of_;
    std::set<std::string> busy_;  // targets with a message under way
    struct Unsettled {
        Message message;
        Outcome outcome;
        std::int64_t time_ms = 0;
    };
    // By target: what the outbox could not write down. Until it can, it would give the same message
    // again.
    std::map<std::string, Unsettled> unsettled_;
    std::uint64_t storage_errors_ = 0;
    std::map<std::string, Direct> direct_;  // by target
    std::uint64_t unstored_left_ = 0;
};

// Sends a marked message to `target` and waits for the answer.
Outcome send_test_message(const TargetConfig& target, const AwsConfig& aws);

}  // namespace ridgeline::collector
