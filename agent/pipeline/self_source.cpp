#include "agent/pipeline/self_source.h"

#include <sys/resource.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

double in_seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

Result<void> SelfSource::read(const SampleInstant&) {
    status_ = gather_();
    // proc_pid_statm(5): total and resident size in pages.
    RL_ASSIGN_OR_RETURN(const std::string statm, read_file("/proc/self/statm", 4096));
    std::string_view rest = statm;
    next_field(rest);
    const auto pages = to_u64(next_field(rest));
    if (!pages) return fail(Errc::corrupt, "/proc/self/statm: no resident size");
    rss_bytes_ = static_cast<double>(*pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) return fail(errno_error("getrusage"));
    cpu_seconds_ = in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime);
    return {};
}

void SelfSource::emit(Recorder& out) {
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
    count("ridgeline.agent.ticks_missed", status_.ticks_missed);
    count("ridgeline.agent.spool.size", status_.spool.bytes);
    count("ridgeline.agent.spool.batches", status_.spool.batches);
    count("ridgeline.agent.spool.torn", status_.spool.torn_bytes);
    count("ridgeline.agent.spool.errors", status_.spool.disk_errors);
    count("ridgeline.agent.uplink.connected",
          status_.uplink_state == to_string(UplinkState::streaming) ? 1 : 0);
    count("ridgeline.agent.uplink.reconnects", status_.uplink.connections);
    record("ridgeline.agent.memory.rss", rss_bytes_);
    record("ridgeline.agent.cpu.time", cpu_seconds_);
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

void SelfSource::emit_sources(Recorder& out) {
    for (std::size_t i = 0; i < status_.sources.size(); ++i) {
        const SourceStatus& source = status_.sources[i];
        if (i == source_slots_.size()) {
            const Attributes attributes = {{"source", source.name}};
            source_slots_.push_back({out.declare("ridgeline.agent.source.errors", attributes),
                                     out.declare("ridgeline.agent.source.duration", attributes),
                                     out.declare("ridgeline.agent.source.overruns", attributes)});
        }
        const SourceSlots& slots = source_slots_[i];
        out.record(slots.errors, static_cast<double>(source.errors));
        out.record(slots.duration, std::chrono::duration<double>(source.last_duration).count());
        out.record(slots.overruns, static_cast<double>(source.overruns));
    }
}

}  // namespace ridgeline::agent
