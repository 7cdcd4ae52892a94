// A source: one thing of the host that is sampled, such as cpu or filesystem.
//
// read() fetches and parses, emit() hands the values over. They are apart so that a source whose
// read() can block (a hung mount, a slow disk) is read on a worker thread while the others keep
// their beat. A failure of one source is an error of that source, never of the round.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/metric/series.h"

namespace ridgeline::agent {

struct SampleInstant {
    WallTime wall;  // what the samples are stamped with
    MonoTime mono;  // taken next to the read; rates are computed from it
    // The last read of this source was so long ago, because the machine was paused or the source
    // hung, that an average over the time between would say nothing of now.
    bool after_gap = false;
};

// Seconds since `previous`, which becomes this instant; 0 when no rate can be given.
inline double rate_seconds(const SampleInstant& at, std::optional<MonoTime>& previous) {
    const bool known = previous && !at.after_gap;
    const double seconds = known ? std::chrono::duration<double>(at.mono - *previous).count() : 0;
    previous = at.mono;
    return seconds;
}

enum class SlotId : std::uint32_t {};

// Where a source puts its values. On the loop thread only.
class Recorder {
  public:
    virtual ~Recorder() = default;
    // Makes (or finds again) the series; changes the schema, so once per series and never per
    // sample.
    virtual SlotId declare(std::string_view metric, Attributes attributes) = 0;
    // The series' device is gone. The slot may be declared again.
    virtual void retire(SlotId slot) = 0;
    // One value of this instant. Does not allocate. NaN and infinities are not recorded and are
    // counted.
    virtual void record(SlotId slot, double value) = 0;
};

class Source {
  public:
    virtual ~Source() = default;
    virtual std::string_view name() const = 0;  // as in [source.NAME] and in `status`
    // Asked before each read, on the loop thread, and never during one. True: that read may block
    // and runs on a worker thread.
    virtual bool blocking() { return false; }
    // True: read() looks at what belongs to the loop thread and is never moved to a worker, not
    // even when it proves slow.
    virtual bool bound_to_loop() const { return false; }
    // How long read() may take on a worker before the source is reported as stuck.
    virtual std::chrono::seconds patience() const { return std::chrono::seconds{10}; }
    // True: what could be read is emitted although read() reports an error (one of several files is
    // missing).
    virtual bool emits_after_error() const { return false; }
    // Reads the host. An error is shown in `status` and counted.
    virtual Result<void> read(const SampleInstant& at) = 0;
    // Records what the last read() got. Called once after each read() that succeeded, or see above.
    virtual void emit(Recorder& out) = 0;
};

}  // namespace ridgeline::agent
