// Pressure stall information: /proc/pressure/* (Documentation/accounting/psi.rst).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/source/host_root.h"
#include "agent/source/source.h"
#include "agent/source/source_type.h"

namespace ridgeline::agent {

struct PressureTotals {
    std::optional<std::uint64_t> some_us;
    std::optional<std::uint64_t> full_us;  // absent for cpu before Linux 5.13
};
PressureTotals parse_pressure(std::string_view text);

// Kernels without PSI, or booted with psi=0, are not a fault: the source then has nothing to say.
class PressureSource final : public Source {
  public:
    explicit PressureSource(const HostRoot& root);
    std::string_view name() const override { return "pressure"; }
    // A file that may not be read costs its resource only.
    bool emits_after_error() const override { return true; }
    Result<void> read(const SampleInstant& at) override;
    void emit(Recorder& out) override;

  private:
    struct Scope {
        std::optional<std::uint64_t> previous_us, now_us;
        std::optional<double> utilization;
        bool declared = false;
        SlotId stall{}, share{};
    };
    struct Resource {
        const char* name;
        HostFile file;
        std::uint32_t rounds_to_skip;         // until a file that was not there is looked for again
        std::optional<MonoTime> previous_at;  // the last that was read
        std::array<Scope, 2> scopes;          // some, full
    };
    std::vector<Resource> resources_;
};

extern const SourceType kPressureSource;

}  // namespace ridgeline::agent
