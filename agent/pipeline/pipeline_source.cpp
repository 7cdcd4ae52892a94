#include "agent/pipeline/pipeline_source.h"

#include <algorithm>

#include "agent/source/rounding.h"

namespace ridgeline::agent {

Result<void> PipelineSource::read(const SampleInstant&) {
    status_ = gather_();
    return {};
}

void PipelineSource::emit(Recorder& out) {
    std::size_t next = 0;
    const auto record = [&](std::string_view metric, double value) {
        if (next == slots_.size()) slots_.push_back(out.declare(metric, {}));
        out.record(slots_[next++], value);
    };
    const auto count = [&](std::string_view metric, std::uint64_t value) {
        record(metric, static_cast<double>(value));
    };
    count("ridgeline.agent.samples", status_.samples);
    count("ridgeline.agent.values_refused", status_.values_refused);
    count("ridgeline.agent.series_refused", status_.series_refused);
    count("ridgeline.agent.ticks_missed", status_.ticks_missed);
    count("ridgeline.agent.clock.steps", status_.wall_steps);
    const auto in_seconds = [](std::chrono::nanoseconds duration) {
        return round_microseconds(std::chrono::duration<double>(duration).count());
    };
    const auto ticks =
        static_cast<std::int64_t>(std::max<std::uint64_t>(status_.lateness.ticks, 1));
    record("ridgeline.agent.sampling.lateness.mean", in_seconds(status_.lateness.sum / ticks));
    record("ridgeline.agent.sampling.lateness.max", in_seconds(status_.lateness.max));
    record("ridgeline.agent.loop.busy", in_seconds(status_.loop_busy));
    count("ridgeline.agent.thinning", status_.thinning);
    count("ridgeline.agent.spool.size", status_.spool.bytes);
    count("ridgeline.agent.spool.batches", status_.spool.batches);
    count("ridgeline.agent.spool.torn", status_.spool.torn_bytes);
    count("ridgeline.agent.spool.errors", status_.spool.disk_errors);
    count("ridgeline.agent.samples_thinned", status_.spool.thinned_samples);
    count("ridgeline.agent.uplink.connected",
          status_.uplink_state == to_string(UplinkState::streaming) ? 1 : 0);
    count("ridgeline.agent.uplink.reconnects", status_.uplink.connections);
    for (std::size_t i = 0; i < kDropReasons; ++i) {
        const auto reason = static_cast<DropReason>(i);
        if (next == slots_.size()) {
            slots_.push_back(out.declare("ridgeline.agent.samples_dropped",
                                         {{"reason", std::string(to_string(reason))}}));
        }
        out.record(slots_[next++], static_cast<double>(status_.spool.dropped_samples[i]));
    }
    emit_sources(out);
}

void PipelineSource::emit_sources(Recorder& out) {
    for (std::size_t i = 0; i < status_.sources.size(); ++i) {
        const SourceStatus& source = status_.sources[i];
        if (i == source_slots_.size()) {
            const Attributes attributes = {{"source", source.name}};
            source_slots_.push_back({out.declare("ridgeline.agent.source.errors", attributes),
                                     out.declare("ridgeline.agent.source.duration", attributes),
                                     out.declare("ridgeline.agent.source.overruns", attributes),
                                     out.declare("ridgeline.agent.source.stuck", attributes)});
        }
        const SourceSlots& slots = source_slots_[i];
        out.record(slots.errors, static_cast<double>(source.errors));
        out.record(slots.duration, std::chrono::duration<double>(source.last_duration).count());
        out.record(slots.overruns, static_cast<double>(source.overruns));
        out.record(slots.stuck, source.stuck ? 1 : 0);
    }
}

}  // namespace ridgeline::agent
