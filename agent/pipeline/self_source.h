// The agent about itself: ridgeline.agent.*, a source like any other.
#pragma once

#include <functional>
#include <vector>

#include "agent/pipeline/agent_status.h"
#include "agent/source/source.h"

namespace ridgeline::agent {

class SelfSource final : public Source {
  public:
    explicit SelfSource(std::function<AgentStatus()> gather) : gather_(std::move(gather)) {}

    std::string_view name() const override { return "agent"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    void emit_sources(Recorder& out);

    std::function<AgentStatus()> gather_;
    AgentStatus status_;
    double rss_bytes_ = 0;
    double cpu_seconds_ = 0;
    std::vector<SlotId> slots_;
    struct SourceSlots {
        SlotId errors;
        SlotId duration;
        SlotId overruns;
    };
    std::vector<SourceSlots> source_slots_;
};

}  // namespace ridgeline::agent
