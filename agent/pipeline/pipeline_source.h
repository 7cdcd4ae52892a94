// The pipeline about itself: what was sampled, spooled, sent and dropped (ridgeline.agent.*), a
// source like any other.
#pragma once

#include <functional>
#include <vector>

#include "agent/pipeline/agent_status.h"
#include "agent/source/source.h"

namespace ridgeline::agent {

class PipelineSource final : public Source {
  public:
    explicit PipelineSource(std::function<AgentStatus()> gather) : gather_(std::move(gather)) {}

    std::string_view name() const override { return "pipeline"; }
    bool bound_to_loop() const override { return true; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    void emit_sources(Recorder& out);

    std::function<AgentStatus()> gather_;
    AgentStatus status_;
    std::vector<SlotId> slots_;
    struct SourceSlots {
        SlotId errors;
        SlotId duration;
        SlotId overruns;
        SlotId stuck;
    };
    std::vector<SourceSlots> source_slots_;
};

}  // namespace ridgeline::agent
