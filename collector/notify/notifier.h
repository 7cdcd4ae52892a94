// From the alert book's transitions to messages that were taken: fills the outbox, sends what is
// due, writes down what came of it. Loop thread.
#pragma once

#include <set>
#include <string>

#include "collector/aws/aws_config.h"
#include "collector/alert/alert_book.h"
#include "collector/alert/suppression.h"
#include "collector/notify/outbox.h"
#include "collector/notify/sender.h"
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

    Outbox& outbox() { return outbox_; }
    std::uint64_t storage_errors() const { return storage_errors_; }

  private:
    void take();
    void send_due(const TargetConfig& target);
    void settle(const Message& message, const Outcome& outcome);
    bool stored(const Result<void>& result);

    Outbox outbox_;
    AlertBook& book_;
    MessageSender& sender_;
    const Suppressor& suppressor_;
    const Clock& clock_;
    Outbox::TagsOf tags_of_;
    std::set<std::string> busy_;  // targets with a message under way
    std::uint64_t storage_errors_ = 0;
};

// Sends a marked message to `target` and waits for the answer.
Outcome send_test_message(const TargetConfig& target, const AwsConfig& aws);

}  // namespace ridgeline::collector
