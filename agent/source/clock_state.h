// How well the clock is kept, as the kernel sees it: adjtimex(2), for reading only.
#pragma once

#include <optional>

#include <sys/timex.h>

namespace ridgeline::agent {

struct ClockState {
    bool synchronized = false;
    // What is left to correct. Known only while the kernel's own loop (STA_PLL: ntpd, timesyncd)
    // steers the clock; chrony steers it by other means and leaves 0 here.
    std::optional<double> offset_seconds;
    double max_error_seconds = 0;  // without synchronisation it grows, up to 16 s
};

// As adjtimex(2): its result, −1 with errno set. For tests.
using ReadTimex = int (*)(timex*);

ClockState interpret_timex(int result, const timex& time);
// nullopt where the call is not allowed (containers, ProtectClock=) or not there.
std::optional<ClockState> read_clock_state(ReadTimex read);

}  // namespace ridgeline::agent
