// Tells the service manager that started this process how it is doing, in the words of
// sd_notify(3).
//
// That protocol is stable and meant to be spoken without libsystemd, whose pages and those of the
// five libraries it brings cost every agent 1.1 MB resident. Without a manager that listens,
// nothing is sent. Nothing here fails: a manager that cannot be told is no reason to stop.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/file.h"

namespace ridgeline {

class ServiceNotifier {
  public:
    // Of $NOTIFY_SOCKET and $WATCHDOG_USEC, which are taken out of the environment so that no child
    // speaks in this process's name. Before any thread is started.
    static ServiceNotifier from_environment();

    // `socket` as in $NOTIFY_SOCKET, '@' for the abstract namespace; empty: nobody listens.
    // `watchdog`: how often the manager wants to hear at least; zero: not at all.
    explicit ServiceNotifier(std::string_view socket, std::chrono::microseconds watchdog = {});

    bool listened_to() const { return static_cast<bool>(fd_); }
    // How often to call alive(): three times in what the manager allows. Zero: no need to.
    std::chrono::milliseconds alive_interval() const;

    // The start, or the reload, is through. `status`, here and below, is what `systemctl status`
    // shows in one line.
    void ready(std::string_view status);
    // Only what has changed is sent.
    void status(std::string_view status);
    void reloading(MonoTime now);
    void alive();
    void stopping(std::string_view status);

  private:
    void send(std::string_view message) const;

    UniqueFd fd_;
    std::chrono::microseconds watchdog_;
    std::string status_;
};

}  // namespace ridgeline
