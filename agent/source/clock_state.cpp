#include "agent/source/clock_state.h"

namespace ridgeline::agent {

ClockState interpret_timex(int result, const timex& time) {
    constexpr double kMicroseconds = 1e6;
    constexpr double kNanoseconds = 1e9;
    ClockState state;
    state.synchronized = result != TIME_ERROR && (time.status & STA_UNSYNC) == 0;
    state.max_error_seconds = static_cast<double>(time.maxerror) / kMicroseconds;
    if (state.synchronized && (time.status & STA_PLL) != 0) {
        state.offset_seconds = static_cast<double>(time.offset) /
                               ((time.status & STA_NANO) != 0 ? kNanoseconds : kMicroseconds);
    }
    return state;
}

std::optional<ClockState> read_clock_state(ReadTimex read) {
    timex time{};  // modes = 0: nothing is set
    const int result = read(&time);
    if (result < 0) return {};
    return interpret_timex(result, time);
}

}  // namespace ridgeline::agent
