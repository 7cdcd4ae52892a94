// Runs the helper `certprobe`: a few at a time, each with a deadline and a cap on what it may
// answer.
//
// The helper meets hostile servers and reads what the agent may not. Whatever becomes of it
// (killed, hung, talking nonsense) is an error of that probe and of nothing else. Blocks; worker
// thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/certprobe/probe_protocol.h"
#include "common/base/result.h"

namespace ridgeline::agent {

inline constexpr const char* kCertprobePath = "/usr/libexec/ridgeline/certprobe";

class Prober {
  public:
    virtual ~Prober() = default;
    // One answer per request, in their order.
    virtual std::vector<Result<ProbeAnswer>> probe(const std::vector<ProbeRequest>& requests) = 0;
};

// The helper of the installation, or in a build tree the one of the build.
std::filesystem::path find_certprobe();

class ProbeRunner final : public Prober {
  public:
    explicit ProbeRunner(std::filesystem::path helper) : helper_(std::move(helper)) {}
    std::vector<Result<ProbeAnswer>> probe(const std::vector<ProbeRequest>& requests) override;

  private:
    std::filesystem::path helper_;
};

}  // namespace ridgeline::agent
