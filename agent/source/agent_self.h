// What the agent itself costs: /proc/self/statm and getrusage(2).
#pragma once

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

class AgentSource final : public Source {
  public:
    AgentSource();
    std::string_view name() const override { return "agent"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    double rss_bytes_ = 0;
    double cpu_seconds_ = 0;
    bool declared_ = false;
    SlotId rss_{}, cpu_{};
};

extern const SourceType kAgentSource;

}  // namespace ridgeline::agent
