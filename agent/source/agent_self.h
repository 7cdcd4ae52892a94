// What the agent itself costs: /proc/self and getrusage(2).
#pragma once

#include <cstdint>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"
#include "common/base/file.h"

namespace ridgeline::agent {

struct SelfUsage {
    double cpu_seconds = 0;  // since the agent began, its finished helpers included
    std::uint64_t rss_bytes = 0;
    std::uint32_t open_fds = 0;
    std::uint32_t threads = 0;
};
// Always of the real /proc: the agent is here, wherever the host's root is.
class SelfUsageReader {
  public:
    Result<SelfUsage> read();

  private:
    UniqueFd stat_;  // /proc/self/stat, kept open
};

class AgentSource final : public Source {
  public:
    std::string_view name() const override { return "agent"; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    SelfUsageReader reader_;
    SelfUsage usage_;
    bool declared_ = false;
    SlotId rss_{}, cpu_{}, fds_{}, threads_{};
};

extern const SourceType kAgentSource;

}  // namespace ridgeline::agent
